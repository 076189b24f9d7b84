"""Text to the caller's ear, and which of it was really heard."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

import anyio
import numpy as np

from sipcore.audio.frame import AudioFrame
from sipcore.audio.resample import Resampler
from sipcore.plugins.interfaces import TTS, CallHandle, Voice
from sipcore.voice.patience import Patience


@dataclass(slots=True)
class Spoken:
    """A piece of text and where its audio lies: positions in seconds, see `CallHandle`."""

    text: str
    start: float
    end: float

    def heard(self, position: float) -> str:
        """The words of it that were played before ``position``: time is shared out among them by their length."""
        if position >= self.end:
            return self.text
        if position <= self.start:
            return ""
        letters = (position - self.start) / (self.end - self.start) * len(self.text)
        words: list[str] = []
        for word in self.text.split():
            letters -= len(word) / 2
            if letters <= 0:
                break
            words.append(word)
            letters -= len(word) / 2 + 1
        return " ".join(words)


class Playout:
    """Speaks the pieces of one reply on a call.

    Args:
        call: where to.
        tts: the engine.
        voice: whose voice; may be changed between pieces.
        patience: renewed by every piece of audio; suspended while the caller listens.
        before_first: awaited when the first audio is there and before it is queued: the gate of a speculative reply.
        kept: whether the audio is kept, for `audio`.
    """

    def __init__(
        self,
        call: CallHandle,
        tts: TTS,
        voice: Voice,
        patience: Patience,
        before_first: Callable[[], Awaitable[None]] | None = None,
        *,
        kept: bool = False,
    ) -> None:
        self.voice = voice
        self._call = call
        self._tts = tts
        self._patience = patience
        self._gate = before_first
        self._audio = bytearray() if kept else None
        self._spoken: list[Spoken] = []
        self.started = anyio.Event()

    @property
    def start(self) -> float:
        """The position at which the reply's audio starts."""
        return self._spoken[0].start

    async def say(self, text: str) -> None:
        """Synthesise ``text`` and queue it; returns when all of it is queued, not when it was heard."""
        piece = Spoken(text, 0.0, 0.0)
        resampler: Resampler | None = None
        rate = self._call.sample_rate
        async with self._tts.synthesize(_once(text), self.voice) as frames:
            async for frame in frames:
                if frame.sample_rate != rate:
                    resampler = resampler or Resampler(frame.sample_rate, rate)
                    frame = AudioFrame.from_samples(resampler.process(frame.samples), rate)  # noqa: PLW2901
                await self._queue(piece, frame)
        if resampler is not None:
            await self._queue(piece, AudioFrame.from_samples(resampler.process(np.empty(0, np.int16), last=True), rate))

    async def play(self, audio: AudioFrame, text: str = "") -> None:
        """Queue audio of the call's rate that says ``text``."""
        await self._queue(Spoken(text, 0.0, 0.0), audio)

    async def finish(self) -> None:
        """Wait until everything queued was heard or cleared."""
        if self._spoken:
            with self._patience.suspended():
                await self._call.played(self._spoken[-1].end)

    def heard(self, position: float) -> str:
        """The text that was played before ``position``."""
        return " ".join(filter(None, (piece.heard(position) for piece in self._spoken)))

    def audio(self, position: float) -> AudioFrame | None:
        """The audio that was played before ``position``; None when there is none, or it is not kept."""
        if not self._audio or not self._spoken:
            return None
        rate = self._call.sample_rate
        samples = round((min(position, self._spoken[-1].end) - self.start) * rate)
        return AudioFrame(bytes(self._audio[: 2 * samples]), rate) if samples > 0 else None

    async def _queue(self, piece: Spoken, frame: AudioFrame) -> None:
        if not frame.pcm:
            return
        with self._patience.suspended():
            if self._gate is not None:
                gate, self._gate = self._gate, None
                await gate()
            piece.end = await self._call.play(frame)
        if self._audio is not None:
            self._audio += frame.pcm
        if not self._spoken or self._spoken[-1] is not piece:
            piece.start = piece.end - frame.duration
            self._spoken.append(piece)
            self.started.set()


async def _once(text: str) -> AsyncGenerator[str, None]:
    yield text
