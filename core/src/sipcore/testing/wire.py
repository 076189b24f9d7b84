"""A network in memory that loses, repeats and reorders, and a clock that only it moves."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import TypeAlias

from sipcore.sip.events import Event
from sipcore.sip.user_agent import UserAgent

Address: TypeAlias = tuple[str, int]
EventHandler: TypeAlias = Callable[[UserAgent, Event, float], None]
"""What a test's user does about an event: it may call the agent's commands."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad the network is.

    Args:
        delay: seconds that every datagram takes.
        jitter: seconds that it may take longer: datagrams overtake each other.
        loss: probability that a datagram never arrives.
        duplication: probability that it arrives twice.
    """

    delay: float = 0.01
    jitter: float = 0.0
    loss: float = 0.0
    duplication: float = 0.0


FAIR = Weather()
"""10 ms, and nothing goes wrong."""


class Wire:
    """Joins user agents in virtual time.

    Args:
        agents: by their addresses.
        weather: how bad the network is.
        seed: of what goes wrong; the same seed does the same again.
        on_event: called with each event, in the order in which they happen.
    """

    def __init__(
        self,
        agents: Mapping[Address, UserAgent],
        weather: Weather = FAIR,
        *,
        seed: int = 0,
        on_event: EventHandler | None = None,
    ) -> None:
        self.now = 0.0
        self.sent: list[tuple[float, Address, Address, bytes]] = []
        """Everything that was sent, lost or not: time, from, to, bytes."""
        self.events: list[tuple[float, Address, Event]] = []
        self.drop: Callable[[bytes], bool] = lambda _: False
        """A test's own rule for what to lose."""
        self._agents = dict(agents)
        self._weather = weather
        self._random = Random(seed)  # noqa: S311  # nothing secret: tests must repeat
        self._on_event = on_event
        self._flying: list[tuple[float, int, Address, Address, bytes]] = []
        self._serial = count()

    def send(self, data: bytes, source: Address, destination: Address) -> None:
        """Put a datagram on the wire."""
        self.sent.append((self.now, source, destination, data))
        copies = 2 if self._random.random() < self._weather.duplication else 1
        for _ in range(copies):
            if self._random.random() >= self._weather.loss and not self.drop(data):
                arrival = self.now + self._weather.delay + self._random.random() * self._weather.jitter
                heapq.heappush(self._flying, (arrival, next(self._serial), source, destination, data))

    def settle(self) -> None:
        """Take what the agents have to send and to tell; call it after commands to an agent."""
        for address, agent in self._agents.items():
            while True:
                for datagram in agent.datagrams_to_send():
                    self.send(datagram.data, address, datagram.destination)
                event = agent.next_event()
                if event is None:
                    break
                self.events.append((self.now, address, event))
                if self._on_event is not None:
                    self._on_event(agent, event, self.now)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        self.settle()
        while (moment := self._next_moment()) is not None and moment <= end:
            self.now = max(self.now, moment)
            while self._flying and self._flying[0][0] <= self.now:
                _, _, source, destination, data = heapq.heappop(self._flying)
                if destination in self._agents:
                    self._agents[destination].receive_datagram(data, source, self.now)
            for agent in self._agents.values():
                deadline = agent.next_timeout()
                if deadline is not None and deadline <= self.now:
                    agent.handle_timeout(self.now)
            self.settle()
        self.now = end

    def events_of(self, address: Address) -> list[Event]:
        """Return what one agent reported, in order."""
        return [event for _, at, event in self.events if at == address]

    def _next_moment(self) -> float | None:
        moments = [deadline for agent in self._agents.values() if (deadline := agent.next_timeout()) is not None]
        if self._flying:
            moments.append(self._flying[0][0])
        return min(moments, default=None)
