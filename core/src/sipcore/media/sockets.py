"""The sockets of all calls: one poll a tick, one datagram a socket and round."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

DATAGRAM_SIZE = 1536
"""Octets kept of a datagram; a multiple of four, above any Ethernet frame's."""


class Reception:
    """Receives for many sockets into the rows of one array.

    Args:
        slots: calls.

    Attributes:
        datagrams: what the last `receive` brought, uint8, shape (slots, DATAGRAM_SIZE).
    """

    def __init__(self, slots: int) -> None:
        self.datagrams = np.zeros((slots, DATAGRAM_SIZE), np.uint8)
        self._views = [row.data for row in self.datagrams]
        self._poll = select.epoll()
        self._rows: dict[int, tuple[int, Callable[[memoryview], int]]] = {}
        self._control = -1
        self.control_ready = False
        """The last poll saw something on the control socket."""

    def watch_control(self, descriptor: int) -> None:
        """Also watch the pipe to the server."""
        self._control = descriptor
        self._poll.register(descriptor, select.EPOLLIN)

    def add(self, row: int, rtp: socket.socket) -> None:
        """Receive for a call."""
        self._rows[rtp.fileno()] = (row, rtp.recv_into)
        self._poll.register(rtp.fileno(), select.EPOLLIN)

    def remove(self, rtp: socket.socket) -> None:
        """Stop receiving for a call, before its socket is closed."""
        if self._rows.pop(rtp.fileno(), None) is not None:
            self._poll.unregister(rtp.fileno())

    def wait(self) -> None:
        """Sleep until the control socket has something to say."""
        self._poll.poll(None, 1)

    def receive(self) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Receive one datagram from each socket that has one; return their rows and lengths."""
        rows: list[int] = []
        lengths: list[int] = []
        views, known = self._views, self._rows
        self.control_ready = False
        for descriptor, _ in self._poll.poll(0, len(known) + 1):
            if descriptor == self._control:
                self.control_ready = True
                continue
            row, receive_into = known[descriptor]
            try:
                lengths.append(receive_into(views[len(rows)]))
            except OSError:
                continue  # an ICMP error that the peer's machine sent (RFC 1122 §4.1.3.3)
            rows.append(row)
        return np.array(rows, np.intp), np.array(lengths, np.int64)

    def close(self) -> None:
        """Close the poll; the sockets are their owner's."""
        self._poll.close()
