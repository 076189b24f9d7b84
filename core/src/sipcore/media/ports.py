"""Pairs of UDP ports: RTP even, RTCP odd (RFC 3550 §11)."""

from __future__ import annotations

import socket
from collections import deque
from dataclasses import dataclass

from sipcore.errors import ConfigError, NoPortsFreeError

EXPEDITED = 0xB8
"""IP_TOS of DSCP EF (RFC 3246): voice."""


@dataclass(frozen=True, slots=True)
class PortPair:
    """A bound pair of sockets, without blocking."""

    port: int
    rtp: socket.socket
    rtcp: socket.socket

    def close(self) -> None:
        """Close both."""
        self.rtp.close()
        self.rtcp.close()


def sessions(start: int, end: int, step: int) -> list[int]:
    """Return the RTP ports of all sessions: even, ``step`` apart, each with its RTCP port not above ``end``.

    Raises:
        ConfigError: the range has no room for one pair.
    """
    ports = list(range(start + start % 2, end, step))
    if not ports or step < 2 or step % 2 or not 0 < start <= end <= 65535:
        raise ConfigError(
            f"RTP_PORT_START {start}, RTP_PORT_END {end} and {step} ports a session leave no room for a pair: "
            "an even and the next odd port, and an even number of ports a session, were expected"
        )
    return ports


class PortPool:
    """Gives out pairs; the one longest unused first, so that a late packet of an old call meets nobody.

    Args:
        address: the address to bind.
        ports: the RTP ports, from `sessions`.
    """

    def __init__(self, address: str, ports: list[int]) -> None:
        self._address = address
        self._free = deque(ports)
        self._family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def acquire(self) -> PortPair:
        """Bind the next pair; one that another process holds is skipped.

        Raises:
            NoPortsFreeError: no pair is left.
        """
        held: list[int] = []
        reason: OSError | None = None
        while self._free:
            port = self._free.popleft()
            try:
                pair = self._bind(port)
            except OSError as error:
                held.append(port)
                reason = error
                continue
            self._free.extend(held)
            return pair
        self._free.extend(held)
        elsewhere = f" ({len(held)} cannot be bound: {reason})" if held else ""
        raise NoPortsFreeError(f"every RTP port is in use{elsewhere}: widen RTP_PORT_START and RTP_PORT_END")

    def release(self, pair: PortPair) -> None:
        """Close a pair; it can be used again at once."""
        pair.close()
        self._free.append(pair.port)

    def _bind(self, port: int) -> PortPair:
        rtp = self._socket(port)
        try:
            return PortPair(port, rtp, self._socket(port + 1))
        except OSError:
            rtp.close()
            raise

    def _socket(self, port: int) -> socket.socket:
        made = socket.socket(self._family, socket.SOCK_DGRAM)
        try:
            made.settimeout(0.0)
            if self._family == socket.AF_INET:
                made.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, EXPEDITED)
            made.bind((self._address, port))
        except OSError:
            made.close()
            raise
        return made
