"""What the hub wants done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from sipcore.control.commands import CallCommand
from sipcore.control.events import Event


@dataclass(frozen=True, slots=True)
class Tell:
    """Send an event to a client."""

    client: int
    event: Event


@dataclass(frozen=True, slots=True)
class Dial:
    """Call ``phone`` for a client; tell the hub how it goes, or that it may not be."""

    call_id: str
    client: int
    phone: str


@dataclass(frozen=True, slots=True)
class Accept:
    """Answer an incoming call: it has an owner."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Decline:
    """Refuse an incoming call that nobody takes."""

    call_id: str
    status: int


@dataclass(frozen=True, slots=True)
class End:
    """Hang up, or give an unanswered call up."""

    call_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Silence:
    """The owner is lost: drop what is queued."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Perform:
    """Do what a client may ask for, and asked for."""

    call_id: str
    client: int
    command: CallCommand


Output: TypeAlias = Tell | Dial | Accept | Decline | End | Silence | Perform
