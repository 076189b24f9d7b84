"""What one reader of a call has not read yet: bounded, so that a slow one loses the oldest."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


class Listener(Generic[T]):
    """Items that are put in by the call and iterated by one reader, until the end.

    Args:
        limit: items that may wait.
        early: those that wait already.
    """

    def __init__(self, limit: int, early: Iterable[T] = ()) -> None:
        self._waiting = deque(early, limit)
        self._more = anyio.Event()
        self._ended = False

    def put(self, item: T) -> None:
        """Add an item; when too many wait, the oldest is dropped."""
        self._waiting.append(item)
        self._more.set()

    def end(self) -> None:
        """No more come: the reader ends when it has read what waits."""
        self._ended = True
        self._more.set()

    def __aiter__(self) -> Listener[T]:
        return self

    async def __anext__(self) -> T:
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            self._more = anyio.Event()
            await self._more.wait()
        return self._waiting.popleft()
