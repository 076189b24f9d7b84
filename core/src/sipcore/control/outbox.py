"""What waits to be sent to one client. It is bounded: audio goes first, control never."""

from __future__ import annotations

from collections import deque


class Outbox:
    """Messages in order; when there are too many, the oldest audio is dropped.

    Args:
        limit: messages that may wait.

    Attributes:
        dropped: audio messages that were dropped, in all.
        overflowing: audio was dropped since the queue was last empty.
        is_full: control messages alone reach the limit: the client cannot be served any more.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._control: deque[tuple[int, str]] = deque()
        self._audio: deque[tuple[int, str]] = deque()
        self._count = 0
        self.dropped = 0
        self.overflowing = False
        self.is_full = False
        self._told = False

    def __len__(self) -> int:
        """How many messages wait."""
        return len(self._control) + len(self._audio)

    def put(self, message: str) -> None:
        """Add an event that must arrive."""
        if len(self._control) >= self._limit:
            self.is_full = True
            return
        self._make_room()
        self._control.append((self._next(), message))

    def put_audio(self, message: str) -> bool:
        """Add audio; returns whether audio is dropped for the first time since the queue was last empty."""
        self._make_room()
        if len(self) < self._limit:
            self._audio.append((self._next(), message))
        else:
            self._drop()
        begins = self.overflowing and not self._told
        self._told = self.overflowing
        return begins

    def take(self) -> str | None:
        """Return the next message to send; None when there is none."""
        if not self._control and not self._audio:
            return None
        if not self._audio or (self._control and self._control[0][0] < self._audio[0][0]):
            message = self._control.popleft()[1]
        else:
            message = self._audio.popleft()[1]
        if not len(self):
            self.overflowing = self._told = False
        return message

    def _make_room(self) -> None:
        """Drop the oldest audio where that is what helps."""
        if len(self) >= self._limit and self._audio:
            self._audio.popleft()
            self._drop()

    def _drop(self) -> None:
        self.dropped += 1
        self.overflowing = True

    def _next(self) -> int:
        self._count += 1
        return self._count
