"""What a client tells the server: one record a command. The first six are the original's, the others need ``?v=2``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class PlaceCall:
    """``CALL``: call ``phone``: a number, or a SIP URI."""

    phone: str


@dataclass(frozen=True, slots=True)
class PlayAudio:
    """``RTP``: play audio to the far end, in the format of the connection, after what is queued."""

    call_id: str
    audio: bytes


@dataclass(frozen=True, slots=True)
class Bye:
    """``BYE``: end the call."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """``CALL_ANS``: answer a call that rings, or take over one that nobody owns."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Ignore:
    """``CALL_IGNORE``: leave a call that rings to others."""

    call_id: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """``HANGUP``: the same as BYE."""

    call_id: str


@dataclass(frozen=True, slots=True)
class SendDigits:
    """``DTMF``: send telephone events."""

    call_id: str
    digits: str


@dataclass(frozen=True, slots=True)
class Clear:
    """``CLEAR``: drop what is queued to play; CLEARED answers."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Mark:
    """``MARK``: send it back when all audio before it was really sent."""

    call_id: str
    name: str


@dataclass(frozen=True, slots=True)
class PlayFile:
    """``PLAY``: play a sound file of the server's OUTPUT_DIR, named relative to it."""

    call_id: str
    file: str


@dataclass(frozen=True, slots=True)
class Say:
    """``SAY``: let whoever holds the conversation say something."""

    call_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Hold:
    """``HOLD``: put the far end on hold."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Resume:
    """``RESUME``: talk again."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """``TRANSFER``: ask the far end to call ``target`` instead; TRANSFER with a status answers."""

    call_id: str
    target: str


@dataclass(frozen=True, slots=True)
class Join:
    """``JOIN``: let the far ends of two calls talk to each other."""

    call_id: str
    other_id: str


@dataclass(frozen=True, slots=True)
class Part:
    """``PART``: undo JOIN, or LISTEN."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Listen:
    """``LISTEN``: get the audio of a call of others."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Whisper:
    """``WHISPER``: audio that the far end of this call alone hears, over what a joined call says."""

    call_id: str
    audio: bytes


@dataclass(frozen=True, slots=True)
class Subscribe:
    """``SUBSCRIBE``: follow what happens on a call, or on all (``*``): CALL_INFO, DTMF, TRANSCRIPT, TURN, BYE."""

    call_id: str


@dataclass(frozen=True, slots=True)
class ReportTranscript:
    """``TRANSCRIPT``: the owner tells what was said."""

    call_id: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ReportTurn:
    """``TURN``: the owner tells how a turn went."""

    call_id: str
    data: Mapping[str, Any]


CallCommand: TypeAlias = (
    PlayAudio
    | Bye
    | Answer
    | Ignore
    | HangUp
    | SendDigits
    | Clear
    | Mark
    | PlayFile
    | Say
    | Hold
    | Resume
    | Transfer
    | Join
    | Part
    | Listen
    | Whisper
    | ReportTranscript
    | ReportTurn
)
Command: TypeAlias = PlaceCall | Subscribe | CallCommand
