"""The RTP packet, RFC 3550 §5.1."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sipcore.errors import LocalProtocolError, RemoteProtocolError

VERSION = 2
HEADER_SIZE = 12
_HEADER = struct.Struct("!BBHII")
_EXTENSION = struct.Struct("!HH")


@dataclass(frozen=True, slots=True)
class HeaderExtension:
    """The header extension of RFC 3550 §5.3.1: 16 bits that a profile defines and whole 32-bit words of data."""

    profile: int
    data: bytes


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One RTP packet.

    Args:
        payload_type: 0 to 127; what it means stands in the session's SDP.
        sequence: 0 to 65535, one more for each packet.
        timestamp: 0 to 2**32 - 1, sampling instant of the first sample, in units of the payload's clock.
        ssrc: the synchronisation source.
        payload: the payload, without padding.
        marker: start of a talk spurt (audio), first packet of an event (RFC 4733).
        csrc: contributing sources, at most 15.
        extension: the header extension.
        padding: octets of padding after the payload, their count included; 0 to 255.
    """

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False
    csrc: tuple[int, ...] = ()
    extension: HeaderExtension | None = None
    padding: int = 0

    @classmethod
    def parse(cls, data: bytes) -> RtpPacket:
        """Parse a datagram as RTP, with the header checks of RFC 3550 §A.1.

        Raises:
            RemoteProtocolError: it is no RTP packet of version 2, or its lengths contradict each other.
        """
        if len(data) < HEADER_SIZE:
            raise RemoteProtocolError(f"RTP packet of {len(data)} bytes: at least {HEADER_SIZE} were expected")
        first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
        if first >> 6 != VERSION:
            raise RemoteProtocolError(f"RTP version {first >> 6}: {VERSION} was expected")
        csrc, offset = _parse_csrc(data, first & 0x0F)
        extension = None
        if first & 0x10:
            extension, offset = _parse_extension(data, offset)
        padding = _parse_padding(data, offset) if first & 0x20 else 0
        return cls(
            payload_type=second & 0x7F,
            sequence=sequence,
            timestamp=timestamp,
            ssrc=ssrc,
            payload=bytes(data[offset : len(data) - padding]),
            marker=bool(second & 0x80),
            csrc=csrc,
            extension=extension,
            padding=padding,
        )

    def __bytes__(self) -> bytes:
        """Serialise.

        Raises:
            LocalProtocolError: a field does not fit its place on the wire.
        """
        first = VERSION << 6 | bool(self.padding) << 5 | (self.extension is not None) << 4 | len(self.csrc)
        if len(self.csrc) > 15 or not 0 <= self.payload_type <= 127:
            raise LocalProtocolError(f"no RTP packet has {len(self.csrc)} CSRCs and payload type {self.payload_type}")
        try:
            header = _HEADER.pack(
                first, self.marker << 7 | self.payload_type, self.sequence, self.timestamp, self.ssrc
            ) + struct.pack(f"!{len(self.csrc)}I", *self.csrc)
            tail = bytes(self.padding - 1) + bytes([self.padding]) if self.padding else b""
        except (struct.error, ValueError) as error:
            raise LocalProtocolError(f"RTP header field out of range: {error}") from error
        return header + _extension_bytes(self.extension) + self.payload + tail


def _parse_csrc(data: bytes, count: int) -> tuple[tuple[int, ...], int]:
    end = HEADER_SIZE + 4 * count
    if len(data) < end:
        raise RemoteProtocolError(f"RTP packet of {len(data)} bytes names {count} CSRCs")
    return struct.unpack_from(f"!{count}I", data, HEADER_SIZE), end


def _parse_extension(data: bytes, offset: int) -> tuple[HeaderExtension, int]:
    start = offset + _EXTENSION.size
    if len(data) < start:
        raise RemoteProtocolError("RTP packet ends before its header extension")
    profile, words = _EXTENSION.unpack_from(data, offset)
    end = start + 4 * words
    if len(data) < end:
        raise RemoteProtocolError(f"RTP packet ends inside its header extension of {words} words")
    return HeaderExtension(profile, bytes(data[start:end])), end


def _parse_padding(data: bytes, offset: int) -> int:
    padding = data[-1]
    if padding == 0 or offset + padding > len(data):
        raise RemoteProtocolError(f"RTP padding of {padding} bytes in {len(data) - offset} bytes of payload")
    return padding


def _extension_bytes(extension: HeaderExtension | None) -> bytes:
    if extension is None:
        return b""
    words, rest = divmod(len(extension.data), 4)
    if rest or words > 0xFFFF or not 0 <= extension.profile <= 0xFFFF:
        raise LocalProtocolError(f"an RTP header extension of {len(extension.data)} bytes is not possible")
    return _EXTENSION.pack(extension.profile, words) + extension.data
