"""Interarrival jitter, RFC 3550 §6.4.1 and §A.8."""

from __future__ import annotations


class InterarrivalJitter:
    """The running estimate of how unevenly packets arrive.

    Attributes (a batch engine keeps them as columns):
        jitter: interarrival jitter in timestamp units, RFC 3550 §6.4.1.
        transit: arrival minus timestamp of the last packet, modulo 2**32; -1 before the first.
    """

    STATE = __slots__ = ("jitter", "transit")

    def __init__(self) -> None:
        self.jitter = 0.0
        self.transit = -1

    def receive(self, timestamp: int, arrival: int) -> None:
        """Take a packet: its RTP timestamp and its arrival, both in timestamp units."""
        transit = (arrival - timestamp) & 0xFFFFFFFF
        if self.transit >= 0:
            difference = (transit - self.transit + 0x80000000 & 0xFFFFFFFF) - 0x80000000
            self.jitter += (abs(difference) - self.jitter) / 16.0
        self.transit = transit

    def restart(self) -> None:
        """Forget the last packet: the source's clock starts anew; the estimate stays."""
        self.transit = -1
