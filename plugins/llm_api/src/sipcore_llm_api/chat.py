"""The engine: one client for all calls, one request a reply."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

import anyio
from sipcore.plugins import LLM, Delta, Message, Tool
from sipcore.plugins.credentials import quoted
from sipcore.plugins.retry import retried

from sipcore_llm_api.config import Config
from sipcore_llm_api.failures import LONGEST_REFUSAL, as_plugin_error, of_status
from sipcore_llm_api.reply import ReplyReader, format_of

if TYPE_CHECKING:
    import httpx

_DRAIN: Final = 0.2
"""Seconds for the end of a stream after its ``[DONE]``: a connection that is read to its end serves the next turn."""


class HttpChat:
    """Answers, for all calls.

    Args:
        client: sends the requests.
        config: the settings.
    """

    def __init__(self, client: httpx.AsyncClient, config: Config) -> None:
        self._client = client
        self._config = config

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> AsyncGenerator[AsyncIterable[Delta], None]:
        """Stream the reply; leaving the block drops the request. ``tools`` are not offered.

        Raises:
            PluginError: while iterating: there is no reply, or only half of one; the text says what to do.
        """
        del tools
        said = [{"role": message.role, "content": message.content} for message in messages]
        body = {**self._config.body, "messages": said}
        async with aclosing(retried(partial(self._ask, body), self._config.limits())) as deltas:
            yield deltas

    async def _ask(self, body: Mapping[str, Any]) -> AsyncGenerator[Delta, None]:
        quote = partial(quoted, secrets=self._config.secrets())
        try:
            async with self._client.stream("POST", self._config.url(), json=body) as response:
                if not response.is_success:
                    await self._refuse(response)
                form = format_of(quote(response.headers.get("content-type", "")), self._config)
                reader = ReplyReader(form, self._config, quote)
                chunks = response.aiter_bytes()
                async for data in chunks:
                    for text in reader.feed(data):
                        yield Delta(text)
                    if reader.done:
                        await _drain(chunks)
                for text in reader.flush():
                    yield Delta(text)
        except Exception as error:
            raise as_plugin_error(error, self._config) from None

    async def _refuse(self, response: httpx.Response) -> NoReturn:
        said = b""
        async for data in response.aiter_bytes():
            said += data
            if len(said) >= LONGEST_REFUSAL:
                break
        location, wait = response.headers.get("location", ""), response.headers.get("retry-after")
        raise of_status(response.status_code, location, wait, said[:LONGEST_REFUSAL], self._config)


async def _drain(chunks: AsyncIterable[bytes]) -> None:
    with anyio.move_on_after(_DRAIN):
        async for _ in chunks:
            pass


@asynccontextmanager
async def open_chat(config: Config) -> AsyncGenerator[LLM, None]:
    """Open a client. Nothing is sent before the first reply.

    Raises:
        PluginError: the address cannot be one.
    """
    import httpx

    try:
        httpx.URL(config.url())
    except httpx.InvalidURL as error:
        raise as_plugin_error(error, config) from None
    timeout = httpx.Timeout(None, connect=config.connect_timeout)
    async with httpx.AsyncClient(headers=config.sent_headers(), timeout=timeout) as client:
        yield HttpChat(client, config)
