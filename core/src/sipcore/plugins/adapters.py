"""Old code in new clothes: what was written for blocking calls, as an engine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from functools import partial
from typing import TypeAlias

import anyio

from sipcore.errors import PluginError
from sipcore.plugins.interfaces import LLM, Delta, Message, Tool
from sipcore.plugins.threads import NICE, stand_back

Generate: TypeAlias = Callable[[list[dict[str, str]]], str | Iterable[str]]

LONGEST_REPLY = 100_000
"""Characters: a generator that goes on after them will hardly end."""


def llm_from_blocking(generate: Generate, *, threads: int = 8, nice: int = NICE) -> LLM:
    """Make a language model of a blocking function.

    It runs in threads of its own. A reply that is cancelled is abandoned at once: a generator is closed before its next
    piece, a plain function runs on to its end, unheard, and counts among ``threads`` until then.

    Args:
        generate: takes messages (``{"role": …, "content": …}``) and returns the reply, or an iterable of its pieces.
        threads: how often it may run at a time; further replies wait. 1 for code that is not thread-safe.
        nice: how far its threads stand back behind the media engine, as ``nice`` counts.
    """
    return _Blocking(generate, threads, nice)


class _Blocking:
    def __init__(self, generate: Generate, threads: int, nice: int) -> None:
        self._generate = generate
        self._free = anyio.Semaphore(threads)
        self._nice = nice

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> AsyncGenerator[AsyncIterable[Delta], None]:
        """Stream the reply; leaving the block abandons it. ``tools`` are not offered."""
        del tools
        await self._free.acquire()
        asked = [{"role": message.role, "content": message.content} for message in messages]
        reply = _Reply(partial(self._generate, asked), self._nice, self._free.release)
        reply.start()
        try:
            yield reply
        finally:
            reply.abandon()


class _Reply:
    """One reply: made in a thread, iterated on the event loop.

    Args:
        generate: makes it.
        nice: how far the thread stands back.
        done: called on the loop when the thread has ended.
    """

    def __init__(self, generate: Callable[[], str | Iterable[str]], nice: int, done: Callable[[], None]) -> None:
        self._generate = generate
        self._nice = nice
        self._done = done
        self._abandoned = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._pieces, self._reader = anyio.create_memory_object_stream[Delta](float("inf"))
        self._failure: Exception | None = None

    def start(self) -> None:
        """Start the thread. A daemon: one that hangs does not keep the program from ending."""
        work = partial(copy_context().run, self._work)
        threading.Thread(target=work, name="llm-blocking", daemon=True).start()

    def abandon(self) -> None:
        """Nobody wants the rest."""
        self._abandoned.set()
        self._pieces.close()
        self._reader.close()

    def _work(self) -> None:
        stand_back(self._nice)
        try:
            self._say_all(self._generate())
        except PluginError as error:
            self._failure = error
        except Exception as error:
            self._failure = PluginError(f"the blocking backend failed: {type(error).__name__}: {error}")
            self._failure.__cause__ = error
        finally:
            self._on_loop(self._end)

    def _say_all(self, reply: object) -> None:
        if isinstance(reply, str):
            return self._say(reply)
        if not isinstance(reply, Iterable):
            raise PluginError(f"generate returned {type(reply).__name__}, expected a str or an iterable of str")
        return self._say_each(reply)  # pyright: ignore[reportUnknownArgumentType]

    def _say_each(self, pieces: Iterable[object]) -> None:
        said = 0
        iterator = iter(pieces)
        try:
            for piece in iterator:
                if not isinstance(piece, str):
                    raise PluginError(f"generate gave a {type(piece).__name__} as piece of a reply, expected a str")
                said += len(piece)
                if said > LONGEST_REPLY:
                    raise PluginError(f"a reply is longer than {LONGEST_REPLY} characters: does generate ever end?")
                self._say(piece)
                if self._abandoned.is_set():
                    break
        finally:
            if isinstance(iterator, Generator):
                iterator.close()

    def _say(self, text: str) -> None:
        self._on_loop(partial(self._put, Delta(text)))

    def _put(self, delta: Delta) -> None:
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._pieces.send_nowait(delta)

    def _end(self) -> None:
        self._pieces.close()
        self._done()

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
                raise self._failure from self._failure.__cause__
            raise StopAsyncIteration from None
