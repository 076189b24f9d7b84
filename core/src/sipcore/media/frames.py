"""Frames in rings of samples, for many calls at once."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sipcore.rtp.jitter import FRAME

_OFFSETS = np.arange(FRAME)


class FrameRings:
    """Reads and writes `FRAME` samples at any position of each call's ring.

    A frame that does not lie over its ring's end moves as one block; only the others go sample by sample.

    Args:
        rings: int16, shape (slots, size); kept, not copied.
    """

    def __init__(self, rings: NDArray[np.int16]) -> None:
        self._size = rings.shape[1]
        self._samples = rings.reshape(-1)
        self._windows = sliding_window_view(self._samples, FRAME, writeable=True)

    def read(self, rows: NDArray[np.intp], positions: NDArray[np.int64]) -> NDArray[np.int16]:
        """Return the frame at each row's position, int16, shape (n, FRAME)."""
        at = positions % self._size
        over = np.flatnonzero(at > self._size - FRAME)
        starts = rows * self._size + at
        if not len(over):
            return self._windows[starts]
        starts[over] = 0
        frames = self._windows[starts]
        frames[over] = self._samples[self._wrapped(rows[over], at[over])]
        return frames

    def write(self, rows: NDArray[np.intp], positions: NDArray[np.int64], frames: NDArray[np.int16] | int) -> None:
        """Write a frame at each row's position; a number fills the frames."""
        at = positions % self._size
        over = np.flatnonzero(at > self._size - FRAME)
        starts = rows * self._size + at
        if not len(over):
            self._windows[starts] = frames
            return
        whole = np.flatnonzero(at <= self._size - FRAME)
        self._windows[starts[whole]] = frames if isinstance(frames, int) else frames[whole]
        self._samples[self._wrapped(rows[over], at[over])] = frames if isinstance(frames, int) else frames[over]

    def _wrapped(self, rows: NDArray[np.intp], at: NDArray[np.int64]) -> NDArray[np.intp]:
        return (rows * self._size)[:, None] + (at[:, None] + _OFFSETS) % self._size
