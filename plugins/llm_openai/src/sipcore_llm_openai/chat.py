"""The engine: one client for all calls, one streamed request a reply."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
from sipcore.plugins import LLM, Delta, Message, PluginError, Tool
from sipcore.plugins.credentials import quoted
from sipcore.plugins.retry import retried

from sipcore_llm_openai.chunks import ChunkReader
from sipcore_llm_openai.config import Config
from sipcore_llm_openai.failures import as_plugin_error
from sipcore_llm_openai.wire import as_messages, as_tools

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_DRAIN: Final = 0.2
"""Seconds for the end of a stream after its ``[DONE]``: a connection that is read to its end serves the next turn."""


class OpenAIChat:
    """Answers, for all calls.

    Args:
        client: of the server.
        config: the settings.
        headers: changes to the headers that the client sends.
    """

    def __init__(self, client: AsyncOpenAI, config: Config, headers: Mapping[str, Any]) -> None:
        self._client = client
        self._config = config
        self._headers = headers

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> AsyncGenerator[AsyncIterable[Delta], None]:
        """Stream the reply; leaving the block drops the request.

        A call of a function comes whole, after the text; while the model writes it, or thinks, come empty deltas.

        Raises:
            PluginError: while iterating: there is no reply, or only half of one; the text says what to do.
        """
        request = {"messages": as_messages(messages), **as_tools(tools), **self._config.request(), "stream": True}
        async with aclosing(retried(partial(self._ask, request), self._config.limits())) as deltas:
            yield deltas

    async def _ask(self, request: Mapping[str, Any]) -> AsyncGenerator[Delta, None]:
        create: Any = self._client.chat.completions.with_streaming_response.create
        quote = partial(quoted, secrets=self._config.secrets())
        reader = ChunkReader(quote)
        try:
            async with create(**request, extra_headers=self._headers, extra_body=self._config.body) as response:
                _check_type(quote(response.headers.get("content-type", "")))
                async with aclosing(response.iter_bytes()) as chunks:
                    async for data in chunks:
                        for delta in reader.feed(data):
                            yield delta
                        if reader.done:
                            await _drain(chunks)
                for delta in reader.flush():
                    yield delta
        except Exception as error:
            raise as_plugin_error(error, self._config) from None


async def _drain(chunks: AsyncIterable[bytes]) -> None:
    with anyio.move_on_after(_DRAIN):
        async for _ in chunks:
            pass


def _check_type(content_type: str) -> None:
    if not content_type.startswith("text/event-stream"):
        raise PluginError(
            f"the answer is {content_type or 'of no known type'}, expected text/event-stream: is [llm.openai] base_url "
            "right (it often ends in /v1), and can the server stream?"
        )


@asynccontextmanager
async def open_chat(config: Config) -> AsyncGenerator[LLM, None]:
    """Open a client. Nothing is sent before the first reply: compatible servers often know no other request.

    Raises:
        PluginError: a key is needed and there is none.
    """
    key = config.api_key.get_secret_value() if config.api_key else ""
    if not key and config.base_url is None:
        raise PluginError(
            "OpenAI needs a key: set OPENAI_API_KEY, or [llm.openai] api_key; or set [llm.openai] base_url to a server "
            "that needs none"
        )
    import openai

    headers = {name: value.get_secret_value() for name, value in config.headers.items()}
    keyless = not key and "authorization" not in map(str.lower, headers)
    async with openai.AsyncOpenAI(
        api_key=key or "none",
        base_url=config.url(),
        organization=config.organization,
        project=config.project,
        timeout=openai.Timeout(None, connect=config.connect_timeout),
        max_retries=0,
        default_headers={"Accept-Encoding": "identity", **headers},
        http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False),
    ) as client:
        yield OpenAIChat(client, config, {"Authorization": openai.Omit()} if keyless else {})
