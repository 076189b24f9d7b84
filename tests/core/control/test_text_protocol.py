"""The text protocol: the original's tables letter for letter, the additions of version 2, and what is refused."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sipcore.control import commands, events
from sipcore.control.commands import Command
from sipcore.control.events import Event
from sipcore.control.fields import Status, safe_id, safe_phone
from sipcore.control.text_protocol import (
    COMMANDS,
    EVENTS,
    build,
    named_call,
    parse,
    parse_command,
    parse_event,
    write_command,
    write_event,
)
from sipcore.errors import LocalProtocolError, RemoteProtocolError

ID = "a84b4c76e66710@pc33.atlanta.com"
WILD = st.text(st.characters(codec=None), max_size=50) | st.text("#\r\n\0 :a\ud800é", max_size=50)
TOKENS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"), min_size=1, max_size=128)
LINES = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")) | st.sampled_from("# :"), min_size=1, max_size=60
).filter(lambda text: "##" not in text)
REASONS = LINES.map(lambda text: text.rstrip("#"))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | LINES
DATA = st.dictionaries(WILD, SCALARS | st.lists(SCALARS, max_size=3), max_size=4).filter(
    lambda data: all(not 0xD800 <= ord(sign) < 0xE000 for name in data for sign in name)
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "call_id": TOKENS,
    "other_id": TOKENS,
    "audio": st.binary(min_size=1, max_size=400),
    "data": DATA,
    "digit": st.sampled_from("0123456789*#ABCD"),
    "digits": st.text("0123456789*#ABCD", min_size=1, max_size=20),
    "played_ms": st.integers(0, 10**11),
    "status": st.builds(Status, st.integers(100, 999), REASONS),
}
OF_EVENTS = VALUES | {"phone": TOKENS}


def records(kinds: list[type[Any]], values: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    return st.sampled_from(kinds).flatmap(
        lambda kind: st.builds(kind, **{field.name: values.get(field.name, LINES) for field in fields(kind)})
    )


ALL_COMMANDS = records([form.record for form in COMMANDS.values()], VALUES)
ALL_EVENTS = records([form.record for form in EVENTS.values()], OF_EVENTS)


# --- the tables


@pytest.mark.parametrize(
    ("message", "command"),
    [
        ("CALL:1234567890", commands.PlaceCall("1234567890")),
        (f"RTP:{ID}##AAEC", commands.PlayAudio(ID, b"\0\1\2")),
        (f"BYE:{ID}", commands.Bye(ID)),
        (f"CALL_ANS:{ID}", commands.Answer(ID)),
        (f"CALL_IGNORE:{ID}", commands.Ignore(ID)),
        (f"HANGUP:{ID}", commands.HangUp(ID)),
    ],
)
def test_a_client_of_the_original_says_the_six_commands_of_its_table(message: str, command: Command) -> None:
    assert parse_command(message, 1) == parse_command(message) == command
    assert write_command(command) == message


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (f"RING_ANS:1234567890##{ID}", events.Rang("1234567890", ID)),
        ("RING_ANS:1234567890", events.Rang("1234567890")),
        (f"CALL_ANS:{ID}", events.Answered(ID)),
        (f"CALL_IGNORE:{ID}", events.Ignored(ID)),
        ("CALL_FAILED:486 Busy Here", events.CallFailed(Status(486, "Busy Here"))),
        (f"BYE:{ID}", events.Ended(ID)),
        (f"RTP:{ID}##AAEC", events.Heard(ID, b"\0\1\2")),
    ],
)
def test_a_client_of_the_original_hears_the_six_events_of_its_table(message: str, event: Event) -> None:
    assert write_event(event) == message
    assert parse_event(message) == event


@pytest.mark.parametrize(
    ("message", "command"),
    [
        (f"DTMF:{ID}##12#", commands.SendDigits(ID, "12#")),
        (f"CLEAR:{ID}", commands.Clear(ID)),
        (f"MARK:{ID}##end of 1", commands.Mark(ID, "end of 1")),
        (f"PLAY:{ID}##hello/world.wav", commands.PlayFile(ID, "hello/world.wav")),
        (f"SAY:{ID}##Guten Tag, é: #1", commands.Say(ID, "Guten Tag, é: #1")),
        (f"HOLD:{ID}", commands.Hold(ID)),
        (f"RESUME:{ID}", commands.Resume(ID)),
        (f"TRANSFER:{ID}##sip:bob@192.0.2.1", commands.Transfer(ID, "sip:bob@192.0.2.1")),
        (f"JOIN:{ID}##other", commands.Join(ID, "other")),
        (f"PART:{ID}", commands.Part(ID)),
        (f"LISTEN:{ID}", commands.Listen(ID)),
        (f"WHISPER:{ID}##AAEC", commands.Whisper(ID, b"\0\1\2")),
        ("SUBSCRIBE:*", commands.Subscribe("*")),
        (f'TRANSCRIPT:{ID}##{{"text":"hi"}}', commands.ReportTranscript(ID, {"text": "hi"})),
        (f'TURN:{ID}##{{"said":"hi"}}', commands.ReportTurn(ID, {"said": "hi"})),
    ],
)
def test_a_client_of_version_2_says_more(message: str, command: Command) -> None:
    assert parse_command(message, 2) == command
    assert write_command(command) == message
    with pytest.raises(RemoteProtocolError, match=r"is not known here \(connect with \?v=2 for it\)") as error:
        parse_command(message, 1)
    assert error.value.status == 501


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (f"CALLING:1234##{ID}", events.Calling("1234", ID)),
        (f"CALL_FAILED:486 Busy Here##{ID}", events.CallFailed(Status(486, "Busy Here"), ID)),
        (f'CALL_INFO:{ID}##{{"state":"ringing"}}', events.Described(ID, {"state": "ringing"})),
        (f"DTMF:{ID}###", events.DigitPressed(ID, "#")),
        (f"MARK:{ID}##1", events.MarkPlayed(ID, "1")),
        (f"CLEARED:{ID}##1240", events.Cleared(ID, 1240)),
        (f'TRANSCRIPT:{ID}##{{"text":"hi"}}', events.Transcribed(ID, {"text": "hi"})),
        (f'TURN:{ID}##{{"said":"hi"}}', events.TurnReported(ID, {"said": "hi"})),
        (f"TRANSFER:{ID}##200 OK", events.Transferred(ID, Status(200, "OK"))),
        (f"SAY:{ID}##hello", events.SayAsked(ID, "hello")),
        ("ERROR:404 there is no call x", events.Refused(Status(404, "there is no call x"))),
        (f"ERROR:409 no##{ID}", events.Refused(Status(409, "no"), ID)),
    ],
)
def test_a_client_of_version_2_hears_more(message: str, event: Event) -> None:
    assert write_event(event) == message
    assert parse_event(message) == event


@given(ALL_COMMANDS)
def test_every_command_survives_the_wire(command: Command) -> None:
    assert parse_command(write_command(command)) == command


@given(ALL_EVENTS)
def test_every_event_survives_the_wire(event: Event) -> None:
    assert parse_event(write_event(event)) == event


# --- nothing can add a field


@given(ALL_EVENTS, WILD, WILD, WILD)
def test_an_event_never_gains_a_field_whatever_a_caller_chose(event: Any, user: str, call_id: str, words: str) -> None:
    chosen: dict[str, Any] = {
        "phone": safe_phone(user),
        "call_id": safe_id(call_id),
        "status": Status(486, words),
        "text": words,
        "name": words,
        "data": {words: [words, {"a": words}]},
    }
    names = [field.name for field in fields(event)]
    message = write_event(replace(event, **{name: chosen[name] for name in names if name in chosen}))

    payload = message.partition(":")[2]
    assert len(payload.split("##")) == len(names)
    assert not set(message) & set("\r\n\0\u2028")
    message.encode()


def test_a_reason_that_ends_like_a_separator_leaves_the_id_alone() -> None:
    message = write_event(events.CallFailed(Status(486, "Busy#"), ID))

    assert parse_event(message) == events.CallFailed(Status(486, "Busy"), ID)


@pytest.mark.parametrize("call_id", ["", "a##b", "a\r\nBYE:b", "#"])
def test_an_id_that_is_none_is_not_sent(call_id: str) -> None:
    with pytest.raises(LocalProtocolError):
        write_event(events.Ended(call_id))
    with pytest.raises(LocalProtocolError):
        write_command(commands.Bye(call_id))


def test_a_mark_comes_back_as_it_was_sent_or_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="MARK: name: a name without ## was expected"):
        parse_command(f"MARK:{ID}##a##b")
    assert parse_command(f"MARK:{ID}###b") == commands.Mark(ID, "#b")
    assert write_event(events.MarkPlayed(ID, "#b")) == f"MARK:{ID}###b"


def test_what_is_said_may_hold_the_separator() -> None:
    assert parse_command(f"SAY:{ID}##a##b") == commands.Say(ID, "a##b")
    assert write_event(events.SayAsked(ID, "a##b")) == f"SAY:{ID}##a# #b"


# --- what is refused


NAMES = st.sampled_from(sorted(COMMANDS | EVENTS))
MESSAGES = WILD | st.builds("{}:{}".format, NAMES, WILD) | st.builds("{}:x##{}".format, NAMES, WILD)


@given(MESSAGES, st.sampled_from([1, 2]))
def test_a_message_is_a_command_or_a_remote_error(message: str, version: int) -> None:
    try:
        command = parse_command(message, version)
    except RemoteProtocolError:
        return
    assert parse_command(message, 2) == command


@given(MESSAGES)
def test_a_message_is_an_event_or_a_remote_error(message: str) -> None:
    try:
        event = parse_event(message)
    except RemoteProtocolError:
        return
    assert parse_event(write_event(event)) == event or "##" in message


@pytest.mark.parametrize("name", [*sorted(COMMANDS | EVENTS), "", "x", ":", "##"])
@pytest.mark.parametrize("sign", ["x", "#", "\0", ":", "é", "\ud800", "9", "["])
def test_a_megabyte_is_refused(name: str, sign: str) -> None:
    for payload in (sign * 1_000_000, "x##" + sign * 1_000_000):
        for read in (parse_command, parse_event):
            with pytest.raises(RemoteProtocolError):
                read(f"{name}:{payload}")


@pytest.mark.parametrize(
    ("message", "status", "text"),
    [
        ("", 400, "NAME:payload was expected"),
        ("BYE", 400, "NAME:payload was expected"),
        ("bye:x", 400, "NAME:payload was expected"),
        (" BYE:x", 400, "NAME:payload was expected"),
        ("BYE\n:x", 400, "NAME:payload was expected"),
        (":x", 400, "NAME:payload was expected"),
        ("X" * 21 + ":x", 400, "NAME:payload was expected"),
        (
            "NOPE:x",
            501,
            f"NOPE is not known here (known: {', '.join(COMMANDS)})",
        ),
        ("RTP:x", 400, "RTP: a field is missing: {call_id}##{audio} was expected"),
        ("RTP:x##A", 400, "RTP: audio: base64 was expected"),
        ("RTP:x##", 400, "RTP: audio: audio was expected"),
        ("RTP:##AAEC", 400, "RTP: call_id: 1 to 128 printable characters without # were expected"),
        ("BYE:a##b", 400, "BYE: call_id: 1 to 128 printable characters without # were expected"),
        ("CALL:", 400, "CALL: phone: text was expected"),
        ("SAY:x##" + "y" * 4001, 413, "SAY: text: at most 4000 characters were expected"),
    ],
)
def test_what_is_wrong_with_a_command_is_said(message: str, status: int, text: str) -> None:
    with pytest.raises(RemoteProtocolError) as error:
        parse_command(message)
    assert (error.value.status, str(error.value)) == (status, text)


# --- helpers


@pytest.mark.parametrize(
    ("message", "call_id"),
    [
        ("BYE:x", "x"),
        ("RTP:x##?", "x"),
        ("TRANSFER:x##", "x"),
        ("JOIN:x##y", "x"),
        ("CALL:123", ""),
        ("NOPE:x", ""),
        ("BYE:", ""),
        ("BYE:a b", ""),
        ("BYE", ""),
        ("", ""),
    ],
)
def test_the_call_that_a_wrong_command_concerns_is_found(message: str, call_id: str) -> None:
    assert named_call(message) == call_id


@given(MESSAGES)
def test_the_call_that_is_found_can_be_told(message: str) -> None:
    call_id = named_call(message)
    if call_id:
        assert parse_event(write_event(events.Ended(call_id))) == events.Ended(call_id)


def test_messages_are_taken_apart_and_put_together_as_the_original_does() -> None:
    assert parse("CALL:1234567890") == ("CALL", "1234567890")
    assert build("RING_ANS", "1234567890", "call-123") == "RING_ANS:1234567890##call-123"
    assert build("RING_ANS", "1234567890##call-123") == "RING_ANS:1234567890##call-123"


@pytest.mark.parametrize(("name", "texts"), [("bye", ["x"]), ("", ["x"]), ("RTP", ["a#", "b"]), ("RTP", ["a##b", "c"])])
def test_a_message_that_would_be_read_otherwise_is_not_built(name: str, texts: list[str]) -> None:
    with pytest.raises(LocalProtocolError, match="is no message"):
        build(name, *texts)


@pytest.mark.parametrize("forms", [COMMANDS, EVENTS])
def test_the_fields_of_every_form_are_those_of_its_record_in_order(forms: Any) -> None:
    for form in forms.values():
        assert [name for name, _ in form.fields] == [field.name for field in fields(form.record)]
