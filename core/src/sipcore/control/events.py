"""What the server tells a client: one record an event. The first six are the original's, the others need ``?v=2``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from sipcore.control.fields import Status


@dataclass(frozen=True, slots=True)
class Rang:
    """``RING_ANS``: a call comes in, or is offered again; without an id: the call to ``phone`` rings there."""

    phone: str
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """``CALL_ANS``: the call was answered, and is the client's."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """``CALL_IGNORE``: a call that was offered is not the client's: it said so, or another one answered."""

    call_id: str


@dataclass(frozen=True, slots=True)
class CallFailed:
    """``CALL_FAILED``: an outgoing call was not answered; ``call_id`` for clients of version 2 alone."""

    status: Status
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """``BYE``: the call is over."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Heard:
    """``RTP``: audio of the far end, 20 ms, in the format of the connection."""

    call_id: str
    audio: bytes


@dataclass(frozen=True, slots=True)
class Calling:
    """``CALLING``: the call to ``phone`` that was asked for has this id."""

    phone: str
    call_id: str


@dataclass(frozen=True, slots=True)
class Described:
    """``CALL_INFO``: all about a call: when it is new, when something of it changed, as the snapshot of SUBSCRIBE."""

    call_id: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """``DTMF``: the far end pressed a key."""

    call_id: str
    digit: str


@dataclass(frozen=True, slots=True)
class MarkPlayed:
    """``MARK``: all audio before the mark was really sent."""

    call_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Cleared:
    """``CLEARED``: what was queued is dropped; ``played_ms`` of all that was queued on this call were really sent."""

    call_id: str
    played_ms: int


@dataclass(frozen=True, slots=True)
class Transcribed:
    """``TRANSCRIPT``: what was said."""

    call_id: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TurnReported:
    """``TURN``: how a turn went."""

    call_id: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Transferred:
    """``TRANSFER``: how a transfer ended."""

    call_id: str
    status: Status


@dataclass(frozen=True, slots=True)
class SayAsked:
    """``SAY``: somebody wants the conversation to say something."""

    call_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Refused:
    """``ERROR``: a message was not carried out; ``call_id`` for clients of version 2, where one is concerned."""

    status: Status
    call_id: str = ""


Event: TypeAlias = (
    Rang
    | Answered
    | Ignored
    | CallFailed
    | Ended
    | Heard
    | Calling
    | Described
    | DigitPressed
    | MarkPlayed
    | Cleared
    | Transcribed
    | TurnReported
    | Transferred
    | SayAsked
    | Refused
)
