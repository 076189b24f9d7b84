"""The engine ``llama.cpp``: replies written in threads, read on the event loop, stopped by leaving them."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
from sipcore.plugins import Delta, Message, Tool
from sipcore.plugins.threads import stand_back

from sipcore_llm_qwen.config import Config
from sipcore_llm_qwen.history import forget_oldest
from sipcore_llm_qwen.llama_server import ContextFullError, LlamaServer, load_server
from sipcore_llm_qwen.thinking import ThinkFilter
from sipcore_llm_qwen.weights import find_weights

_CONTROL = re.compile(r"<\|[^<>|]*\|>")
"""A chat template's own signs: in what somebody said they would let the caller speak as the system."""


class LlamaChat:
    """Answers, for all calls.

    Args:
        path: the model's file.
        config: the settings.
        pool: the threads in which replies are written, one for each slot.
    """

    def __init__(self, path: Path, config: Config, pool: ThreadPoolExecutor) -> None:
        self._path = path
        self._config = config
        self._pool = pool
        self._loading = anyio.Lock()
        self._server: LlamaServer | None = None
        self._closing = threading.Event()

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> AsyncGenerator[AsyncIterable[Delta], None]:
        """Stream the reply; leaving the block stops the model within a token, or a batch of the prompt.

        ``tools`` are not offered to the model: a `Delta` has no way to call one.

        Raises:
            PluginError: the model cannot be loaded; while iterating: it cannot answer.
        """
        del tools
        reply = _Reply(await self.load(), self._config.max_tokens, self._closing)
        future = self._pool.submit(reply.write, _cleaned(messages))
        try:
            yield reply
        finally:
            future.cancel()
            reply.stop()

    async def warm(self, messages: Sequence[Message]) -> None:
        """Read a prompt into every slot, so that replies to conversations that begin with it start sooner.

        Raises:
            PluginError: it cannot be read.
        """
        server = await self.load()
        await asyncio.wrap_future(self._pool.submit(server.read, _cleaned(messages), self._goes_on))

    async def load(self) -> LlamaServer:
        """Return the model, loaded and warm; the first time that takes seconds.

        Raises:
            PluginError: it cannot be loaded.
        """
        async with self._loading:
            if self._server is None:
                self._server = await self._load()
            return self._server

    async def _load(self) -> LlamaServer:
        # A thread of its own: those of the engine, which it starts, inherit its priority.
        loader = ThreadPoolExecutor(1, "llama-load", initializer=partial(stand_back, self._config.nice))
        try:
            return await asyncio.wrap_future(loader.submit(load_server, self._path, self._config))
        finally:
            loader.shutdown(wait=False)

    def close(self) -> None:
        """Stop all replies and let the model go. Blocks until they have stopped."""
        self._closing.set()
        self._pool.shutdown(cancel_futures=True)
        self._server = None

    def _goes_on(self) -> bool:
        return not self._closing.is_set()


class _Reply:
    """One reply: written in a thread, iterated on the event loop."""

    def __init__(self, server: LlamaServer, max_tokens: int, closing: threading.Event) -> None:
        self._server = server
        self._closing = closing
        self._stopped = threading.Event()
        self._thinking = ThinkFilter()
        self._loop = asyncio.get_running_loop()
        self._deltas, self._reader = anyio.create_memory_object_stream[Delta](max_tokens + 2)
        self._failure: Exception | None = None

    def write(self, messages: Sequence[Message]) -> None:
        """Write the reply; an error is kept for whoever iterates. Called in a thread."""
        try:
            self._write(messages)
            self._say(self._thinking.flush())
        except Exception as error:
            self._failure = error
        finally:
            self._on_loop(self._deltas.close)

    def stop(self) -> None:
        """Nobody wants the rest."""
        self._stopped.set()
        self._deltas.close()
        self._reader.close()

    def _write(self, messages: Sequence[Message]) -> None:
        while True:
            try:
                return self._server.write(messages, self._take)
            except ContextFullError:
                shorter = forget_oldest(messages)
                if len(shorter) == len(messages):
                    raise
                messages = shorter

    def _take(self, text: str) -> bool:
        self._say(self._thinking.feed(text))
        return not (self._stopped.is_set() or self._closing.is_set())

    def _say(self, text: str) -> None:
        if text:
            self._on_loop(partial(self._put, Delta(text)))

    def _put(self, delta: Delta) -> None:
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._deltas.send_nowait(delta)

    def _on_loop(self, task: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody iterates any more
            self._loop.call_soon_threadsafe(task)

    def __aiter__(self) -> _Reply:
        return self

    async def __anext__(self) -> Delta:
        try:
            return await self._reader.receive()
        except anyio.EndOfStream:
            if self._failure is not None:
                raise self._failure from None
            raise StopAsyncIteration from None


def _cleaned(messages: Sequence[Message]) -> Sequence[Message]:
    return [Message(message.role, _CONTROL.sub("", message.content)) for message in messages]


@asynccontextmanager
async def open_llama(config: Config) -> AsyncGenerator[LlamaChat, None]:
    """Find the model, and load it if that is to be done at start.

    Raises:
        ModelMissingError: it is not on this machine.
        PluginError: it cannot be loaded.
    """
    path = await anyio.to_thread.run_sync(find_weights, config.model)
    chat = LlamaChat(path, config, ThreadPoolExecutor(config.slots, "llama-reply"))
    try:
        if config.load == "start":
            await chat.load()
        yield chat
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(chat.close)
