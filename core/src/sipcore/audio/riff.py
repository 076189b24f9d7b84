"""WAV files that stay true while they grow, and their repair (RIFF, 16-bit PCM)."""

from __future__ import annotations

import struct
from typing import BinaryIO, Protocol

from sipcore.errors import MediaError

HEADER_SIZE = 44
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_CHUNK = struct.Struct("<4sI")
_LIMIT = 0xFFFFFFFF - HEADER_SIZE


class WritableFile(Protocol):
    """The part of an unbuffered binary file that a writer needs."""

    def write(self, data: bytes, /) -> int | None:
        """Write; return how many bytes were taken."""
        ...

    def seek(self, offset: int, /) -> int:
        """Go to an absolute offset."""
        ...


def header(data_size: int, sample_rate: int, channels: int) -> bytes:
    """Return the 44 octets before ``data_size`` octets of 16-bit PCM."""
    size = min(data_size, _LIMIT)
    frame = 2 * channels
    riff = size + HEADER_SIZE - 8
    return _HEADER.pack(
        b"RIFF", riff, b"WAVE", b"fmt ", 16, 1, channels, sample_rate, sample_rate * frame, frame, 16, b"data", size
    )


class WavWriter:
    """Writes a WAV file whose header on disk is true after every block.

    Args:
        file: opened for writing without a buffer, empty.
        sample_rate: samples a second.
        channels: 1 or 2, interleaved.
    """

    def __init__(self, file: WritableFile, sample_rate: int, channels: int) -> None:
        self._file = file
        self._sample_rate = sample_rate
        self._channels = channels
        self.data_size = 0
        self._write_all(header(0, sample_rate, channels))

    def write(self, pcm: bytes) -> None:
        """Append a block of 16-bit little-endian samples, then make the header say so.

        Raises:
            OSError: the disk is full or gone; what was written before stays playable.
        """
        self._file.seek(HEADER_SIZE + self.data_size)
        self._write_all(pcm)
        self._file.seek(0)
        self._write_all(header(self.data_size + len(pcm), self._sample_rate, self._channels))
        self.data_size += len(pcm)

    def _write_all(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(bytes(rest)) or 0 :]


def repair(file: BinaryIO) -> bool:
    """Make the sizes in a WAV file's header agree with what is there; True if something had to change.

    For a file whose writer was killed: the samples beyond the header's claim come back, a claim beyond the end
    shrinks, half a sample at the end is cut. Chunks after the samples stay. A second run changes nothing.

    Args:
        file: opened for reading and writing.

    Raises:
        MediaError: it is no WAV file, or it ends before its samples.
    """
    end = file.seek(0, 2)
    riff_size, frame, data_at, data_size = _survey(file, end)
    if data_at + data_size + (data_size & 1) <= end and _only_chunks(file, data_at + data_size + (data_size & 1), end):
        return _set_size(file, 4, riff_size, min(end - 8, 0xFFFFFFFF))
    whole = (end - data_at) // frame * frame
    changed = whole != end - data_at
    if changed:
        file.truncate(data_at + whole)
    changed |= _set_size(file, data_at - 4, data_size, min(whole, _LIMIT))
    return _set_size(file, 4, riff_size, min(data_at + whole - 8, 0xFFFFFFFF)) or changed


def _survey(file: BinaryIO, end: int) -> tuple[int, int, int, int]:
    """Return the RIFF size, the octets a sample frame, where the samples begin and their claimed size."""
    file.seek(0)
    start = file.read(12)
    if len(start) < 12 or start[:4] != b"RIFF" or start[8:] != b"WAVE":
        raise MediaError("this is no WAV file: it does not begin with RIFF and WAVE")
    at, frame = 12, 0
    while at + _CHUNK.size <= end:
        file.seek(at)
        name, size = _CHUNK.unpack(file.read(_CHUNK.size))
        if name == b"data" and frame:
            return struct.unpack("<I", start[4:8])[0], frame, at + _CHUNK.size, size
        if name == b"fmt " and size >= 16:
            frame = max(1, int.from_bytes(file.read(16)[12:14], "little"))
        at += _CHUNK.size + size + (size & 1)
    raise MediaError("this WAV file ends before its samples: there is nothing to repair")


def _only_chunks(file: BinaryIO, at: int, end: int) -> bool:
    """Whole chunks, and nothing else, lie from ``at`` to the end."""
    while at < end:
        file.seek(at)
        head = file.read(_CHUNK.size)
        if len(head) < _CHUNK.size or not head[:4].isalnum():
            return False
        size = int.from_bytes(head[4:], "little")
        at += _CHUNK.size + size + (size & 1)
    return at == end


def _set_size(file: BinaryIO, at: int, old: int, new: int) -> bool:
    if old == new:
        return False
    file.seek(at)
    file.write(struct.pack("<I", new))
    return True
