"""Recordings: blocks of samples, written by a thread of their own, so that a slow disk never holds up a packet."""

from __future__ import annotations

import errno
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sipcore.audio.riff import WavWriter
from sipcore.errors import MediaError
from sipcore.rtp.jitter import FRAME

SAMPLE_RATE = 8000
BLOCK_FRAMES = 25
"""Frames a block: half a second, what a crash may cost."""
BACKLOG_BLOCKS = 60
"""Blocks of one call that may wait for the disk: 30 s. More is a disk that does not work."""
_MODE = 0o600


@dataclass(slots=True)
class _Recording:
    """One file and how far it is written."""

    handle: int
    path: str
    channels: int
    queued: int = 0
    written: int = 0
    samples: int = 0
    writer: WavWriter | None = None
    descriptor: int = -1
    failed: bool = False


class Recorder:
    """Writes the recordings of all calls.

    The blocks being filled lie in one array, a row a call: both sides of a frame are stored for all calls at once.

    Args:
        slots: calls.
        report: called with a channel's handle and the reason when its recording fails; from the writing thread.
    """

    def __init__(self, slots: int, report: Callable[[int, str], None]) -> None:
        self._report = report
        self._blocks = np.zeros((slots, BLOCK_FRAMES, FRAME, 2), np.int16)
        self._filled = np.zeros(slots, np.intp)
        self._on = np.zeros(slots, np.bool_)
        self._recordings: dict[int, _Recording] = {}
        self._jobs: queue.SimpleQueue[tuple[_Recording, bytes | None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self, row: int, handle: int, path: str, channels: int) -> None:
        """Record a call from the next frame on, to a new file.

        Raises:
            MediaError: it is being recorded already.
        """
        if row in self._recordings:
            raise MediaError("this call is being recorded already")
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="recordings", daemon=True)
            self._thread.start()
        recording = self._recordings[row] = _Recording(handle, path, channels)
        self._on[row] = True
        self._filled[row] = 0
        self._jobs.put((recording, b""))

    def add(self, rows: NDArray[np.intp], heard: NDArray[np.int16], sent: NDArray[np.int16]) -> None:
        """Take one tick's frames of the calls in ``rows``, both int16, shape (n, FRAME)."""
        if not self._recordings:
            return
        chosen = np.flatnonzero(self._on[rows])
        if len(chosen) < len(rows):
            rows, heard, sent = rows[chosen], heard[chosen], sent[chosen]
        filled = self._filled[rows]
        self._blocks[rows, filled, :, 0] = heard
        self._blocks[rows, filled, :, 1] = sent
        self._filled[rows] = filled + 1
        for row in rows[filled + 1 == BLOCK_FRAMES].tolist():
            self._flush(row)

    def stop(self, row: int) -> float:
        """End a call's recording; return its length in seconds."""
        if row not in self._recordings:
            return 0.0
        self._flush(row)
        self._on[row] = False
        recording = self._recordings.pop(row)
        self._jobs.put((recording, None))
        return recording.samples / SAMPLE_RATE

    def close(self, timeout: float) -> None:
        """End all recordings and wait for the disk."""
        for row in tuple(self._recordings):
            self.stop(row)
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join(timeout)

    def _flush(self, row: int) -> None:
        recording = self._recordings[row]
        count = int(self._filled[row])
        self._filled[row] = 0
        if recording.failed or not count:
            return
        if recording.queued - recording.written >= BACKLOG_BLOCKS:
            self._fail(recording, f"the disk of {recording.path} does not keep up")
            return
        recording.queued += 1
        recording.samples += count * FRAME
        self._jobs.put((recording, self._blocks[row, :count, :, : recording.channels].tobytes()))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            recording, block = job
            if block is None:
                _close(recording)
                continue
            recording.written += bool(block)
            if recording.failed:
                continue
            try:
                _write(recording, block)
            except OSError as error:
                self._fail(recording, f"{recording.path}: {error.strerror or error}")

    def _fail(self, recording: _Recording, reason: str) -> None:
        recording.failed = True
        self._report(recording.handle, reason)


class _Descriptor:
    """An unbuffered file, by its descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes, /) -> int:
        return os.write(self._descriptor, data)

    def seek(self, offset: int, /) -> int:
        return os.lseek(self._descriptor, offset, os.SEEK_SET)


def _write(recording: _Recording, block: bytes) -> None:
    """The first, empty block makes the file; its name may have been reserved by an empty one."""
    if recording.writer is None:
        recording.descriptor = os.open(recording.path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
        if os.fstat(recording.descriptor).st_size:
            raise FileExistsError(errno.EEXIST, "there is something in it already", recording.path)
        recording.writer = WavWriter(_Descriptor(recording.descriptor), SAMPLE_RATE, recording.channels)
    if block:
        recording.writer.write(block)


def _close(recording: _Recording) -> None:
    if recording.descriptor >= 0:
        os.close(recording.descriptor)
        recording.descriptor = -1
