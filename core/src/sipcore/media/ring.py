"""The shared memory of server and engine: per call a ring of audio each way, and cursors.

Every cursor is an absolute count and has one writer; samples are written before the cursor that tells of them.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sipcore.rtp.jitter import FRAME

HISTORY = 1024
"""Frames sent that are remembered with their time: 20 s."""
KEPT_FRAMES = 240
"""Frames that a slow reader may lag behind, unless a shape says otherwise: 4.8 s."""
SPARE_FRAMES = 16
"""Frames beside those: they keep a reader that is interrupted from reading torn samples."""


class Cursor(IntEnum):
    """The cursors of a call."""

    WRITTEN = 0
    """Samples that the server queued (ring position)."""
    READ = 1
    """Samples that the engine took or dropped (ring position)."""
    SENT = 2
    """Samples really sent: what is cleared does not count. The position that a channel's owner sees."""
    SENT_FRAMES = 3
    """Entries of the history."""
    HEARD = 4
    """Frames heard."""
    WATCHED = 5
    """Set by the server while somebody waits for this call."""


@dataclass(frozen=True, slots=True)
class ArenaShape:
    """How large the shared memory is.

    Args:
        slots: calls.
        outbound_samples: samples that can be queued a call.
        kept_frames: frames that a slow reader of a call may lag behind.
    """

    slots: int
    outbound_samples: int
    kept_frames: int = KEPT_FRAMES

    @property
    def inbound_frames(self) -> int:
        """Frames heard that the ring of a call holds."""
        return self.kept_frames + SPARE_FRAMES


class Arena:
    """The shared memory, mapped. Pages that no call has touched cost nothing.

    Args:
        descriptor: of a file of `size` bytes; closed by this object's owner.
        shape: how large it is; both processes must agree.

    Attributes:
        cursors: int64, shape (slots, len(Cursor)).
        sent_end: int64, shape (slots, HISTORY): `Cursor.SENT` after a frame.
        sent_at: float64, shape (slots, HISTORY): when it was sent, monotonic seconds.
        inbound: int16, shape (slots, inbound_frames, FRAME).
        outbound: int16, shape (slots, outbound_samples).
    """

    def __init__(self, descriptor: int, shape: ArenaShape) -> None:
        self.shape = shape
        buffer = mmap.mmap(descriptor, size(shape))
        slots = shape.slots
        at = 0

        def take(kind: type[np.generic], *dimensions: int) -> NDArray[np.generic]:
            nonlocal at
            count = int(np.prod(dimensions))
            view = np.frombuffer(buffer, kind, count, at).reshape(dimensions)
            at += view.nbytes
            return view

        self.cursors: NDArray[np.int64] = take(np.int64, slots, len(Cursor)).view(np.int64)
        self.sent_end: NDArray[np.int64] = take(np.int64, slots, HISTORY).view(np.int64)
        self.sent_at: NDArray[np.float64] = take(np.float64, slots, HISTORY).view(np.float64)
        self.inbound: NDArray[np.int16] = take(np.int16, slots, shape.inbound_frames, FRAME).view(np.int16)
        self.outbound: NDArray[np.int16] = take(np.int16, slots, shape.outbound_samples).view(np.int16)

    def queue(self, row: int, samples: NDArray[np.int16]) -> int:
        """Queue as many samples as there is room for (server); return how many."""
        cursors = self.cursors[row]
        written = int(cursors[Cursor.WRITTEN])
        capacity = self.shape.outbound_samples
        count = min(len(samples), capacity - (written - int(cursors[Cursor.READ])))
        start = written % capacity
        first = min(count, capacity - start)
        self.outbound[row, start : start + first] = samples[:first]
        self.outbound[row, : count - first] = samples[first:count]
        cursors[Cursor.WRITTEN] = written + count
        return count

    def record_sent(self, rows: Sequence[int] | NDArray[np.intp], counts: NDArray[np.int64], at: float) -> None:
        """Note that ``counts`` samples of each row were sent at ``at`` (engine)."""
        cursors = self.cursors
        end = cursors[rows, Cursor.SENT] + counts
        entry = cursors[rows, Cursor.SENT_FRAMES]
        self.sent_end[rows, entry % HISTORY] = end
        self.sent_at[rows, entry % HISTORY] = at
        cursors[rows, Cursor.SENT_FRAMES] = entry + 1
        cursors[rows, Cursor.SENT] = end

    def sent_time(self, row: int, position: int) -> float | None:
        """Return when the frame that holds the last sample before ``position`` was sent; None before that (server).

        For a frame older than the history, the time of the oldest frame in it.
        """
        if int(self.cursors[row, Cursor.SENT]) < position:
            return None
        entries = int(self.cursors[row, Cursor.SENT_FRAMES])
        kept = np.arange(max(0, entries - HISTORY), entries) % HISTORY
        if not len(kept):
            return None
        ends = self.sent_end[row, kept]
        index = min(int(np.searchsorted(ends, position)), len(kept) - 1)
        return float(self.sent_at[row, kept[index]])

    def heard_since(self, row: int, frame: int) -> tuple[bytes | None, int]:
        """Return frame number ``frame`` if it was heard, and how many frames were overwritten before it (server)."""
        heard = int(self.cursors[row, Cursor.HEARD])
        if frame >= heard:
            return None, 0
        oldest = heard - self.shape.kept_frames
        lost = max(0, oldest - frame)
        return self.inbound[row, (frame + lost) % self.shape.inbound_frames].tobytes(), lost

    def clean(self, row: int) -> None:
        """Prepare a row for a new call (engine)."""
        self.cursors[row] = 0


def size(shape: ArenaShape) -> int:
    """Return the octets that the memory needs."""
    row = 8 * len(Cursor) + 16 * HISTORY + 2 * FRAME * shape.inbound_frames + 2 * shape.outbound_samples
    return row * shape.slots


def create(shape: ArenaShape) -> int:
    """Make the memory; return a descriptor. It has no name: it is gone with the last process that holds it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("sipcore-media")
    else:
        descriptor, path = tempfile.mkstemp(prefix="sipcore-media-")
        Path(path).unlink()
    os.ftruncate(descriptor, size(shape))
    return descriptor
