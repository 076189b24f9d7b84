"""The jitter buffer: a ring of samples addressed by RTP timestamp, read by the clock.

It works in time, not in packets: samples lie where their timestamp says, so that reordered packets, duplicates and any
packet length sort themselves out, and what did not come is silence.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

RING_SAMPLES = 8192
"""Samples that fit; a power of two."""
FRAME = 160
"""Samples that each `JitterBuffer.get` returns: 20 ms at 8 kHz."""
DEPTH = 2 * FRAME
"""How long a packet waits beyond the frame that it fills, in samples: what a packet may be late."""
DEPTH_LIMIT = 10 * FRAME
"""The longest wait that a late stream may bring about."""
WINDOW = 100
"""Frames over which the least headroom is watched."""
FORCED_SURPLUS = 8
"""From so many frames too many in the buffer, one is dropped even from speech."""
QUIET_PEAK = 300
"""A frame whose samples stay below this may be dropped unheard."""
STALE_FRAMES = 50
"""After so many frames of nothing but late packets the stream is taken as it now comes."""
JUMP = 8000
"""A step of more samples than this, back from what came last, is a new clock and no late packet."""
_FULL = 1 << 40


class Verdict(IntEnum):
    """What became of a packet's samples."""

    BUFFERED = 0
    LATE = 1
    RESET = 2


class JitterBuffer:
    """The jitter buffer of one stream.

    Args:
        ring: storage of `RING_SAMPLES` zeros (int16); a batch engine passes a row of its own array.

    Attributes (a batch engine keeps them as columns), positions in unwrapped timestamp units:
        started: 1 once a packet has come.
        play: position of the next sample to play.
        newest: position after the newest sample that came.
        low: the least headroom (samples buffered when a frame is read) in this window.
        gets: frames read in this window.
        surplus: frames too many in the buffer, to be dropped in silence.
        late_gets: frames read since a packet came in time, while only late ones came; -1 when none was late.
        stretched: frames of delay added because the stream came late.
        skipped: frames dropped to take delay out.
        resets: how often the source's timestamps jumped.
    """

    STATE = ("started", "play", "newest", "low", "gets", "surplus", "late_gets", "stretched", "skipped", "resets")
    __slots__ = ("gets", "late_gets", "low", "newest", "play", "resets", "ring", "skipped", "started", "stretched",
                 "surplus")  # fmt: skip

    def __init__(self, ring: NDArray[np.int16] | None = None) -> None:
        self.ring = np.zeros(RING_SAMPLES, np.int16) if ring is None else ring
        self.started = self.play = self.newest = self.gets = self.surplus = 0
        self.stretched = self.skipped = self.resets = 0
        self.low = _FULL
        self.late_gets = -1

    def put(self, timestamp: int, samples: NDArray[np.int16], *, in_order: bool = True) -> Verdict:
        """Store a packet's samples.

        Args:
            timestamp: the packet's 32-bit timestamp.
            samples: decoded, at most `RING_SAMPLES` - `DEPTH`.
            in_order: no newer packet has come before this one.
        """
        if not self.started:
            self._begin(timestamp, samples)
            return Verdict.BUFFERED
        position = unwrap(timestamp, self.newest)
        if self._jumped(position, len(samples), in_order=in_order):
            self.restart()
            self.resets += 1
            self._begin(timestamp, samples)
            return Verdict.RESET
        if position < self.play and in_order:
            self._wait_for(position)
        late = max(0, self.play - position)
        if late >= len(samples):
            self.late_gets = max(self.late_gets, 0)
            return Verdict.LATE
        self.late_gets = -1
        self._write(position + late, samples[late:])
        return Verdict.BUFFERED

    def get(self) -> NDArray[np.int16]:
        """Read the next `FRAME` samples; silence where nothing came."""
        if not self.started:
            return np.zeros(FRAME, np.int16)
        self._watch()
        frame = self._read()
        if self.surplus and (self.surplus >= FORCED_SURPLUS or np.abs(frame.astype(np.int32)).max() < QUIET_PEAK):
            self.surplus -= 1
            self.skipped += 1
            return self._read()
        return frame

    def restart(self) -> None:
        """Forget the stream: the next packet starts a new one."""
        self.ring[:] = 0
        self.started = self.gets = self.surplus = 0
        self.low = _FULL
        self.late_gets = -1

    def _begin(self, timestamp: int, samples: NDArray[np.int16]) -> None:
        self.started = 1
        self.play = timestamp - DEPTH
        self.newest = timestamp
        self._write(timestamp, samples)

    def _jumped(self, position: int, count: int, *, in_order: bool) -> bool:
        if position + count > self.play + RING_SAMPLES:
            return True
        if not in_order or position >= self.play:
            return False
        return self.late_gets >= STALE_FRAMES or position < self.newest - JUMP

    def _wait_for(self, position: int) -> None:
        """The whole stream is late, as nothing newer has been played: play later from now on, within the limit."""
        frames = -(-(self.play - position) // FRAME)
        if frames * FRAME <= DEPTH_LIMIT - DEPTH:
            self.play -= frames * FRAME
            self.stretched += frames

    def _watch(self) -> None:
        self.low = min(self.low, self.newest - self.play)
        self.gets += 1
        if self.late_gets >= 0:
            self.late_gets += 1
        if self.gets >= WINDOW:
            self.surplus = max(0, (self.low - DEPTH - FRAME) // FRAME)
            self.low = _FULL
            self.gets = 0

    def _write(self, position: int, samples: NDArray[np.int16]) -> None:
        self.ring[(position + np.arange(len(samples))) % RING_SAMPLES] = samples
        self.newest = max(self.newest, position + len(samples))

    def _read(self) -> NDArray[np.int16]:
        where = (self.play + np.arange(FRAME)) % RING_SAMPLES
        frame = self.ring[where]
        self.ring[where] = 0
        self.play += FRAME
        return frame


def unwrap(timestamp: int, near: int) -> int:
    """Extend a 32-bit timestamp to the value nearest ``near``."""
    return near + ((timestamp - near + 0x80000000 & 0xFFFFFFFF) - 0x80000000)
