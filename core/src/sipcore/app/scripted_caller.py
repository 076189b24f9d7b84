"""A caller with a script: it speaks when the other side is silent, interrupts when told to, and times both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import anyio
import numpy as np

from sipcore.audio.frame import AudioFrame
from sipcore.errors import SipcoreError
from sipcore.plugins.interfaces import CallHandle

LOUD = 200.0
"""Root mean square of 16-bit samples from which a frame is somebody speaking."""
PACKET = 0.02
PAUSE = 0.5
"""Seconds of silence between two bursts of speech."""


class NothingHeardError(SipcoreError):
    """The far end did not speak, or did not stop speaking, in time; or it hung up."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """When something was said: first and last packet with speech in it, monotonic seconds."""

    start: float
    end: float


def trim(audio: AudioFrame) -> AudioFrame:
    """Cut the silence off both ends, so that it is known when speech starts and ends."""
    step = round(audio.sample_rate * PACKET)
    samples = audio.samples
    blocks = samples[: len(samples) // step * step].reshape(-1, step).astype(np.float64)
    loud = np.flatnonzero(np.sqrt(np.mean(np.square(blocks), axis=1)) > LOUD)
    if not len(loud):
        return audio
    return AudioFrame.from_samples(samples[loud[0] * step : (loud[-1] + 1) * step], audio.sample_rate)


@dataclass(slots=True)
class Burst:
    """Speech of the far end without a longer pause: when it was first and last heard, monotonic seconds."""

    start: float
    end: float


class ScriptedCaller:
    """One side of a call, with ears.

    Args:
        call: an answered call.
    """

    def __init__(self, call: CallHandle) -> None:
        self._call = call
        self._bursts: list[Burst] = []
        self._heard = anyio.Condition()
        self._over = False

    async def listen(self) -> None:
        """Hear the far end until the call is over; run it beside the script."""
        async with self._call.audio() as frames:
            async for frame in frames:
                if np.sqrt(np.mean(np.square(frame.samples, dtype=np.float64))) > LOUD:
                    self._hear(anyio.current_time())
                await self._tell()
        self._over = True
        await self._tell()

    async def _tell(self) -> None:
        async with self._heard:
            self._heard.notify_all()

    def _hear(self, now: float) -> None:
        if self._bursts and now - self._bursts[-1].end < PAUSE:
            self._bursts[-1].end = now
        else:
            self._bursts.append(Burst(now, now))

    async def hear_start(self, longest: float = 20.0) -> None:
        """Wait until the far end speaks."""
        asked = anyio.current_time()
        await self._until(
            lambda: bool(self._bursts) and self._bursts[-1].end >= asked,
            longest,
            f"the far end said nothing for {longest:g} s",
        )

    async def hear_out(self, *, quiet: float = 1.2, start: float = 20.0, longest: float = 60.0) -> None:
        """Wait until the far end speaks, and then until it has been silent for ``quiet`` seconds."""
        await self.hear_start(start)
        await self._until(
            lambda: anyio.current_time() - self._bursts[-1].end >= quiet,
            longest,
            f"the far end did not stop speaking for {longest:g} s",
        )

    async def say(self, audio: AudioFrame) -> Spoken:
        """Speak; when that started and ended on the wire. ``audio`` begins and ends with speech, see `trim`."""
        end = await self._call.play(audio)
        started = await self._call.played(end - audio.duration + PACKET)
        ended = await self._call.played(end)
        if started is None or ended is None:
            raise NothingHeardError("what the caller says was cleared")
        return Spoken(started, ended)

    async def interrupt(self, audio: AudioFrame) -> tuple[Spoken, float]:
        """Speak over the far end; when that was, and how many seconds after its start the far end was still heard."""
        burst = self._bursts[-1]
        spoken = await self.say(audio)
        await self._until(
            lambda: self._bursts[-1] is not burst or anyio.current_time() - burst.end > PAUSE,
            10.0,
            "the far end did not stop when it was interrupted",
        )
        return spoken, max(0.0, burst.end - spoken.start)

    async def _until(self, done: Callable[[], bool], longest: float, problem: str) -> None:
        """Wait for the frame after which something is true."""
        with anyio.move_on_after(longest):
            async with self._heard:
                while not done():
                    if self._over:
                        raise NothingHeardError("the far end hung up")
                    await self._heard.wait()
                return
        raise NothingHeardError(problem)
