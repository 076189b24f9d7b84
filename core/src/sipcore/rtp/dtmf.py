"""Telephone events: DTMF digits as RTP payload, RFC 4733."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from sipcore.errors import LocalProtocolError, RemoteProtocolError
from sipcore.rtp.packet import RtpPacket

DIGITS = "0123456789*#ABCD"
"""Digits by event code, RFC 4733 §3.2."""
MAX_DURATION = 0xFFFF
END_PACKETS = 3
"""How often the last packet of an event is sent, RFC 4733 §2.5.1.4."""
_EVENT = struct.Struct("!BBH")


@dataclass(frozen=True, slots=True)
class TelephoneEvent:
    """The payload of RFC 4733 §2.3.

    Args:
        event: code 0 to 255; 0 to 15 are the digits of DTMF.
        duration: timestamp units since the event began.
        end: the event is over.
        volume: 0 to 63, in -dBm0.
    """

    event: int
    duration: int
    end: bool = False
    volume: int = 10

    @classmethod
    def parse(cls, payload: bytes) -> TelephoneEvent:
        """Parse the first event of a payload.

        Raises:
            RemoteProtocolError: it is shorter than four octets.
        """
        if len(payload) < _EVENT.size:
            raise RemoteProtocolError(f"telephone event of {len(payload)} bytes: {_EVENT.size} were expected")
        event, flags, duration = _EVENT.unpack_from(payload)
        return cls(event, duration, bool(flags & 0x80), flags & 0x3F)

    def __bytes__(self) -> bytes:
        return _EVENT.pack(self.event, self.end << 7 | self.volume, self.duration)

    @property
    def digit(self) -> str | None:
        """The digit, or None for an event that is none."""
        return DIGITS[self.event] if self.event < len(DIGITS) else None


class TelephoneEventReceiver:
    """Finds each key press once, from whichever of its packets arrive.

    A press is known by its RTP timestamp, which all its packets share (RFC 4733 §2.2.1); it is reported by the first
    packet that comes. A segment that continues a long press (§2.5.1.3) begins where the last one ended, and is no new
    press.
    """

    __slots__ = ("_ended", "_event", "_segment_end", "_ssrc", "_start")

    def __init__(self) -> None:
        self._ssrc: int = -1
        self._event: int = -1
        self._start: int = 0
        self._segment_end: int = 0
        self._ended = False

    def receive(self, packet: RtpPacket) -> str | None:
        """Take a telephone-event packet; return a digit when it tells of a new one.

        Raises:
            RemoteProtocolError: its payload is no telephone event.
        """
        event = TelephoneEvent.parse(packet.payload)
        known = packet.ssrc == self._ssrc
        age = (packet.timestamp - self._start + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        if known and age <= 0:
            if age == 0:
                self._note(packet, event)
            return None
        continues = (
            known
            and not packet.marker
            and not self._ended
            and event.event == self._event
            and packet.timestamp == self._segment_end
        )
        self._ssrc, self._event, self._start, self._ended = packet.ssrc, event.event, packet.timestamp, False
        self._note(packet, event)
        return None if continues else event.digit

    def _note(self, packet: RtpPacket, event: TelephoneEvent) -> None:
        self._ended |= event.end
        self._segment_end = packet.timestamp + event.duration & 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class EventPacket:
    """One packet of an event to send, or a pause.

    Args:
        payload: the event; None is a packet time without one (the pause between two digits).
        marker: it is the event's first packet.
        age: timestamp units since the event began: the packet's RTP timestamp is the clock minus this.
    """

    payload: bytes | None
    marker: bool = False
    age: int = 0


def event_packets(digits: str, *, tone: int = 800, pause: int = 480, interval: int = 160) -> Iterator[EventPacket]:
    """Yield what to send for ``digits``, one item a packet time (RFC 4733 §2.5.1).

    Args:
        digits: 0-9, ``*``, ``#``, A-D.
        tone: length of a digit, timestamp units, a multiple of ``interval``.
        pause: silence after a digit's last packet, timestamp units.
        interval: time between two packets.

    Raises:
        LocalProtocolError: a sign is no digit, or a tone is too long for one segment.
    """
    codes = [_code(digit) for digit in digits]
    if not interval <= tone <= MAX_DURATION:
        raise LocalProtocolError(f"a digit of {tone} timestamp units is not possible")
    for code in codes:
        for number, duration in enumerate(range(interval, tone, interval)):
            yield EventPacket(bytes(TelephoneEvent(code, duration)), marker=number == 0, age=number * interval)
        last = -(-tone // interval) - 1
        for repeat in range(END_PACKETS):
            payload = bytes(TelephoneEvent(code, tone, end=True))
            yield EventPacket(payload, marker=last + repeat == 0, age=(last + repeat) * interval)
        for _ in range(0, pause, interval):
            yield EventPacket(None)


def _code(digit: str) -> int:
    code = DIGITS.find(digit.upper())
    if code < 0 or len(digit) != 1:
        raise LocalProtocolError(f"{digit!r} is no digit: 0-9, *, #, A-D were expected")
    return code
