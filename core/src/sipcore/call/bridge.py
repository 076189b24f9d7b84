"""Two calls joined: each far end hears the other."""

from __future__ import annotations

from collections import deque
from contextlib import suppress

import anyio
import numpy as np

from sipcore.audio.frame import AudioFrame
from sipcore.call.call import Call
from sipcore.errors import CallEndedError

LATE_SECONDS = 0.3
"""A far end that is behind by more (it was on hold) is brought up to date."""
WHISPER_SECONDS = 10.0


class Bridge:
    """Copies what each far end says to the other, in the server's process.

    Args:
        first: a call.
        second: another one.
    """

    def __init__(self, first: Call, second: Call) -> None:
        self._calls = (first, second)
        self._whispers: dict[str, deque[bytes]] = {call.info.call_id: deque() for call in self._calls}

    async def run(self) -> None:
        """Join them until one of them ends, or this is cancelled."""
        first, second = self._calls
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._pump, first, second, tasks.cancel_scope)
            tasks.start_soon(self._pump, second, first, tasks.cancel_scope)

    def whisper(self, call: Call, audio: AudioFrame) -> bool:
        """Let one far end hear ``audio`` over the other; False when too much of it waits."""
        waiting = self._whispers[call.info.call_id]
        size = 2 * call.sample_rate // 50
        if len(waiting) / 50 + audio.duration > WHISPER_SECONDS:
            return False
        waiting.extend(audio.pcm[start : start + size] for start in range(0, len(audio.pcm), size))
        return True

    async def _pump(self, source: Call, sink: Call, scope: anyio.CancelScope) -> None:
        waiting = self._whispers[sink.info.call_id]
        with suppress(CallEndedError):
            async with source.audio() as frames:
                async for frame in frames:
                    if sink.queued > LATE_SECONDS:
                        await sink.clear()
                    sink.try_play(_mixed(frame, waiting.popleft()) if waiting else frame)
        scope.cancel()


def _mixed(frame: AudioFrame, pcm: bytes) -> AudioFrame:
    """Add both, as loud as they are; what is too loud is clipped."""
    total = frame.samples.astype(np.int32)
    added = np.frombuffer(pcm, "<i2")
    total[: len(added)] += added
    return AudioFrame.from_samples(np.clip(total, -32768, 32767).astype(np.int16), frame.sample_rate)
