"""What the hub remembers of a client and of a call."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class State(Enum):
    """Where a call is."""

    RINGING = "ringing"
    ANSWERING = "answering"
    DIALLING = "dialling"
    ANSWERED = "answered"


@dataclass(slots=True)
class ClientRecord:
    """A client: its version of the protocol, and the calls that it follows."""

    version: int
    followed: set[str] = field(default_factory=set[str])


@dataclass(slots=True)
class CallRecord:
    """A call.

    Args:
        call_id: its id.
        phone: the party at the far end.
        direction: ``incoming`` or ``outgoing``.
        details: what CALL_INFO tells besides.
        state: where it is.
        owner: the client that it belongs to; None: it is offered.
        offered: the clients that it was offered to and that did not hear the end of that.
        declined: the clients that leave it to others.
        listeners: the clients that hear it besides its owner.
        deadline: when it ends unless somebody takes it, in the driver's seconds.
    """

    call_id: str
    phone: str
    direction: str
    details: dict[str, Any]
    state: State
    owner: int | None = None
    offered: set[int] = field(default_factory=set[int])
    declined: set[int] = field(default_factory=set[int])
    listeners: set[int] = field(default_factory=set[int])
    deadline: float = float("inf")

    @property
    def is_offered(self) -> bool:
        """Whether a client may take it."""
        return self.owner is None and self.state in {State.RINGING, State.ANSWERED}
