"""What the hub remembers of a client and of a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, cast

LONGEST_DETAIL = 256
"""Characters of one detail in CALL_INFO."""


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
        owner: the client that it belongs to; None: nobody.
        offered: the clients that it is offered to: they were told, and neither took nor ignored it.
        listeners: the clients that hear it besides its owner.
        deadline: when it ends unless somebody takes it, in the driver's seconds.
        has_rung: the client that placed it knows that it rings.
        is_ending: it was declined or is to be hung up; nobody can take it any more.
    """

    call_id: str
    phone: str
    direction: str
    details: dict[str, Any]
    state: State
    owner: int | None = None
    offered: set[int] = field(default_factory=set[int])
    listeners: set[int] = field(default_factory=set[int])
    deadline: float = float("inf")
    has_rung: bool = False
    is_ending: bool = False

    @property
    def is_offered(self) -> bool:
        """Whether a client may take it."""
        return self.owner is None and self.state is not State.DIALLING and not self.is_ending

    @property
    def is_unwanted(self) -> bool:
        """Whether it rings, and at nobody."""
        return self.is_offered and self.state is State.RINGING and not self.offered

    @property
    def information(self) -> dict[str, Any]:
        """What CALL_INFO tells."""
        own = {"direction": self.direction, "phone": self.phone, "state": self.state.value, "owner": self.owner}
        return own | {name: _shorten(value) for name, value in self.details.items() if name not in own}


def _shorten(value: Any) -> Any:
    """Cut what a far end chose, its headers among it: CALL_INFO fits into a message."""
    if isinstance(value, Mapping):
        return {name: _shorten(item) for name, item in cast("Mapping[str, Any]", value).items()}
    return value[:LONGEST_DETAIL] if isinstance(value, str) else value
