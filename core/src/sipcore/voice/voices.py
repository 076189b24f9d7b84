"""A voice for every language: the chosen engine's, or that of an engine of last resort."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from sipcore.audio.frame import AudioFrame
from sipcore.errors import PluginError
from sipcore.plugins.interfaces import TTS, Voice

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NamedTTS:
    """An engine, and its provider's name for the log."""

    name: str
    engine: TTS


@dataclass(slots=True)
class Voices:
    """A `TTS` of two: the second speaks what the first has no voice for, or fails to begin.

    Args:
        main: speaks what it can.
        fallback: speaks the rest.
    """

    main: NamedTTS
    fallback: NamedTTS
    _elsewhere: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    @asynccontextmanager
    async def synthesize(
        self, text: AsyncIterable[str], voice: Voice
    ) -> AsyncGenerator[AsyncIterable[AudioFrame], None]:
        """Speak ``text``; a voice that the main engine refuses once is the other's from then on.

        Raises:
            PluginError: neither has such a voice: what the main engine said; while iterating: both failed.
        """
        async with AsyncExitStack() as stack:
            if (voice.language, voice.name) not in self._elsewhere:
                try:
                    kept = _Kept(text)
                    frames = await stack.enter_async_context(self.main.engine.synthesize(kept.fresh(), voice))
                except PluginError as error:
                    await self._move(voice, error)
                else:
                    yield self._frames(frames, kept, voice, stack)
                    return
            yield await stack.enter_async_context(self.fallback.engine.synthesize(text, voice))

    async def _move(self, voice: Voice, error: PluginError) -> None:
        """Let the other engine have a voice, if it knows it.

        Raises:
            PluginError: ``error``: it does not.
        """
        try:
            async with self.fallback.engine.synthesize(_Kept(_nothing()).fresh(), voice):
                pass
        except PluginError:
            raise error from None
        self._elsewhere.add((voice.language, voice.name))
        what = f"voice {voice.name} for {voice.language}" if voice.name else f"voice for {voice.language}"
        logger.warning("%s has no %s: %s speaks it (%s)", self.main.name, what, self.fallback.name, error)

    async def _frames(
        self, frames: AsyncIterable[AudioFrame], kept: _Kept, voice: Voice, stack: AsyncExitStack
    ) -> AsyncIterator[AudioFrame]:
        """Give the main engine's audio; when it fails before the first of it, the other's."""
        begun = False
        try:
            async for frame in frames:
                begun = begun or bool(frame.pcm)
                yield frame
        except Exception as error:
            if begun:
                raise
            logger.warning("%s failed, %s speaks instead: %s", self.main.name, self.fallback.name, error)
        else:
            return
        async for frame in await stack.enter_async_context(self.fallback.engine.synthesize(kept.again(), voice)):
            yield frame


class _Kept:
    """A text that can be read a second time, as far as it was read."""

    def __init__(self, text: AsyncIterable[str]) -> None:
        self._text = aiter(text)
        self._read: list[str] = []

    async def fresh(self) -> AsyncIterator[str]:
        """Read on."""
        async for piece in self._text:
            self._read.append(piece)
            yield piece

    async def again(self) -> AsyncIterator[str]:
        """Read from the beginning."""
        for piece in list(self._read):
            yield piece
        async for piece in self._text:
            yield piece


async def _nothing() -> AsyncIterator[str]:
    for text in ():
        yield text
