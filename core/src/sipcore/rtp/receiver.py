"""One incoming stream: from packets to samples and digits.

This is the readable truth; the engine's batches are tested against it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sipcore.errors import RemoteProtocolError
from sipcore.rtp.dtmf import TelephoneEventReceiver
from sipcore.rtp.jitter import JitterBuffer, Verdict
from sipcore.rtp.packet import RtpPacket
from sipcore.rtp.sequence import Arrival, SequenceTracker
from sipcore.rtp.statistics import InterarrivalJitter

Decode: TypeAlias = Callable[[bytes], NDArray[np.int16]]
"""Turns a payload into samples."""
COUNTERS = ("reordered", "late", "duplicate", "jump", "source", "payload_type", "invalid")
"""What may befall a packet that does not simply arrive in order; all but the first mean that it is dropped."""


@dataclass(frozen=True, slots=True)
class Received:
    """What a packet brought.

    Args:
        accepted: it belongs to the stream (its audio may still be late).
        digit: a key that it tells of for the first time.
    """

    accepted: bool
    digit: str | None = None


class StreamReceiver:
    """Follows the stream of one call: validity, source, order, jitter buffer, digits (RFC 3550 §8.2, §A.1).

    A packet of another SSRC is taken only when the next one in its sequence follows: a stray packet cannot disturb the
    call, a peer that starts a new stream loses 20 ms.

    Args:
        ring: storage for the jitter buffer.

    Attributes:
        decoders: by payload type; the caller sets them from the SDP.
        event_type: payload type of telephone events; None when they were not agreed on.
        ssrc: the source that is heard; -1 before the first packet.
        candidate: (SSRC, next sequence number) of a source that may take over.
        counts: by the names of `COUNTERS`.
    """

    __slots__ = ("buffer", "candidate", "counts", "decoders", "event_type", "events", "jitter", "sequence", "ssrc")

    def __init__(self, ring: NDArray[np.int16] | None = None) -> None:
        self.sequence = SequenceTracker()
        self.buffer = JitterBuffer(ring)
        self.jitter = InterarrivalJitter()
        self.events = TelephoneEventReceiver()
        self.decoders: Mapping[int, Decode] = {}
        self.event_type: int | None = None
        self.ssrc = -1
        self.candidate = (-1, -1)
        self.counts: dict[str, int] = dict.fromkeys(COUNTERS, 0)

    def receive(self, data: bytes, arrival: int) -> Received:
        """Take a datagram of this stream's peer.

        Args:
            data: the datagram.
            arrival: when it came, in timestamp units of any origin.
        """
        try:
            packet = RtpPacket.parse(data)
            return self._receive(packet, arrival)
        except RemoteProtocolError:
            return self._drop("invalid")

    def _receive(self, packet: RtpPacket, arrival: int) -> Received:
        is_event = packet.payload_type == self.event_type
        if not is_event and packet.payload_type not in self.decoders:
            return self._drop("payload_type")
        if not self._of_source(packet):
            return self._drop("source")
        order = self.sequence.receive(packet.sequence)
        if not order.valid:
            return self._drop("duplicate" if order is Arrival.DUPLICATE else "jump")
        if order is Arrival.RESTART:
            self._restart()
        if order is Arrival.REORDERED:
            self.counts["reordered"] += 1
        if is_event:
            return Received(accepted=True, digit=self.events.receive(packet))
        self.jitter.receive(packet.timestamp, arrival)
        samples = self.decoders[packet.payload_type](packet.payload)
        if self.buffer.put(packet.timestamp, samples, in_order=order is not Arrival.REORDERED) is Verdict.LATE:
            self.counts["late"] += 1
        return Received(accepted=True)

    def _of_source(self, packet: RtpPacket) -> bool:
        if packet.ssrc == self.ssrc:
            return True
        if self.ssrc >= 0 and self.candidate != (packet.ssrc, packet.sequence):
            self.candidate = (packet.ssrc, packet.sequence + 1 & 0xFFFF)
            return False
        if self.ssrc >= 0:
            self.sequence.restart()
            self._restart()
        self.ssrc = packet.ssrc
        self.candidate = (-1, -1)
        return True

    def _restart(self) -> None:
        self.buffer.restart()
        self.jitter.restart()

    def _drop(self, reason: str) -> Received:
        self.counts[reason] += 1
        return Received(accepted=False)
