"""The provider's engine: voices loaded once, sentences spoken in threads of their own, streams that can be left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
from sipcore.plugins import TTS, AudioFrame, Voice
from sipcore.plugins.threads import stand_back

from sipcore_tts_piper.config import Config
from sipcore_tts_piper.speaker import Speaker, load_speaker

QUEUE = 4
"""Frames (a sentence or clause each) that are made ahead of the one being played."""

T = TypeVar("T")


class Piper:
    """Speaks, for all calls.

    Args:
        config: the settings.
        pool: the threads that work.
    """

    def __init__(self, config: Config, pool: ThreadPoolExecutor) -> None:
        self._config = config
        self._catalogue = config.catalogue()
        self._pool = pool
        self._found: dict[tuple[str, str], Speaker] = {}
        self._loaded: dict[Path, Speaker] = {}
        self._loading = anyio.Lock()

    @asynccontextmanager
    async def synthesize(
        self, text: AsyncIterable[str], voice: Voice
    ) -> AsyncGenerator[AsyncIterable[AudioFrame], None]:
        """Speak each item of ``text`` as it comes; a few items ahead of whoever listens.

        Leaving the block stops after the sentence that is being worked on, and does not wait for it.

        Raises:
            PluginError: there is no such voice, or it cannot be loaded; while iterating: a sentence cannot be spoken.
        """
        speaker = await self.load(voice)
        speech = _Speech(self._pool, partial(speaker.say, speed=voice.speed * self._config.speed), text)
        failure: Exception | None = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(speech.run)
                try:
                    yield speech
                except Exception as error:
                    failure = error  # raised below, so that it does not arrive as a group
                tasks.cancel_scope.cancel()
        finally:
            speech.close()
        if failure is not None:
            raise failure

    async def check(self) -> None:
        """Find the voice of every language that the settings name, and load the default language's."""
        for language in self._config.voices:
            await anyio.to_thread.run_sync(self._catalogue.find, Voice(language))
        await self.load(Voice(self._config.language))

    async def load(self, voice: Voice) -> Speaker:
        """Return a voice; it is loaded when it is first asked for.

        Raises:
            PluginError: there is no such voice, or its files are damaged.
        """
        voice = Voice(voice.language or self._config.language, voice.name)
        key = (voice.language, voice.name)
        if key not in self._found:
            path = await anyio.to_thread.run_sync(self._catalogue.find, voice)
            async with self._loading:
                if path not in self._loaded:
                    self._loaded[path] = await _work(self._pool, partial(load_speaker, path, self._config))
            self._found[key] = self._loaded[path]
        return self._found[key]


class _Speech:
    """One stream: made ahead by `run`, iterated by whoever plays it."""

    def __init__(
        self, pool: ThreadPoolExecutor, say: Callable[[str], Iterator[AudioFrame]], text: AsyncIterable[str]
    ) -> None:
        self._pool = pool
        self._say = say
        self._text = text
        self._frames, self._listener = anyio.create_memory_object_stream[AudioFrame](QUEUE)
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Speak all of the text; an error is kept for whoever iterates."""
        with self._frames:
            try:
                async for item in self._text:
                    sentences = self._say(item)
                    while (frame := await _work(self._pool, partial(next, sentences, None))) is not None:
                        await self._frames.send(frame)
            except Exception as error:
                self._failure = error

    def close(self) -> None:
        """Let go of what was not played."""
        self._frames.close()
        self._listener.close()

    def __aiter__(self) -> _Speech:
        return self

    async def __anext__(self) -> AudioFrame:
        try:
            return await self._listener.receive()
        except anyio.EndOfStream:
            if self._failure is not None:
                raise self._failure from None
            raise StopAsyncIteration from None


async def _work(pool: ThreadPoolExecutor, task: Callable[[], T]) -> T:
    """Run blocking work in the pool. Cancelled, it is abandoned, or never begun if it still waits for a thread."""
    return await asyncio.wrap_future(pool.submit(task))


@asynccontextmanager
async def open_piper(config: Config) -> AsyncGenerator[TTS, None]:
    """Load the default language's voice, warm it up, and see that every voice that the settings name is there.

    Raises:
        PluginError: a voice is missing or damaged; the text says what to put where.
    """
    pool = ThreadPoolExecutor(config.concurrency, "piper", initializer=partial(stand_back, config.nice))
    try:
        piper = Piper(config, pool)
        await piper.check()
        yield piper
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(partial(pool.shutdown, cancel_futures=True))
