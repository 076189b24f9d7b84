"""The text protocol: one WebSocket text message is one command or event, ``NAME:field##field``.

What the last field of a message may hold, ``##`` included, can never become a further field: a message has as many
fields as its form says, and what is not last holds no ``#``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from sipcore.control import commands, events
from sipcore.control.commands import Command
from sipcore.control.events import Event
from sipcore.control.fields import AUDIO, DIGITS, JSON, NAME, NUMBER, SEPARATOR, STATUS, TEXT, TOKEN, Kind, is_token
from sipcore.errors import LocalProtocolError, RemoteProtocolError

_NAME = re.compile(r"[A-Z_]{1,20}")


@dataclass(frozen=True, slots=True)
class Form:
    """The form of one kind of message.

    Args:
        record: what it is in the program.
        fields: its fields, by the record's attributes, in their order.
        version: of the protocol that has it.
        required: how many fields must be there; the others may be left out.
    """

    record: type[Any]
    fields: tuple[tuple[str, Kind], ...]
    version: int = 2
    required: int = 0

    def read(self, payload: str) -> Any:
        """Read a payload.

        Raises:
            RemoteProtocolError: a field is missing, or is not what it must be.
        """
        texts = payload.split(SEPARATOR, len(self.fields) - 1)
        if len(texts) < (self.required or len(self.fields)):
            form = SEPARATOR.join(f"{{{name}}}" for name, _ in self.fields)
            raise RemoteProtocolError(f"a field is missing: {form} was expected")
        values: list[Any] = []
        try:
            for (_, kind), text in zip(self.fields, texts, strict=False):
                values.append(kind.read(text))
        except RemoteProtocolError as error:
            name, _ = self.fields[len(values)]
            raise RemoteProtocolError(f"{name}: {error}", error.status) from error.__cause__
        return self.record(*values)

    def write(self, record: Any) -> str:
        """Write a record's payload; a field at the end that may be left out and is empty is."""
        texts: list[str] = []
        for name, kind in self.fields:
            value = getattr(record, name)
            if not value and 0 < self.required <= len(texts):
                break
            texts.append(kind.write(value))
        return SEPARATOR.join(texts)


_CALL = ("call_id", TOKEN)

COMMANDS: Mapping[str, Form] = {
    "CALL": Form(commands.PlaceCall, (("phone", TEXT),), 1),
    "RTP": Form(commands.PlayAudio, (_CALL, ("audio", AUDIO)), 1),
    "BYE": Form(commands.Bye, (_CALL,), 1),
    "CALL_ANS": Form(commands.Answer, (_CALL,), 1),
    "CALL_IGNORE": Form(commands.Ignore, (_CALL,), 1),
    "HANGUP": Form(commands.HangUp, (_CALL,), 1),
    "DTMF": Form(commands.SendDigits, (_CALL, ("digits", DIGITS))),
    "CLEAR": Form(commands.Clear, (_CALL,)),
    "MARK": Form(commands.Mark, (_CALL, ("name", NAME))),
    "PLAY": Form(commands.PlayFile, (_CALL, ("file", TEXT))),
    "SAY": Form(commands.Say, (_CALL, ("text", TEXT))),
    "HOLD": Form(commands.Hold, (_CALL,)),
    "RESUME": Form(commands.Resume, (_CALL,)),
    "TRANSFER": Form(commands.Transfer, (_CALL, ("target", TEXT))),
    "JOIN": Form(commands.Join, (_CALL, ("other_id", TOKEN))),
    "PART": Form(commands.Part, (_CALL,)),
    "LISTEN": Form(commands.Listen, (_CALL,)),
    "WHISPER": Form(commands.Whisper, (_CALL, ("audio", AUDIO))),
    "SUBSCRIBE": Form(commands.Subscribe, (_CALL,)),
    "TRANSCRIPT": Form(commands.ReportTranscript, (_CALL, ("data", JSON))),
    "TURN": Form(commands.ReportTurn, (_CALL, ("data", JSON))),
}
"""Client to server."""

