"""From packets to 20 ms frames, for all calls at once.

The state of every `StreamReceiver` lies in columns, a row a call. A packet as nearly all are (no extension, 20 ms, in
order, in time) is taken in a batch; any other goes through the `StreamReceiver` itself, its state loaded and stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sipcore.audio.codec import Codec
from sipcore.audio.g711 import PCMA, PCMA_DECODING, PCMU, PCMU_DECODING
from sipcore.errors import MediaError
from sipcore.media.frames import FrameRings
from sipcore.rtp.jitter import FRAME, RING_SAMPLES, WINDOW, JitterBuffer
from sipcore.rtp.packet import HEADER_SIZE
from sipcore.rtp.receiver import COUNTERS, StreamReceiver
from sipcore.rtp.sequence import MAX_DROPOUT, SequenceTracker

CLOCK_RATE = 8000
CODECS: Mapping[str, Codec] = {"PCMU": PCMU, "PCMA": PCMA}
"""What the engine speaks, by name."""
CODEC_NUMBERS: Mapping[str, int] = {"PCMU": 1, "PCMA": 2}
"""Codecs in tables of numbers; 0 is none."""
_DECODING = np.concatenate([np.zeros(256, np.int16), PCMU_DECODING, PCMA_DECODING])
_PACKET = HEADER_SIZE + FRAME

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Notable:
    """A packet that somebody should hear about.

    Args:
        row: its call.
        digit: the key that it tells of.
        first: it is the call's first valid packet.
    """

    row: int
    digit: str | None
    first: bool


class Inbound:
    """The receiving side of every call.

    Args:
        slots: rows.
        datagrams: where received datagrams lie, uint8, shape (batch, width), width a multiple of four.
    """

    def __init__(self, slots: int, datagrams: NDArray[np.uint8]) -> None:
        self._bytes = datagrams
        self._words = datagrams.view(">u2")
        self._longs = datagrams.view(">u4")
        self._codecs = np.zeros((slots, 128), np.uint8)
        self._rings = np.zeros((slots, RING_SAMPLES), np.int16)
        self._frames = FrameRings(self._rings)
        self._sequence = {name: np.zeros(slots, np.int64) for name in SequenceTracker.STATE}
        self._buffer = {name: np.zeros(slots, np.int64) for name in JitterBuffer.STATE}
        self._jitter = np.zeros(slots, np.float64)
        self._transit = np.full(slots, -1, np.int64)
        self._ssrc = np.full(slots, -1, np.int64)
        self._receivers: dict[int, StreamReceiver] = {}
        self.last = np.zeros(slots, np.float64)
        """When each call's last valid packet came, monotonic seconds; 0 before the first."""

    def open(self, row: int) -> None:
        """Begin a new call in a row."""
        self._rings[row] = 0
        self._codecs[row] = 0
        self.last[row] = 0.0
        receiver = self._receivers[row] = StreamReceiver(self._rings[row])
        self._store(row, receiver)

    def agree(self, row: int, receive: Mapping[int, str], event_type: int | None) -> None:
        """Take what SDP agreed on: codec names by payload type, and the payload type of telephone events.

        Raises:
            MediaError: a codec that the engine does not have.
        """
        unknown = sorted({name for name in receive.values() if name not in CODECS})
        if unknown:
            raise MediaError(f"the media engine has no codec {', '.join(unknown)}: {', '.join(CODECS)} were expected")
        self._codecs[row] = 0
        for payload_type, name in receive.items():
            self._codecs[row, payload_type] = CODEC_NUMBERS[name]
        receiver = self._receivers[row]
        receiver.decoders = {payload_type: CODECS[name].decoder().decode for payload_type, name in receive.items()}
        receiver.event_type = event_type

    def expects(self, row: int, payload_type: int) -> bool:
        """Whether a payload type was agreed on."""
        return bool(self._codecs[row, payload_type]) or payload_type == self._receivers[row].event_type

    def close(self, row: int) -> StreamReceiver:
        """End the call in a row; return its receiver with all it counted."""
        receiver = self._receivers.pop(row)
        self._load(row, receiver)
        return receiver

    def take(self, rows: NDArray[np.intp], lengths: Ints, now: float) -> Iterator[Notable]:
        """Take the datagrams 0 to n, at most one a call, that came at ``now``; yield what is worth telling.

        Args:
            rows: the call of each.
            lengths: the octets of each.
            now: monotonic seconds.
        """
        arrival = int(now * CLOCK_RATE)
        plain = self._take_plain(rows, lengths, arrival, now)
        for index in np.flatnonzero(~plain).tolist():
            row = int(rows[index])
            datagram = self._bytes[index, : int(lengths[index])].tobytes()
            notable = self.take_one(row, datagram, now)
            if notable is not None:
                yield notable

    def take_one(self, row: int, datagram: bytes, now: float) -> Notable | None:
        """Take one datagram the careful way."""
        receiver = self._receivers[row]
        self._load(row, receiver)
        received = receiver.receive(datagram, int(now * CLOCK_RATE))
        self._store(row, receiver)
        if not received.accepted:
            return None
        first = self.last[row] == 0.0
        self.last[row] = now
        return Notable(row, received.digit, first) if first or received.digit is not None else None

    def frames(self, rows: NDArray[np.intp]) -> NDArray[np.int16]:
        """Read the next frame of each row, int16, shape (n, FRAME); silence where nothing came."""
        state = self._buffer
        play = state["play"][rows]
        started = state["started"][rows] != 0
        low = np.minimum(state["low"][rows], state["newest"][rows] - play)
        gets = state["gets"][rows] + 1
        late_gets = state["late_gets"][rows]
        careful = started & ((gets >= WINDOW) | (state["surplus"][rows] > 0))
        frames = self._frames.read(rows, play)
        plain = started & ~careful
        touched = rows
        if not plain.all():
            touched, play, low, gets, late_gets = rows[plain], play[plain], low[plain], gets[plain], late_gets[plain]
        self._frames.write(touched, play, 0)
        state["play"][touched] = play + FRAME
        state["low"][touched] = low
        state["gets"][touched] = gets
        state["late_gets"][touched] = np.where(late_gets >= 0, late_gets + 1, late_gets)
        frames[~started] = 0
        for index in np.flatnonzero(careful).tolist():
            frames[index] = self._get_one(int(rows[index]))
        return frames

    def _get_one(self, row: int) -> NDArray[np.int16]:
        receiver = self._receivers[row]
        _load(receiver.buffer, self._buffer, row)
        frame = receiver.buffer.get()
        _store(receiver.buffer, self._buffer, row)
        return frame

    def _take_plain(self, rows: NDArray[np.intp], lengths: Ints, arrival: int, now: float) -> NDArray[np.bool_]:
        """Take the ordinary packets; return which they were."""
        count = len(rows)
        head = self._bytes[:count]
        codec = self._codecs[rows, head[:, 1] & 0x7F]
        ahead = (self._words[:count, 1].astype(np.int64) - self._sequence["highest"][rows]) & 0xFFFF
        timestamp = self._longs[:count, 1].astype(np.int64)
        newest = self._buffer["newest"][rows]
        position = newest + ((timestamp - newest + 0x80000000 & 0xFFFFFFFF) - 0x80000000)
        play = self._buffer["play"][rows]
        plain = (
            (head[:, 0] == 0x80)
            & (lengths == _PACKET)
            & (codec != 0)
            & (self._longs[:count, 2].astype(np.int64) == self._ssrc[rows])
            & (self._sequence["highest"][rows] >= 0)
            & (ahead > 0)
            & (ahead < MAX_DROPOUT)
            & (self._buffer["started"][rows] != 0)
            & (position >= play)
            & (position + FRAME <= play + RING_SAMPLES)
        )
        chosen = np.flatnonzero(plain)
        if not len(chosen):
            return plain
        if len(chosen) < count:
            rows, codec, ahead, position = rows[chosen], codec[chosen], ahead[chosen], position[chosen]
            timestamp, newest, head = timestamp[chosen], newest[chosen], head[chosen]
        self._note_sequence(rows, ahead)
        self._note_jitter(rows, (arrival - timestamp) & 0xFFFFFFFF)
        self._buffer["newest"][rows] = np.maximum(newest, position + FRAME)
        self._buffer["late_gets"][rows] = -1
        self.last[rows] = now
        codes = head[:, HEADER_SIZE:_PACKET] + (codec.astype(np.uint16) << 8)[:, None]
        self._frames.write(rows, position, _DECODING[codes])
        return plain

    def _note_sequence(self, rows: NDArray[np.intp], ahead: Ints) -> None:
        state = self._sequence
        bits = SequenceTracker.SEEN_BITS
        shifted = (state["seen"][rows] << np.minimum(ahead, bits - 1) | 1) & (1 << bits) - 1
        state["seen"][rows] = np.where(ahead < bits, shifted, 1)
        state["highest"][rows] += ahead
        state["received"][rows] += 1
        state["jump"][rows] = -1

    def _note_jitter(self, rows: NDArray[np.intp], transit: Ints) -> None:
        before = self._transit[rows]
        difference = np.abs((transit - before + 0x80000000 & 0xFFFFFFFF) - 0x80000000)
        jitter = self._jitter[rows]
        self._jitter[rows] = np.where(before >= 0, jitter + (difference - jitter) / 16.0, jitter)
        self._transit[rows] = transit

    def _load(self, row: int, receiver: StreamReceiver) -> None:
        _load(receiver.sequence, self._sequence, row)
        _load(receiver.buffer, self._buffer, row)
        receiver.jitter.jitter = float(self._jitter[row])
        receiver.jitter.transit = int(self._transit[row])
        receiver.ssrc = int(self._ssrc[row])

    def _store(self, row: int, receiver: StreamReceiver) -> None:
        _store(receiver.sequence, self._sequence, row)
        _store(receiver.buffer, self._buffer, row)
        self._jitter[row] = receiver.jitter.jitter
        self._transit[row] = receiver.jitter.transit
        self._ssrc[row] = receiver.ssrc


def dropped(receiver: StreamReceiver) -> dict[str, int]:
    """Return a receiver's counts of dropped packets, without those that were only out of order or late."""
    return {name: receiver.counts[name] for name in COUNTERS if name not in {"reordered", "late"}}


def _load(target: Any, columns: Mapping[str, Ints], row: int) -> None:
    for name, column in columns.items():
        setattr(target, name, int(column[row]))


def _store(source: Any, columns: Mapping[str, Ints], row: int) -> None:
    for name, column in columns.items():
        column[row] = getattr(source, name)
