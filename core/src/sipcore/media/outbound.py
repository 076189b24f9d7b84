"""From the playout queues to packets on the wire, for all calls at once."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sipcore.audio.g711 import PCMA_ENCODING, PCMA_SILENCE, PCMU_ENCODING, PCMU_SILENCE
from sipcore.media.frames import FrameRings
from sipcore.media.inbound import CODEC_NUMBERS, Ints
from sipcore.media.ring import Arena, Cursor
from sipcore.rtp.dtmf import EventPacket, event_packets
from sipcore.rtp.jitter import FRAME
from sipcore.rtp.packet import HEADER_SIZE, RtpPacket

_ENCODING = (np.zeros(65536, np.uint8), PCMU_ENCODING, PCMA_ENCODING)
_SILENCE = np.array([0, PCMU_SILENCE, PCMA_SILENCE], np.uint8)
_OFFSETS = np.arange(FRAME)
_MARKER = 0x80

Send = Callable[[bytes | memoryview], int]


@dataclass(slots=True)
class _Digits:
    packets: Iterator[EventPacket]
    payload_type: int


class Outbound:
    """The sending side of every call: a packet each 20 ms, with what is queued or silence.

    Args:
        arena: the shared memory.
    """

    def __init__(self, arena: Arena) -> None:
        slots = arena.shape.slots
        self._arena = arena
        self._queues = FrameRings(arena.outbound)
        self._packets = np.zeros((slots, HEADER_SIZE + FRAME), np.uint8)
        self._words = self._packets.view(">u2")
        self._longs = self._packets.view(">u4")
        self._views = [packet.data for packet in self._packets]
        self._codec = np.zeros(slots, np.uint8)
        self._sequence = np.zeros(slots, np.int64)
        self._timestamp = np.zeros(slots, np.int64)
        self._quiet = np.zeros(slots, np.bool_)
        self._sending = np.zeros(slots, np.bool_)
        self._paused = np.zeros(slots, np.bool_)
        self._senders: list[Send | None] = [None] * slots
        self._digits: dict[int, _Digits] = {}
        self.sent = np.zeros(slots, np.int64)
        """Packets sent by each call."""
        self.failed = np.zeros(slots, np.int64)
        """Packets of each call that the system refused."""

    def open(self, row: int) -> None:
        """Begin a new call in a row: SSRC, first sequence number and timestamp by chance (RFC 3550 §5.1)."""
        self._arena.clean(row)
        self._sequence[row] = secrets.randbits(15)
        self._timestamp[row] = secrets.randbits(32)
        self._longs[row, 2] = secrets.randbits(32)
        self._packets[row, 0] = 0x80
        self._packets[row, 1] = _MARKER
        self._sending[row] = self._quiet[row] = self._paused[row] = False
        self.sent[row] = self.failed[row] = 0

    def agree(self, row: int, payload_type: int, codec: str, send: Send | None, *, paused: bool = False) -> None:
        """Take what SDP agreed on; ``send`` sends to the peer, None is hold; ``paused`` sends silence alone."""
        self._codec[row] = CODEC_NUMBERS[codec]
        marker = self._packets[row, 1] & _MARKER if self._sending[row] or not self.sent[row] else _MARKER
        self._packets[row, 1] = marker | payload_type
        self._quiet[row] = False
        self._senders[row] = send
        self._sending[row] = send is not None
        self._paused[row] = paused

    def close(self, row: int) -> None:
        """Stop sending."""
        self._senders[row] = None
        self._sending[row] = False
        self._digits.pop(row, None)

    def send_digits(self, row: int, digits: str, payload_type: int) -> None:
        """Send digits after those that are being sent; the playout queue waits meanwhile."""
        packets = event_packets(digits)
        current = self._digits.get(row)
        chained = _chain(current.packets, packets) if current else packets
        self._digits[row] = _Digits(chained, payload_type)

    def clear(self, row: int, upto: int) -> int:
        """Drop what lies in the queue before ring position ``upto``; return the samples that were really sent."""
        cursors = self._arena.cursors[row]
        cursors[Cursor.READ] = max(int(cursors[Cursor.READ]), upto)
        return int(cursors[Cursor.SENT])

    def tick(self, rows: NDArray[np.intp], now: float, *, send: bool) -> NDArray[np.int16]:
        """Send each row's next packet; return what was sent, int16, shape (n, FRAME).

        Args:
            rows: calls whose 20 ms are over.
            now: monotonic seconds.
            send: False skips a packet's time without a packet: the clock was too late for it.
        """
        pcm = np.zeros((len(rows), FRAME), np.int16)
        going = self._sending[rows] if send else np.zeros(len(rows), np.bool_)
        if self._digits:
            self._send_events(rows, going)
        active = np.flatnonzero(going)
        if len(active):
            self._send_audio(rows[active], active, pcm, now)
        self._timestamp[rows] += FRAME
        return pcm

    def _send_audio(self, rows: NDArray[np.intp], places: NDArray[np.intp], pcm: NDArray[np.int16], now: float) -> None:
        counts = self._read_queues(rows, places, pcm)
        self._words[rows, 1] = self._sequence[rows] & 0xFFFF
        self._longs[rows, 1] = self._timestamp[rows] & 0xFFFFFFFF
        self._fill(rows, pcm[places], counts > 0)
        playing = np.flatnonzero(counts)
        if len(playing):
            self._arena.record_sent(rows[playing], counts[playing], now)
        self._send(rows.tolist())
        self._sequence[rows] += 1
        self._packets[rows, 1] &= 0x7F

    def _read_queues(self, rows: NDArray[np.intp], places: NDArray[np.intp], pcm: NDArray[np.int16]) -> Ints:
        """Move up to a frame a row from the queues to ``pcm``; return the samples moved."""
        cursors = self._arena.cursors
        read = cursors[rows, Cursor.READ]
        counts = np.clip(cursors[rows, Cursor.WRITTEN] - read, 0, FRAME)
        counts[self._paused[rows]] = 0
        playing = np.flatnonzero(counts)
        if not len(playing):
            return counts
        frames = self._queues.read(rows[playing], read[playing])
        taken = counts[playing]
        if taken.min() < FRAME:
            frames[taken[:, None] <= _OFFSETS] = 0
        pcm[places[playing]] = frames
        cursors[rows[playing], Cursor.READ] = read[playing] + taken
        return counts

    def _fill(self, rows: NDArray[np.intp], pcm: NDArray[np.int16], playing: NDArray[np.bool_]) -> None:
        """Encode into the packets; a packet that already holds silence keeps it."""
        codecs = self._codec[rows]
        for number in (1, 2):
            chosen = np.flatnonzero(playing & (codecs == number))
            if len(chosen):
                self._packets[rows[chosen], HEADER_SIZE:] = _ENCODING[number][pcm[chosen].view(np.uint16)]
        hush = np.flatnonzero(~playing & ~self._quiet[rows])
        if len(hush):
            self._packets[rows[hush], HEADER_SIZE:] = _SILENCE[codecs[hush], None]
        self._quiet[rows] = ~playing

    def _send(self, rows: list[int]) -> None:
        senders, views = self._senders, self._views
        failed: list[int] = []
        for row in rows:
            try:
                senders[row](views[row])  # pyright: ignore[reportOptionalCall]
            except OSError:
                failed.append(row)
        self.sent[rows] += 1
        if failed:
            self.sent[failed] -= 1
            self.failed[failed] += 1

    def _send_events(self, rows: NDArray[np.intp], going: NDArray[np.bool_]) -> None:
        """Send the telephone events that are due, and take their rows out of ``going``."""
        for index in np.flatnonzero(going).tolist():
            row = int(rows[index])
            digits = self._digits.get(row)
            if digits is None:
                continue
            event = next(digits.packets, None)
            if event is None:
                del self._digits[row]
                continue
            going[index] = False
            self._send_event(row, digits.payload_type, event)

    def _send_event(self, row: int, payload_type: int, event: EventPacket) -> None:
        silence = bytes([int(_SILENCE[self._codec[row]])]) * FRAME
        packet = RtpPacket(
            payload_type=int(self._packets[row, 1] & 0x7F) if event.payload is None else payload_type,
            sequence=int(self._sequence[row] & 0xFFFF),
            timestamp=int(self._timestamp[row] - event.age & 0xFFFFFFFF),
            ssrc=int(self._longs[row, 2]),
            payload=silence if event.payload is None else event.payload,
            marker=event.marker,
        )
        sender = self._senders[row]
        try:
            assert sender is not None
            sender(bytes(packet))
            self.sent[row] += 1
        except OSError:
            self.failed[row] += 1
        self._sequence[row] += 1


def _chain(first: Iterator[EventPacket], then: Iterator[EventPacket]) -> Iterator[EventPacket]:
    yield from first
    yield from then
