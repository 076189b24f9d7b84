"""Sequence numbers of one source: extension over wraps, validity, duplicates (RFC 3550 §A.1, §A.3)."""

from __future__ import annotations

from enum import IntEnum

MAX_DROPOUT = 3000
"""So many packets may be missing before a step counts as a jump (RFC 3550 §A.1)."""
MAX_MISORDER = 100
"""So many packets may a packet be late (RFC 3550 §A.1)."""
_MODULUS = 1 << 16
_NO_JUMP = -1


class Arrival(IntEnum):
    """What a sequence number says of its packet."""

    FIRST = 0
    IN_ORDER = 1
    REORDERED = 2
    DUPLICATE = 3
    JUMP = 4
    RESTART = 5

    @property
    def valid(self) -> bool:
        """The packet's payload may be used."""
        return self not in (Arrival.DUPLICATE, Arrival.JUMP)


class SequenceTracker:
    """Follows the sequence numbers of one source.

    Attributes (a batch engine keeps them as columns):
        highest: the highest extended sequence number seen; -1 before the first packet.
        base: the extended number that counting began at.
        received: valid packets since ``base``, duplicates not counted.
        earlier_expected: packets expected before the last restart of the source.
        jump: the number that would confirm a jump; -1 when none is suspected.
        seen: bit i says that ``highest - i`` has come (63 bits back).
    """

    STATE = __slots__ = ("base", "earlier_expected", "highest", "jump", "received", "seen")

    SEEN_BITS = 63

    def __init__(self) -> None:
        self.highest = -1
        self.base = 0
        self.received = 0
        self.earlier_expected = 0
        self.jump = _NO_JUMP
        self.seen = 0

    @property
    def expected(self) -> int:
        """Packets expected until now (RFC 3550 §A.3)."""
        return self.earlier_expected + (self.highest - self.base + 1 if self.highest >= 0 else 0)

    @property
    def lost(self) -> int:
        """Packets missing until now: never negative, as duplicates do not count."""
        return max(0, self.expected - self.received)

    def receive(self, sequence: int) -> Arrival:
        """Take the 16-bit sequence number of a packet that came in."""
        if self.highest < 0:
            self._begin(sequence)
            return Arrival.FIRST
        ahead = (sequence - self.highest) % _MODULUS
        if 0 < ahead < MAX_DROPOUT:
            return self._advance(ahead)
        behind = -ahead % _MODULUS
        if behind <= MAX_MISORDER:
            return self._look_back(behind)
        if sequence == self.jump:
            self.restart()
            self._begin(sequence)
            return Arrival.RESTART
        self.jump = (sequence + 1) % _MODULUS
        return Arrival.JUMP

    def restart(self) -> None:
        """Expect a new source; what was counted stays counted."""
        self.earlier_expected = self.expected
        self.highest = -1
        self.jump = _NO_JUMP

    def _begin(self, sequence: int) -> None:
        self.highest = self.base = sequence
        self.received += 1
        self.seen = 1
        self.jump = _NO_JUMP

    def _advance(self, ahead: int) -> Arrival:
        self.highest += ahead
        self.received += 1
        self.seen = (self.seen << ahead | 1) & ((1 << self.SEEN_BITS) - 1) if ahead < self.SEEN_BITS else 1
        self.jump = _NO_JUMP
        return Arrival.IN_ORDER

    def _look_back(self, behind: int) -> Arrival:
        bit = 1 << behind
        if behind >= self.SEEN_BITS or self.seen & bit:
            return Arrival.DUPLICATE
        self.seen |= bit
        self.base = min(self.base, self.highest - behind)
        self.received += 1
        return Arrival.REORDERED
