"""Who a call's audio comes from: symmetric RTP, latched to the first valid stream.

The RTP socket is connected to the peer, so that the kernel keeps everyone else out. Everyone else meets a second socket
on the same port, the door: what the signalled hosts send there may be the peer behind a NAT; all else is a stranger.
"""

from __future__ import annotations

import ipaddress
import socket
from collections import deque
from dataclasses import dataclass
from typing import Any

from sipcore.errors import MediaError, RemoteProtocolError
from sipcore.media.messages import Address
from sipcore.media.ports import PortPair
from sipcore.media.sockets import DATAGRAM_SIZE
from sipcore.rtp.packet import RtpPacket

MOVE_SILENCE = 2.0
"""Seconds that the known source must be silent before another one is followed."""
DOOR_BATCH = 32
"""Packets looked at in one visit to the door."""
EARLY_PACKETS = 2
"""Packets that the peer sent before the signalling told of it: so many, the newest, are kept."""
DRAIN_LIMIT = 1000
"""Packets thrown away at most when a socket is pointed at a peer."""
_DOOR_BUFFER = 32768


@dataclass(frozen=True, slots=True)
class AtTheDoor:
    """What a visit to the door brought.

    Args:
        moved: the peer was found at another address.
        stranger: a stranger's address, the first time only.
        count: strangers' packets until now.
    """

    moved: Address | None = None
    stranger: Address | None = None
    count: int = 0


class Peer:
    """The sockets of one call and the address that they talk to.

    Args:
        pair: the bound ports.
    """

    def __init__(self, pair: PortPair) -> None:
        self.pair = pair
        self._bound = pair.rtp.getsockname()
        self.strangers = 0
        """Packets of strangers, dropped."""
        self.address: Address | None = None
        """Where packets go."""
        self.early: list[bytes] = []
        """Packets of the peer that came before `connect`; the caller takes them."""
        self._signalled: Address | None = None
        self._hosts: frozenset[str] = frozenset()
        self._door: socket.socket | None = None
        self._candidate: tuple[Address, int, int] | None = None
        self._told = False

    def connect(self, remote: Address, hosts: frozenset[str]) -> None:
        """Talk to the address that the signalling gave.

        The same address again keeps a peer that was found elsewhere; an address that names no one keeps the last.

        Raises:
            MediaError: it is no IP address, or cannot be reached from here.
        """
        if names_no_one(remote):
            return
        self._hosts = hosts | {remote[0]}
        if remote == self._signalled and self.address is not None:
            return
        try:
            self._point(remote)
        except OSError as error:
            raise MediaError(f"{remote[0]} cannot be reached: {error.strerror or error}") from error
        self._signalled = remote

    def visit_door(self, *, silent_for: float, expects: frozenset[int]) -> AtTheDoor:
        """Look at what came from elsewhere.

        Args:
            silent_for: seconds since the peer's last valid packet; infinity when none has come.
            expects: payload types that were agreed on.
        """
        if self._door is None:
            return AtTheDoor()
        stranger: Address | None = None
        for _ in range(DOOR_BATCH):
            try:
                data, source = self._door.recvfrom(DATAGRAM_SIZE)
            except OSError:
                break
            address = (str(source[0]), int(source[1]))
            candidate = address[0] in self._hosts and silent_for > MOVE_SILENCE
            if candidate and self._in_sequence(data, address, expects):
                self._point(address)
                return AtTheDoor(moved=address)
            self.strangers += 1
            if not candidate:
                stranger = stranger or address
        if stranger is None or self._told:
            return AtTheDoor()
        self._told = True
        return AtTheDoor(stranger=stranger, count=self.strangers)

    def close(self) -> None:
        """Close the door; the pair goes back to its pool."""
        if self._door is not None:
            self._door.close()
            self._door = None

    def _in_sequence(self, data: bytes, address: Address, expects: frozenset[int]) -> bool:
        """Two packets of one source in sequence make a stream (RFC 3550 §A.1)."""
        try:
            packet = RtpPacket.parse(data)
        except RemoteProtocolError:
            return False
        if packet.payload_type not in expects:
            return False
        here = (address, packet.ssrc, packet.sequence)
        expected, self._candidate = self._candidate, (address, packet.ssrc, packet.sequence + 1 & 0xFFFF)
        return here == expected

    def _point(self, address: Address) -> None:
        """Connect to an address; what others sent before is thrown away, the peer's own latest packets are kept."""
        rtp = self.pair.rtp
        rtp.connect(address)
        self.address = address
        self._candidate = None
        self.early = _drain(rtp, address)
        if self._door is None:
            self._door = _second_socket(rtp, self._bound)


def names_no_one(remote: Address) -> bool:
    """Whether an SDP address is hold as RFC 2543 had it (RFC 3264 §8.4), or a refused stream's port.

    Raises:
        MediaError: it is no IP address; a name is not looked up here, where a packet may not wait.
    """
    try:
        return ipaddress.ip_address(remote[0]).is_unspecified or not remote[1]
    except ValueError as error:
        raise MediaError(f"{remote[0]} is no IP address: the SDP's c= line must hold one") from error


def _drain(rtp: socket.socket, address: Address) -> list[bytes]:
    kept: deque[bytes] = deque(maxlen=EARLY_PACKETS)
    for _ in range(DRAIN_LIMIT):
        try:
            data, source = rtp.recvfrom(DATAGRAM_SIZE)
        except BlockingIOError:
            break
        except OSError:
            continue
        if source[:2] == address:
            kept.append(data)
    return list(kept)


def _second_socket(rtp: socket.socket, bound: Any) -> socket.socket:
    """Bind a second socket to the port of a connected one: it gets what is not from the peer.

    The port was bound exclusively before; reuse is allowed for this one moment, so that no other process can join.
    """
    door = socket.socket(rtp.family, socket.SOCK_DGRAM)
    try:
        door.settimeout(0.0)
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _DOOR_BUFFER)
        for each in (rtp, door):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(bound)
    except OSError:
        door.close()
        raise
    finally:
        for each in (rtp, door):
            if each.fileno() >= 0:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    return door
