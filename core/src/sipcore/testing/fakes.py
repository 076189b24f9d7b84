"""Stand-ins for a call and for the engines of a conversation, in the test's own time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import numpy as np
from numpy.typing import NDArray

from sipcore.audio.frame import AudioFrame
from sipcore.errors import CallEndedError
from sipcore.plugins.interfaces import CallEvent, CallInfo, Delta, Message, Speech, Tool, Transcript, Voice

RATE = 8000
FRAME = 0.02


def loud(seconds: float) -> AudioFrame:
    """Audio that `FakeVAD` takes for speech."""
    return AudioFrame.from_samples(np.full(round(seconds * RATE), 8000, np.int16), RATE)


def quiet(seconds: float) -> AudioFrame:
    """Silence."""
    return AudioFrame.from_samples(np.zeros(round(seconds * RATE), np.int16), RATE)


class FakeCall:
    """A `CallHandle` whose caller follows a script and whose playout follows the clock.

    Args:
        script: what the caller says, in order, from the moment that somebody listens; then the call ends.
    """

    def __init__(self, script: Iterable[AudioFrame]) -> None:
        self.info = CallInfo("call-1", "incoming", "sip:alice@test", "sip:bob@test")
        self.sample_rate = RATE
        self.events: list[CallEvent] = []
        self.digits_sent = ""
        self.hung_up: str | None = None
        self.on_hold = False
        self.transferred_to = ""
        self.cleared_at: list[float] = []
        self.over = False
        self._script = list(script)
        self._queued = 0.0
        self._start_time = 0.0
        self._start_position = 0.0
        self._clears = 0

    @property
    def heard(self) -> float:
        """The position that the caller has heard, seconds."""
        return min(self._queued, self._start_position + anyio.current_time() - self._start_time)

    @asynccontextmanager
    async def audio(self) -> AsyncGenerator[AsyncIterable[AudioFrame], None]:
        """The script, in 20 ms frames."""
        yield self._speak()

    async def _speak(self) -> AsyncIterator[AudioFrame]:
        pcm = b"".join(frame.pcm for frame in self._script)
        step = round(RATE * FRAME) * 2
        for start in range(0, len(pcm) - step + 1, step):
            await anyio.sleep(FRAME)
            yield AudioFrame(pcm[start : start + step], RATE)
        self.over = True

    @asynccontextmanager
    async def digits(self) -> AsyncGenerator[AsyncIterable[str], None]:
        """No digits."""

        async def none() -> AsyncIterator[str]:
            for digit in "":
                yield digit

        yield none()

    async def play(self, audio: AudioFrame) -> float:
        """Queue audio."""
        self._check()
        if self.heard >= self._queued:
            self._start_time, self._start_position = anyio.current_time(), self._queued
        self._queued += audio.duration
        return self._queued

    async def played(self, position: float) -> float | None:
        """Sleep until the audio was heard."""
        clears = self._clears
        while self.heard < position - 1e-9:
            self._check()
            await anyio.sleep(FRAME / 4)
            if self._clears != clears:
                return None
        return anyio.current_time()

    async def clear(self) -> float:
        """Drop what was not heard yet."""
        self._check()
        self._queued = self.heard
        self._clears += 1
        self.cleared_at.append(anyio.current_time())
        return self._queued

    async def send_digits(self, digits: str) -> None:
        """Remember them."""
        self.digits_sent += digits

    async def hold(self) -> None:
        """Remember it."""
        self.on_hold = True

    async def resume(self) -> None:
        """Remember it."""
        self.on_hold = False

    async def transfer(self, target: str) -> None:
        """Remember it."""
        self.transferred_to = target

    async def hang_up(self, reason: str = "") -> None:
        """Remember it."""
        self.hung_up = reason

    def report(self, event: CallEvent) -> None:
        """Remember it."""
        self.events.append(event)

    def _check(self) -> None:
        if self.over:
            raise CallEndedError("the call is over")


class FakeDetector:
    """Speech is what is loud."""

    sample_rate = RATE
    frame_samples = 256

    def probability(self, frame: NDArray[np.int16]) -> float:
        """1.0 when half of the frame is loud."""
        return float(np.mean(np.abs(frame) > 1000) > 0.5)


class FakeVAD:
    """Voice activity by loudness alone."""

    def detector(self) -> FakeDetector:
        """Make a detector."""
        return FakeDetector()


@dataclass
class FakeSTT:
    """Says the next of ``texts`` for each utterance, after ``delay`` seconds."""

    texts: list[str]
    delay: float = 0.1
    heard: list[Speech] = field(default_factory=list[Speech])

    async def transcribe(self, speech: Speech) -> Transcript:
        """Take the next text."""
        self.heard.append(speech)
        await anyio.sleep(self.delay)
        return Transcript(self.texts[min(len(self.heard), len(self.texts)) - 1], "en")


@dataclass
class FakeLLM:
    """Replies with the next of ``replies``, a word at a time; an exception among them is raised."""

    replies: list[str | Exception]
    delay: float = 0.02
    asked: list[list[Message]] = field(default_factory=list[list[Message]])
    running: int = 0

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> AsyncGenerator[AsyncIterable[Delta], None]:
        """Stream the next reply."""
        del tools
        self.asked.append(list(messages))
        self.running += 1
        try:
            yield self._words(self.replies[min(len(self.asked), len(self.replies)) - 1])
        finally:
            self.running -= 1

    async def _words(self, reply: str | Exception) -> AsyncIterator[Delta]:
        if isinstance(reply, Exception):
            raise reply
        for word in reply.split():
            await anyio.sleep(self.delay)
            yield Delta(word + " ")


@dataclass
class FakeTTS:
    """Speaks at ``seconds`` of audio a letter, ten times as fast as it is heard."""

    seconds: float = 0.05
    spoken: list[str] = field(default_factory=list[str])

    @asynccontextmanager
    async def synthesize(
        self, text: AsyncIterable[str], voice: Voice
    ) -> AsyncGenerator[AsyncIterable[AudioFrame], None]:
        """Stream audio for ``text``."""
        del voice
        yield self._frames(text)

    async def _frames(self, text: AsyncIterable[str]) -> AsyncIterator[AudioFrame]:
        async for piece in text:
            self.spoken.append(piece)
            for _ in piece:
                await anyio.sleep(self.seconds / 10)
                yield loud(self.seconds)