EVENTS: Mapping[str, Form] = {
    "RING_ANS": Form(events.Rang, (("phone", TOKEN), _CALL), 1, required=1),
    "CALL_ANS": Form(events.Answered, (_CALL,), 1),
    "CALL_IGNORE": Form(events.Ignored, (_CALL,), 1),
    "CALL_FAILED": Form(events.CallFailed, (("status", STATUS), _CALL), 1, required=1),
    "BYE": Form(events.Ended, (_CALL,), 1),
    "RTP": Form(events.Heard, (_CALL, ("audio", AUDIO)), 1),
    "CALLING": Form(events.Calling, (("phone", TOKEN), _CALL)),
    "CALL_INFO": Form(events.Described, (_CALL, ("data", JSON))),
    "DTMF": Form(events.DigitPressed, (_CALL, ("digit", DIGITS))),
    "MARK": Form(events.MarkPlayed, (_CALL, ("name", NAME))),
    "CLEARED": Form(events.Cleared, (_CALL, ("played_ms", NUMBER))),
    "TRANSCRIPT": Form(events.Transcribed, (_CALL, ("data", JSON))),
    "TURN": Form(events.TurnReported, (_CALL, ("data", JSON))),
    "TRANSFER": Form(events.Transferred, (_CALL, ("status", STATUS))),
    "SAY": Form(events.SayAsked, (_CALL, ("text", TEXT))),
    "ERROR": Form(events.Refused, (("status", STATUS), _CALL), 1, required=1),
}
"""Server to client."""

_COMMAND_NAMES = {form.record: name for name, form in COMMANDS.items()}
_EVENT_NAMES = {form.record: name for name, form in EVENTS.items()}


def parse(message: str) -> tuple[str, str]:
    """Return the name and the payload of a message, neither of them checked further.

    Raises:
        RemoteProtocolError: it has no name.
    """
    name, colon, payload = message.partition(":")
    if not colon or not _NAME.fullmatch(name):
        raise RemoteProtocolError("NAME:payload was expected")
    return name, payload


def build(name: str, *fields: str) -> str:
    """Return a message of a name and its fields.

    Raises:
        LocalProtocolError: the name is none, or a field that is not the last one could end early or add a field.
    """
    if not _NAME.fullmatch(name) or any("#" in field for field in fields[:-1]):
        raise LocalProtocolError(f"{name!r} with {len(fields)} fields is no message: # may stand in the last one alone")
    return f"{name}:{SEPARATOR.join(fields)}"


def parse_command(message: str, version: int = 2) -> Command:
    """Read a client's message.

    Args:
        message: the text.
        version: the protocol's, as the client asked for in ``?v=``.

    Raises:
        RemoteProtocolError: 400 for what cannot be read, 413 for too much, 501 for a name that is not known.
    """
    return cast("Command", _read(COMMANDS, message, version))


def named_call(message: str) -> str:
    """Return the id of the call that a client's message concerns, however wrong the rest is; empty when it has none."""
    name, _, payload = message.partition(":")
    form = COMMANDS.get(name)
    call_id = payload.partition(SEPARATOR)[0] if form is not None and form.fields[0] is _CALL else ""
    return call_id if is_token(call_id) else ""


def parse_event(message: str) -> Event:
    """Read a server's message.

    Raises:
        RemoteProtocolError: it cannot be read.
    """
    return cast("Event", _read(EVENTS, message, 2))


def write_command(command: Command) -> str:
    """Write a client's message.

    Raises:
        LocalProtocolError: a call id is none.
    """
    name = _COMMAND_NAMES[type(command)]
    return f"{name}:{COMMANDS[name].write(command)}"


def write_event(event: Event) -> str:
    """Write a server's message.

    Raises:
        LocalProtocolError: a call id or a phone is none: `safe_id` and `safe_phone` make them.
    """
    name = _EVENT_NAMES[type(event)]
    return f"{name}:{EVENTS[name].write(event)}"


def _read(forms: Mapping[str, Form], message: str, version: int) -> Command | Event:
    name, payload = parse(message)
    form = forms.get(name)
    if form is None or form.version > version:
        hint = "connect with ?v=2 for it" if form else f"known: {', '.join(forms)}"
        raise RemoteProtocolError(f"{name} is not known here ({hint})", 501)
    try:
        return form.read(payload)
    except RemoteProtocolError as error:
        raise RemoteProtocolError(f"{name}: {error}", error.status) from error.__cause__
