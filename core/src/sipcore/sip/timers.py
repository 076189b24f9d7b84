"""SIP's timers (RFC 3261 §17 and its table 4) and a queue of what is due next."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import Generic, Protocol, TypeVar


class Timer(Enum):
    """The timers of transactions, by their letters."""

    A = "INVITE client: send again (§17.1.1.2)"
    B = "INVITE client: give up (§17.1.1.2)"
    D = "INVITE client: absorb final responses (§17.1.1.2)"
    E = "non-INVITE client: send again (§17.1.2.2)"
    F = "non-INVITE client: give up (§17.1.2.2)"
    G = "INVITE server: send the final response again (§17.2.1)"
    H = "INVITE server: wait for the ACK (§17.2.1)"
    I = "INVITE server: absorb ACKs (§17.2.1)"  # noqa: E741  # RFC 3261's own letter
    J = "non-INVITE server: absorb requests (§17.2.2)"
    K = "non-INVITE client: absorb responses (§17.1.2.2)"
    L = "INVITE server: absorb INVITEs after a 2xx (RFC 6026 §7.1)"
    M = "INVITE client: take further 2xx (RFC 6026 §7.2)"


@dataclass(frozen=True, slots=True)
class TimerValues:
    """The values that all timers are made of, in seconds (§17.1.1.1).

    Args:
        t1: estimate of the round-trip time.
        t2: the longest pause between two sendings of a non-INVITE request or a response.
        t4: how long a message may stay in the network.
    """

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0

    @property
    def timeout(self) -> float:
        """64*T1: when to give up."""
        return 64 * self.t1


DEFAULT_TIMERS = TimerValues()
"""The RFC's own values."""


MIN_COMPACTION = 1_024
"""Entries of a queue that are not worth tidying up."""


class Timed(Protocol):
    """Something that wants to be woken."""

    scheduled: float | None
    """When the queue will look at it; the queue's own note."""

    def next_timeout(self) -> float | None:
        """Return when it wants to be woken, in seconds; None for never."""
        ...


T = TypeVar("T", bound=Timed)


class TimerQueue(Generic[T]):
    """Finds what is due next among many, most of which change their mind before their time comes."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._serial = count()
        self._limit = MIN_COMPACTION

    def update(self, item: T) -> None:
        """Note when ``item`` wants to be woken now; call it after everything that may change that."""
        deadline = item.next_timeout()
        if deadline is not None and (item.scheduled is None or deadline < item.scheduled):
            item.scheduled = deadline
            heapq.heappush(self._heap, (deadline, next(self._serial), item))
            if len(self._heap) > self._limit:
                self._compact()

    def _compact(self) -> None:
        """Drop the entries of items that need no waking any more, before they fill the memory."""
        self._heap = [entry for entry in self._heap if entry[2].scheduled == entry[0] and entry[2].next_timeout()]
        heapq.heapify(self._heap)
        self._limit = max(MIN_COMPACTION, 2 * len(self._heap))

    def next_timeout(self) -> float | None:
        """Return the earliest deadline; None when nothing waits."""
        while self._heap:
            deadline, _, item = self._heap[0]
            if item.scheduled == deadline and item.next_timeout() == deadline:
                return deadline
            heapq.heappop(self._heap)
            if item.scheduled == deadline:
                item.scheduled = None
                self.update(item)
        return None

    def pop_due(self, now: float) -> T | None:
        """Take out one item whose time has come; None when there is none. Update it afterwards."""
        deadline = self.next_timeout()
        if deadline is None or deadline > now:
            return None
        item = heapq.heappop(self._heap)[2]
        item.scheduled = None
        return item
