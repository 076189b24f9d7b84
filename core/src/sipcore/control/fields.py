"""The fields of the text protocol's messages: how each kind of value is written, and what is no such value."""

from __future__ import annotations

import binascii
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, cast
from urllib.parse import quote

from sipcore.errors import LocalProtocolError, RemoteProtocolError

SEPARATOR = "##"
LONGEST_TOKEN = 128
LONGEST_TEXT = 4_000
LONGEST_JSON = 16_000
DEEPEST_JSON = 20
"""Arrays and objects inside each other: more could be read, but not written by every program."""
LONGEST_AUDIO = 16_000
"""Octets of audio in one message: a second of 16-bit PCM at 8 kHz."""

_TOKEN = re.compile(r"[!-\"$-~]{1,128}")
"""Printable ASCII without ``#`` and space: a token can neither end nor add a field."""
_SAFE_ID = re.compile(r"[A-Za-z0-9.@_+%!~-]{1,128}")
"""No ``*``: it means every call in SUBSCRIBE, and a caller chooses its Call-ID."""
_CUT_ESCAPE = re.compile(r"%[0-9A-F]?$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_HASHES = re.compile(r"#(?=#)")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Status:
    """A status code and its reason: ``486 Busy Here``."""

    code: int
    reason: str

    def __str__(self) -> str:
        """Write it, on one line."""
        return f"{self.code} {one_line(self.reason)}"


@dataclass(frozen=True, slots=True)
class Kind:
    """How a field's value is read and written.

    Args:
        read: from the text of the field; raises `RemoteProtocolError` when it is none.
        write: to text.
    """

    read: Callable[[str], Any]
    write: Callable[[Any], str]


def safe_id(call_id: str) -> str:
    """Return a Call-ID as the protocol carries it: itself, or a digest of one that holds other signs or is too long."""
    if _SAFE_ID.fullmatch(call_id):
        return call_id
    return hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def safe_phone(user: str) -> str:
    """Return a caller's name or number as the protocol carries it: what could end a field is percent-encoded."""
    quoted = quote(user.encode("utf-8", "surrogatepass"), safe="+*@._~!$&'(),;=:?/-")
    return _CUT_ESCAPE.sub("", quoted[:LONGEST_TOKEN]) or "anonymous"


def is_token(text: str) -> bool:
    """Whether ``text`` can stand in any field: 1 to 128 printable ASCII characters without ``#``."""
    return _TOKEN.fullmatch(text) is not None


def one_line(text: str) -> str:
    """Return ``text`` without control characters and without the separator."""
    line = _CONTROL.sub(" ", text)
    return _HASHES.sub("# ", line) if SEPARATOR in line else line


def _read_token(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise RemoteProtocolError("1 to 128 printable characters without # were expected")
    return text


def _write_token(token: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise LocalProtocolError(f"{token!r} cannot be a field: 1 to 128 printable characters without # were expected")
    return token


def _read_text(text: str) -> str:
    if not text:
        raise RemoteProtocolError("text was expected")
    if len(text) > LONGEST_TEXT:
        raise RemoteProtocolError(f"at most {LONGEST_TEXT} characters were expected", 413)
    if _CONTROL.search(text):
        raise RemoteProtocolError("text without control characters was expected")
    return text


def _read_name(text: str) -> str:
    if SEPARATOR in text:
        raise RemoteProtocolError("a name without ## was expected")
    return _read_text(text)


def _read_digits(text: str) -> str:
    if not text or len(text) > LONGEST_TOKEN or text.strip("0123456789*#ABCDabcd"):
        raise RemoteProtocolError("digits were expected: 0-9, *, #, A-D")
    return text.upper()


def _read_audio(text: str) -> bytes:
    if len(text) > LONGEST_AUDIO * 4 // 3 + 4:
        raise RemoteProtocolError("at most a second of audio was expected", 413)
    try:
        audio = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise RemoteProtocolError("base64 was expected") from error
    if not audio:
        raise RemoteProtocolError("audio was expected")
    if len(audio) > LONGEST_AUDIO:
        raise RemoteProtocolError("at most a second of audio was expected", 413)
    return audio


def _write_audio(audio: bytes) -> str:
    return binascii.b2a_base64(audio, newline=False).decode("ascii")


def _read_json(text: str) -> Mapping[str, Any]:
    if len(text) > LONGEST_JSON:
        raise RemoteProtocolError(f"at most {LONGEST_JSON} characters of JSON were expected", 413)
    try:
        value = json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("JSON was expected") from error
    if not isinstance(value, dict):
        raise RemoteProtocolError("a JSON object was expected")
    if _is_deeper(value, DEEPEST_JSON):  # pyright: ignore[reportUnknownArgumentType]
        raise RemoteProtocolError(f"JSON of at most {DEEPEST_JSON} levels was expected")
    return cast("dict[str, Any]", value)


def _finite(text: str) -> float:
    """Read a number; what JSON has no number for is none (RFC 8259 §6)."""
    number = float(text)
    if not isfinite(number):
        raise ValueError(text)
    return number


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = cast("Iterable[Any]", value.values() if isinstance(value, dict) else value)
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in inner)


def _write_json(value: Mapping[str, Any]) -> str:
    """Write JSON as UTF-8 can carry it; a separator inside of it is escaped, a number that is none is null."""
    try:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_without_nan(value), separators=(",", ":"), ensure_ascii=False)
    text = _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return text.replace(SEPARATOR, "#\\u0023")


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in cast("Iterable[Any]", value)]
    return None if isinstance(value, float) and not isfinite(value) else value


def _read_number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise RemoteProtocolError("a whole number was expected")
    return int(text)


def _read_status(text: str) -> Status:
    code, _, reason = text.partition(" ")
    if not re.fullmatch(r"[1-9][0-9]{2}", code):
        raise RemoteProtocolError("a status such as 486 Busy Here was expected")
    return Status(int(code), one_line(reason))


def _write_status(status: Status) -> str:
    """Write a status that the separator may follow."""
    return str(status).rstrip("#")


TOKEN = Kind(_read_token, _write_token)
"""A call id, a phone number, a name: no space, no ``#``."""
TEXT = Kind(_read_text, one_line)
"""Words, on one line."""
NAME = Kind(_read_name, one_line)
"""What comes back as it was sent: text without ``##``."""
DIGITS = Kind(_read_digits, str)
"""Keys of a phone: 0-9, ``*``, ``#``, A-D."""
AUDIO = Kind(_read_audio, _write_audio)
"""Base64 of audio."""
JSON = Kind(_read_json, _write_json)
"""A JSON object."""
NUMBER = Kind(_read_number, str)
"""A whole number."""
STATUS = Kind(_read_status, _write_status)
"""A `Status`."""
