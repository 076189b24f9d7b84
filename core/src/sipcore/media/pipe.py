"""The engine's end of the pipe: messages in and out, never blocking."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator
from typing import cast

from sipcore.media.messages import Answer, Command, Decoder, encode

_READ_SIZE = 65536


class Pipe:
    """A connected stream socket to the server.

    Attributes:
        closed: the server is gone.
    """

    def __init__(self, stream: socket.socket) -> None:
        stream.settimeout(0.0)
        self._stream = stream
        self._decoder = Decoder()
        self._unsent: deque[bytes] = deque()
        self.closed = False

    def fileno(self) -> int:
        """Return the descriptor to watch."""
        return self._stream.fileno()

    @property
    def behind(self) -> bool:
        """Whether something still waits to be sent: the server is slow."""
        return bool(self._unsent)

    def tell(self, answer: Answer) -> None:
        """Queue a message; `flush` sends it."""
        self._unsent.append(encode(answer))

    def flush(self) -> None:
        """Send what the socket takes."""
        while self._unsent and not self.closed:
            message = self._unsent[0]
            try:
                sent = self._stream.send(message)
            except BlockingIOError:
                return
            except OSError:
                self.closed = True
                return
            if sent < len(message):
                self._unsent[0] = message[sent:]
                return
            self._unsent.popleft()

    def read(self) -> Iterator[Command]:
        """Yield the commands that have come."""
        try:
            data = self._stream.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.closed = self.closed or not data
        yield from cast("Iterator[Command]", self._decoder.feed(data))

    def close(self) -> None:
        """Close the socket."""
        self._stream.close()
