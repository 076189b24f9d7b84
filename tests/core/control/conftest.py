"""What the hub's tests share: a hub, clients that read and write texts, and what the driver is told to do."""

import itertools
from collections import defaultdict
from typing import Any

import pytest
from sipcore.control.actions import Tell
from sipcore.control.events import Described
from sipcore.control.hub import Hub
from sipcore.control.text_protocol import parse_event, write_event

RING_SECONDS = 60.0
OWNER_SECONDS = 30.0


class Desk:
    """A hub as its driver sees it. Ids of outgoing calls: out-1, out-2 and so on."""

    def __init__(self) -> None:
        ids = itertools.count(1)
        self.hub = Hub(lambda: f"out-{next(ids)}", RING_SECONDS, OWNER_SECONDS)
        self.now = 0.0
        self._numbers = itertools.count(1)
        self._told: dict[int, list[str]] = defaultdict(list)
        self._done: list[Any] = []

    def connect(self, version: int = 2) -> int:
        number = next(self._numbers)
        self.hub.connect(number, version)
        return number

    def disconnect(self, client: int) -> None:
        self.hub.disconnect(client, self.now)

    def say(self, client: int, *messages: str) -> None:
        for message in messages:
            self.hub.receive(client, message, self.now)

    def call(self, call_id: str = "in", phone: str = "alice", **details: Any) -> str:
        self.hub.offer(call_id, phone, details, self.now)
        return call_id

    def answered_call(self, owner: int, call_id: str = "in") -> str:
        """A call that ``owner`` has; nobody remembers how it came."""
        self.call(call_id)
        self.say(owner, f"CALL_ANS:{call_id}")
        self.hub.answered(call_id)
        self.forget()
        return call_id

    def wait(self, seconds: float) -> None:
        self.now += seconds
        if self.hub.next_timeout() <= self.now:
            self.hub.handle_timeout(self.now)

    # --- what came out

    def everything(self, client: int) -> list[str]:
        """What a client was sent since it was asked last."""
        self._take()
        return self._told.pop(client, [])

    def heard(self, client: int) -> list[str]:
        """The same without CALL_INFO."""
        return [message for message in self.everything(client) if not message.startswith("CALL_INFO:")]

    def infos(self, client: int) -> list[dict[str, Any]]:
        """What CALL_INFO told."""
        events = [parse_event(message) for message in self.everything(client)]
        return [dict(event.data) for event in events if isinstance(event, Described)]

    def done(self) -> list[Any]:
        """What the driver is to do besides, since it was asked last."""
        self._take()
        done, self._done = self._done, []
        return done

    def forget(self) -> None:
        self._take()
        self._told.clear()
        self._done.clear()

    def _take(self) -> None:
        for output in self.hub.take_outputs():
            if isinstance(output, Tell):
                self._told[output.client].append(write_event(output.event))
            else:
                self._done.append(output)


@pytest.fixture
def desk() -> Desk:
    return Desk()
