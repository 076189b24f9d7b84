"""Replies for all calls: written in threads, read on the event loop, stopped by leaving them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Protocol

import anyio
import anyio.to_thread
from sipcore.plugins import Delta, Message, Tool
from sipcore.plugins.threads import stand_back

from sipcore_llm_qwen.config import Config
from sipcore_llm_qwen.history import ContextFullError, forget_oldest
from sipcore_llm_qwen.signs import without
from sipcore_llm_qwen.thinking import ThinkFilter


class Model(Protocol):
    """A model that an engine has loaded: prompts in, text out. Blocking; called in threads, by many at once."""

    def read(self, messages: Sequence[Message], goes_on: Callable[[], bool]) -> None:
        """Read a prompt ahead of the first reply to it, until ``goes_on`` says no.

        Raises:
            PluginError: it cannot be read.
        """
        ...

    def write(self, messages: Sequence[Message], take: Callable[[str], bool]) -> None:
        """Write a reply to ``messages``.

        Args:
            messages: the conversation so far.
            take: gets each bit of text, and the empty string after each batch of the prompt; False stops the reply.

        Raises:
            ContextFullError: the conversation is too long.
            PluginError: the engine cannot answer.
        """
        ...

    def close(self) -> None:
        """Give the memory back. Nothing is read or written any more."""
        ...


class Chat:
    """Answers, for all calls.

    Args:
        load: loads the model; blocking, and raises `PluginError`.
        config: the settings.
        pool: the threads in which replies are written, one for each slot.
    """

    def __init__(self, load: Callable[[], Model], config: Config, pool: ThreadPoolExecutor) -> None:
        self._load_model = load
        self._config = config
        self._pool = pool
        self._loading = anyio.Lock()
        self._model: Model | None = None
        self._closing = threading.Event()

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> AsyncGenerator[AsyncIterable[Delta], None]:
        """Stream the reply; leaving the block stops the model within a token, or a batch of the prompt.

        ``tools`` are not offered to the model.

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
        model = await self.load()
        await asyncio.wrap_future(self._pool.submit(model.read, _cleaned(messages), self._goes_on))

    async def load(self) -> Model:
        """Return the model, loaded and warm; the first time that takes seconds.

        Raises:
            PluginError: it cannot be loaded.
        """
        async with self._loading:
            if self._model is None:
                self._model = await self._load()
            return self._model

    async def _load(self) -> Model:
        # A thread of its own: those of the engine, which it starts, inherit its priority.
        loader = ThreadPoolExecutor(1, "qwen-load", initializer=partial(stand_back, self._config.nice))
        try:
            return await asyncio.wrap_future(loader.submit(self._load_model))
        finally:
            loader.shutdown(wait=False)

    def close(self) -> None:
        """Stop all replies and let the model go. Blocks until they have stopped."""
        self._closing.set()
        self._pool.shutdown(cancel_futures=True)
        model, self._model = self._model, None
        if model is not None:
            model.close()

    def _goes_on(self) -> bool:
        return not self._closing.is_set()


class _Reply:
    """One reply: written in a thread, iterated on the event loop."""

    def __init__(self, model: Model, max_tokens: int, closing: threading.Event) -> None:
        self._model = model
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
                return self._model.write(messages, self._take)
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
    return [Message(message.role, without(message.content)) for message in messages]


@asynccontextmanager
async def open_chat(load: Callable[[], Model], config: Config) -> AsyncGenerator[Chat, None]:
    """Open a chat, and load its model if that is to be done at start; leaving stops all replies and lets it go.

    Raises:
        PluginError: the model cannot be loaded.
    """
    chat = Chat(load, config, ThreadPoolExecutor(config.slots, "qwen-reply"))
    try:
        if config.load == "start":
            await chat.load()
        yield chat
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(chat.close)
