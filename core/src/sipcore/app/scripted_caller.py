"""A caller with a script: it speaks when the other side is silent, interrupts when told to, and times both."""

from __future__ import annotations

from dataclasses import dataclass

import anyio
import numpy as np

from sipcore.audio.frame import AudioFrame
from sipcore.call.call import Call
from sipcore.errors import SipcoreError

LOUD = 200.0
"""Root mean square of 16-bit samples from which a frame is somebody speaking."""
PACKET = 0.02


class NothingHeardError(SipcoreError):
    """The far end did not speak, or did not stop speaking, in time."""


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


class ScriptedCaller:
    """One side of a call, with ears.

    Args:
        call: an answered call.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._last_loud = float("-inf")
        self._loud_since = float("inf")

    async def listen(self) -> None:
        """Hear the far end until the call is over; run it beside the script."""
        async with self._call.audio() as frames:
            async for frame in frames:
                if np.sqrt(np.mean(np.square(frame.samples, dtype=np.float64))) > LOUD:
                    now = anyio.current_time()
                    if now - self._last_loud > 1.0:
                        self._loud_since = now
                    self._last_loud = now

    async def hear_out(self, *, quiet: float = 1.2, start: float = 20.0, longest: float = 60.0) -> None:
        """Wait until the far end speaks, and then until it has been silent for ``quiet`` seconds."""
        await self.hear_start(start)
        with anyio.move_on_after(longest):
            while anyio.current_time() - self._last_loud < quiet:
                await anyio.sleep(PACKET)
            return
        raise NothingHeardError(f"the far end did not stop speaking for {longest:g} s")

    async def hear_start(self, longest: float = 20.0) -> float:
        """Wait until the far end speaks; since when."""
        asked = anyio.current_time()
        with anyio.move_on_after(longest):
            while self._last_loud < asked:
                await anyio.sleep(PACKET)
            return self._loud_since
        raise NothingHeardError(f"the far end said nothing for {longest:g} s")

    async def say(self, audio: AudioFrame) -> Spoken:
        """Speak; when that started and ended on the wire. ``audio`` begins and ends with speech, see `trim`."""
        end = await self._call.play(audio)
        started = await self._call.played(end - audio.duration + PACKET)
        ended = await self._call.played(end)
        if started is None or ended is None:
            raise NothingHeardError("what the caller says was cleared")
        return Spoken(started, ended)

    async def interrupt(self, audio: AudioFrame, *, quiet: float = 0.4) -> tuple[Spoken, float]:
        """Speak over the far end; when that was, and how many seconds after its start the far end was still heard."""
        async with anyio.create_task_group() as tasks:
            silence: list[float] = []

            async def wait_for_silence() -> None:
                while anyio.current_time() - self._last_loud < quiet:
                    await anyio.sleep(PACKET / 2)
                silence.append(self._last_loud)

            tasks.start_soon(wait_for_silence)
            spoken = await self.say(audio)
            with anyio.move_on_after(10):
                while not silence:
                    await anyio.sleep(PACKET)
            tasks.cancel_scope.cancel()
        if not silence:
            raise NothingHeardError("the far end did not stop when it was interrupted")
        return spoken, max(0.0, silence[0] - spoken.start)
