"""What all four transaction machines share: a table, timers and messages to send (RFC 3261 §17)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import TypeAlias

from sipcore.sip.timers import Timer, TimerValues

Address: TypeAlias = tuple[str, int]
"""Host and port."""
Key: TypeAlias = tuple[str, ...]
"""What tells a transaction from others (§17.1.3, §17.2.3)."""


class State(Enum):
    """The states of the four machines (§17, RFC 6026)."""

    CALLING = auto()
    TRYING = auto()
    PROCEEDING = auto()
    ACCEPTED = auto()
    COMPLETED = auto()
    CONFIRMED = auto()
    TERMINATED = auto()


class Input(Enum):
    """What may happen to a transaction, beside its timers."""

    REQUEST = auto()
    """The request arrived again."""
    ACK = auto()
    PROVISIONAL = auto()
    SUCCESS = auto()
    FAILURE = auto()
    """3xx to 6xx; for a non-INVITE transaction 2xx counts as SUCCESS too, though both do the same."""
    ERROR = auto()
    """The transport could not deliver."""


class Action(Enum):
    """What a transition does beside changing state."""

    SEND = auto()
    """Send the message at hand."""
    RESEND = auto()
    """Send what was sent last."""
    PASS = auto()
    """Hand the message to the transaction's user."""
    ACK = auto()
    """Acknowledge the final response (§17.1.1.3)."""
    TIMED_OUT = auto()
    """Tell the user that nobody answered."""
    FAILED = auto()
    """Tell the user that the transport failed."""


Table: TypeAlias = Mapping[tuple[State, Input | Timer], tuple[State, tuple[Action, ...]]]

_REPEATING = (Timer.A, Timer.E, Timer.G)


class Transaction:
    """A machine that runs a table. What the table does not name leaves it as it is.

    ``key``, ``merge_key`` and ``destination`` are the transaction layer's notes, ``owner`` is its user's.

    Args:
        table: state and input to next state and actions.
        state: the first state.
        values: T1, T2, T4.
        reliable: over TCP or TLS, where nothing is sent again.
    """

    __slots__ = (
        "_deadlines",
        "_intervals",
        "_reliable",
        "_sent",
        "_table",
        "_values",
        "destination",
        "key",
        "merge_key",
        "outbox",
        "owner",
        "scheduled",
        "state",
    )

    def __init__(self, table: Table, state: State, values: TimerValues, *, reliable: bool) -> None:
        self.state = state
        self.outbox: list[bytes] = []
        self.scheduled: float | None = None
        self.key: Key = ()
        self.merge_key: Key | None = None
        self.destination: Address = ("", 0)
        self.owner: object = None
        self._table = table
        self._values = values
        self._reliable = reliable
        self._deadlines: dict[Timer, float] = {}
        self._intervals: dict[Timer, float] = {}
        self._sent = b""

    @property
    def is_terminated(self) -> bool:
        """Whether it can be forgotten."""
        return self.state is State.TERMINATED

    def next_timeout(self) -> float | None:
        """Return when handle_timeout() is due; None for never."""
        return min(self._deadlines.values(), default=None)

    def take_outbox(self) -> list[bytes]:
        """Return the messages to send now, and forget them."""
        messages, self.outbox = self.outbox, []
        return messages

    def handle_timeout(self, now: float) -> tuple[Action, ...]:
        """Fire the timers that are due; returns what the user must hear of."""
        news: tuple[Action, ...] = ()
        for timer, deadline in sorted(self._deadlines.items(), key=lambda item: item[1]):
            if deadline <= now and timer in self._deadlines:
                del self._deadlines[timer]
                news += self._run(timer, now)
                if timer in _REPEATING and timer in self._intervals:
                    self._repeat(timer, deadline, now)
        return news

    def _run(self, event: Input | Timer, now: float, message: bytes = b"") -> tuple[Action, ...]:
        """Take one transition: change state, arm its timers, put what must be sent in the outbox."""
        entry = self._table.get((self.state, event))
        if entry is None:
            return ()
        state, actions = entry
        if Action.SEND in actions:
            self._sent = message
        if self._sent and (Action.SEND in actions or Action.RESEND in actions):
            self.outbox.append(self._sent)
        if state is not self.state:
            self.state = state
            self._enter(state, now)
        return actions

    def _enter(self, state: State, now: float) -> None:
        """Disarm the timers of the state just left, arm those of ``state``."""
        raise NotImplementedError

    def discard(self) -> None:
        """End at once, without a word."""
        self.state = State.TERMINATED
        self._sent = b""
        self._disarm()

    def _disarm(self) -> None:
        self._deadlines.clear()
        self._intervals.clear()

    def _arm(self, timer: Timer, delay: float, now: float) -> None:
        self._deadlines[timer] = now + delay

    def _arm_repeating(self, timer: Timer, interval: float, now: float) -> None:
        if not self._reliable:
            self._intervals[timer] = interval
            self._deadlines[timer] = now + interval

    def _repeat(self, timer: Timer, deadline: float, now: float) -> None:
        """Double the interval: without limit for A, up to T2 for E and G; E stays at T2 once a 1xx came."""
        doubled = 2 * self._intervals[timer]
        interval = doubled if timer is Timer.A else min(doubled, self._values.t2)
        self._intervals[timer] = interval
        due = deadline + interval
        self._deadlines[timer] = due if due > now else now + interval
