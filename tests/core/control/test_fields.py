"""The fields of messages: what is read, what is refused, and that nothing written can become a further field."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sipcore.control.fields import (
    AUDIO,
    DEEPEST_JSON,
    DIGITS,
    JSON,
    LONGEST_AUDIO,
    LONGEST_JSON,
    LONGEST_TEXT,
    LONGEST_TOKEN,
    NAME,
    NUMBER,
    STATUS,
    TEXT,
    TOKEN,
    Kind,
    Status,
    is_token,
    one_line,
    safe_id,
    safe_phone,
)
from sipcore.errors import LocalProtocolError, RemoteProtocolError

ANYTHING = st.text(st.characters(codec=None)) | st.text("#\r\n\0 a\ud800é\u2028%*", max_size=200)
KINDS = {
    "token": TOKEN,
    "text": TEXT,
    "name": NAME,
    "digits": DIGITS,
    "audio": AUDIO,
    "json": JSON,
    "number": NUMBER,
    "status": STATUS,
}
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
OBJECTS = st.dictionaries(
    st.text(), st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
)


def deep(levels: int) -> str:
    return '{"a":' + "[" * (levels - 1) + "]" * (levels - 1) + "}"


# --- ids and phones


@pytest.mark.parametrize("call_id", ["a84b4c76e66710@pc33.atlanta.com", "1", "a-b_c.d+e%20!~", "x" * 128])
def test_a_common_call_id_stays_as_it_is(call_id: str) -> None:
    assert safe_id(call_id) == call_id


@pytest.mark.parametrize("call_id", ["", "a b", "a##b", "#", "a\r\nBYE:b", "x" * 129, "<id>", "é", "\ud800", "a\n"])
def test_any_other_call_id_becomes_a_digest(call_id: str) -> None:
    assert len(safe_id(call_id)) == 32
    assert set(safe_id(call_id)) <= set("0123456789abcdef")


def test_a_caller_cannot_choose_the_call_id_that_means_every_call() -> None:
    assert safe_id("*") != "*"


@given(ANYTHING)
def test_every_call_id_and_every_caller_can_be_a_field(text: str) -> None:
    assert is_token(safe_id(text)) and safe_id(text) == safe_id(text)
    assert is_token(safe_phone(text))


@pytest.mark.parametrize(
    ("user", "phone"),
    [
        ("+4930123456", "+4930123456"),
        ("*100*1", "*100*1"),
        ("sip:bob@192.0.2.1:5060;transport=udp", "sip:bob@192.0.2.1:5060;transport=udp"),
        ("a##b", "a%23%23b"),
        ("Ann Lee", "Ann%20Lee"),
        ("é", "%C3%A9"),
        ("", "anonymous"),
    ],
)
def test_a_caller_is_written_so_that_it_can_be_read_back(user: str, phone: str) -> None:
    assert safe_phone(user) == phone


@pytest.mark.parametrize("before", [125, 126, 127, 128])
def test_a_long_caller_is_cut_between_characters(before: int) -> None:
    phone = safe_phone("1" * before + "#2")

    assert phone == "1" * before + ("%23" if before == 125 else "")


# --- lines


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("hello", "hello"),
        ("a#b", "a#b"),
        ("a##b", "a# #b"),
        ("###", "# # #"),
        ("####", "# # # #"),
        ("a\r\n\0b", "a b"),
        ("a\ud800b", "a b"),
        ("a\u2028b", "a b"),
    ],
)
def test_a_line_has_no_separator_and_no_control_character(text: str, line: str) -> None:
    assert one_line(text) == line


@given(ANYTHING)
def test_a_line_stays_as_it_is_when_it_is_made_again(text: str) -> None:
    line = one_line(text)

    assert "##" not in line and one_line(line) == line
    line.encode()


# --- what is read


@given(ANYTHING, st.sampled_from(sorted(KINDS)))
def test_a_text_is_a_field_or_a_remote_error(text: str, kind: str) -> None:
    try:
        value = KINDS[kind].read(text)
    except RemoteProtocolError:
        return
    assert KINDS[kind].read(KINDS[kind].write(value)) == value or kind == "text"


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize(
    "text", ["x" * 1_000_000, "9" * 1_000_000, "#" * 1_000_000, "\0" * 1_000_000, "[" * 1_000_000, '{"a":' * 1_000_000]
)
def test_a_megabyte_is_refused_by_every_field(kind: str, text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        KINDS[kind].read(text)


@pytest.mark.parametrize(
    ("kind", "text", "status", "message"),
    [
        (TOKEN, "", 400, "1 to 128 printable characters without # were expected"),
        (TOKEN, "a b", 400, "1 to 128 printable characters without # were expected"),
        (TOKEN, "a#", 400, "1 to 128 printable characters without # were expected"),
        (TOKEN, "a\n", 400, "1 to 128 printable characters without # were expected"),
        (TOKEN, "x" * (LONGEST_TOKEN + 1), 400, "1 to 128 printable characters without # were expected"),
        (TEXT, "", 400, "text was expected"),
        (TEXT, "x" * (LONGEST_TEXT + 1), 413, "at most 4000 characters were expected"),
        (TEXT, "a\nb", 400, "text without control characters was expected"),
        (TEXT, "\ud800", 400, "text without control characters was expected"),
        (NAME, "a##b", 400, "a name without ## was expected"),
        (NAME, "", 400, "text was expected"),
        (DIGITS, "", 400, "digits were expected: 0-9, *, #, A-D"),
        (DIGITS, "1x2", 400, "digits were expected: 0-9, *, #, A-D"),
        (DIGITS, "1 2", 400, "digits were expected: 0-9, *, #, A-D"),
        (DIGITS, "٣", 400, "digits were expected: 0-9, *, #, A-D"),
        (DIGITS, "1" * 129, 400, "digits were expected: 0-9, *, #, A-D"),
        (AUDIO, "", 400, "audio was expected"),
        (AUDIO, "AA=", 400, "base64 was expected"),
        (AUDIO, "AAA A", 400, "base64 was expected"),
        (AUDIO, "é", 400, "base64 was expected"),
        (AUDIO, "AAAA" * (LONGEST_AUDIO // 3 + 1), 413, "at most a second of audio was expected"),
        (AUDIO, "AAAA" * LONGEST_AUDIO, 413, "at most a second of audio was expected"),
        (JSON, "", 400, "JSON was expected"),
        (JSON, "[1]", 400, "a JSON object was expected"),
        (JSON, '{"a":NaN}', 400, "JSON was expected"),
        (JSON, '{"a":-Infinity}', 400, "JSON was expected"),
        (JSON, '{"a":1e999}', 400, "JSON was expected"),
        (JSON, '{"a":' + "9" * 5000 + "}", 400, "JSON was expected"),
        (JSON, deep(DEEPEST_JSON + 1), 400, "JSON of at most 20 levels was expected"),
        (JSON, deep(900), 400, "JSON of at most 20 levels was expected"),
        (JSON, '{"a":"' + "x" * LONGEST_JSON + '"}', 413, "at most 16000 characters of JSON were expected"),
        (NUMBER, "", 400, "a whole number was expected"),
        (NUMBER, "-1", 400, "a whole number was expected"),
        (NUMBER, "1" * 13, 400, "a whole number was expected"),
        (NUMBER, "٣", 400, "a whole number was expected"),
        (STATUS, "", 400, "a status such as 486 Busy Here was expected"),
        (STATUS, "Busy Here", 400, "a status such as 486 Busy Here was expected"),
        (STATUS, "4860 Busy", 400, "a status such as 486 Busy Here was expected"),
        (STATUS, "086 Busy", 400, "a status such as 486 Busy Here was expected"),
    ],
)
def test_what_is_wrong_with_a_field_is_said(kind: Kind, text: str, status: int, message: str) -> None:
    with pytest.raises(RemoteProtocolError) as error:
        kind.read(text)
    assert (error.value.status, str(error.value)) == (status, message)


def test_json_deeper_than_the_reader_can_go_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        JSON.read(deep(7000))


def test_the_largest_fields_are_taken() -> None:
    assert len(AUDIO.read(AUDIO.write(bytes(LONGEST_AUDIO)))) == LONGEST_AUDIO
    assert len(TOKEN.read("x" * LONGEST_TOKEN)) == LONGEST_TOKEN
    assert len(TEXT.read("x" * LONGEST_TEXT)) == LONGEST_TEXT
    assert JSON.read(deep(DEEPEST_JSON)) == json.loads(deep(DEEPEST_JSON))


def test_digits_are_read_in_capitals_hash_and_star_among_them() -> None:
    assert DIGITS.read("12#*ad") == "12#*AD"


# --- what is written


@given(OBJECTS)
def test_json_survives_the_wire_and_has_no_separator(value: dict[str, Any]) -> None:
    text = JSON.write(value)

    assert "##" not in text
    assert json.loads(text) == value


@given(st.dictionaries(ANYTHING, ANYTHING, max_size=4))
def test_json_of_any_text_can_be_sent_as_utf_8(value: dict[str, str]) -> None:
    JSON.write(value).encode()


def test_json_writes_the_words_of_every_language_as_they_are() -> None:
    assert JSON.write({"text": "你好"}) == '{"text":"你好"}'


def test_half_a_character_in_json_comes_back() -> None:
    assert JSON.read(JSON.write({"text": "a\ud83d"})) == {"text": "a\ud83d"}


def test_a_number_that_json_does_not_know_is_written_as_null() -> None:
    value = {"confidence": math.nan, "times": (1.5, [math.inf]), "more": {"least": -math.inf}, "name": "x"}

    assert JSON.read(JSON.write(value)) == {
        "confidence": None,
        "times": [1.5, [None]],
        "more": {"least": None},
        "name": "x",
    }


@given(st.integers(100, 999), ANYTHING)
def test_a_status_can_stand_before_another_field_whatever_its_reason(code: int, reason: str) -> None:
    text = STATUS.write(Status(code, reason))

    assert "##" not in text and not text.endswith("#")
    assert STATUS.read(text).code == code
    assert STATUS.write(STATUS.read(text)) == text


def test_a_status_is_written_as_in_sip() -> None:
    assert STATUS.write(Status(486, "Busy Here")) == "486 Busy Here"
    assert STATUS.read("486") == Status(486, "")
    assert str(Status(500, "a\r\nb")) == "500 a b"


def test_a_reason_that_is_read_is_one_line_for_the_log() -> None:
    assert STATUS.read("500 a\r\nb") == Status(500, "a b")


@pytest.mark.parametrize("token", ["", "a#b", "a b", "a\n", "é", "x" * 129])
def test_what_could_end_a_field_is_never_written_into_one(token: str) -> None:
    with pytest.raises(LocalProtocolError, match="cannot be a field"):
        TOKEN.write(token)
