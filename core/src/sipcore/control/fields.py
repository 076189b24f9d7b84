"""The fields of the text protocol's messages: how each kind of value is written, and what is no such value."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote

from sipcore.errors import RemoteProtocolError

SEPARATOR = "##"
LONGEST_TOKEN = 128
LONGEST_TEXT = 4_000
LONGEST_JSON = 16_000
LONGEST_AUDIO = 16_000
"""Octets of audio in one message: a second of 16-bit PCM at 8 kHz."""

_TOKEN = re.compile(r"[!-\"$-~]{1,128}")
"""Printable ASCII without ``#`` and space: a token can neither end nor add a field."""
_SAFE_ID = re.compile(r"[A-Za-z0-9.@_+%!*~-]{1,128}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


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
    return quote(user.encode("utf-8", "surrogatepass"), safe="+*@._~!$&'(),;=:?/-")[:LONGEST_TOKEN] or "anonymous"


def one_line(text: str) -> str:
    """Return ``text`` without control characters and without the separator."""
    return _CONTROL.sub(" ", text).replace(SEPARATOR, "# #")


def _read_token(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise RemoteProtocolError("1 to 128 printable characters without # were expected")
    return text


def _read_text(text: str) -> str:
    if not text or len(text) > LONGEST_TEXT:
        raise RemoteProtocolError(f"1 to {LONGEST_TEXT} characters were expected")
    if _CONTROL.search(text):
        raise RemoteProtocolError("text without control characters was expected")
    return text


def _read_digits(text: str) -> str:
    if not text or len(text) > LONGEST_TOKEN or text.strip("0123456789*#ABCDabcd"):
        raise RemoteProtocolError("digits were expected: 0-9, *, #, A-D")
    return text.upper()


def _read_audio(text: str) -> bytes:
    try:
        audio = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RemoteProtocolError("base64 was expected") from error
    if not 0 < len(audio) <= LONGEST_AUDIO:
        raise RemoteProtocolError("more than nothing and at most a second of audio was expected", 413)
    return audio


def _read_json(text: str) -> Mapping[str, Any]:
    if len(text) > LONGEST_JSON:
        raise RemoteProtocolError(f"at most {LONGEST_JSON} characters of JSON were expected", 413)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("JSON was expected") from error
    if not isinstance(value, dict):
        raise RemoteProtocolError("a JSON object was expected")
    return cast("dict[str, Any]", value)


def _write_json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))


def _read_number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise RemoteProtocolError("a whole number was expected")
    return int(text)


def _read_status(text: str) -> Status:
    code, _, reason = text.partition(" ")
    if not re.fullmatch(r"[1-9][0-9]{2}", code):
        raise RemoteProtocolError("a status such as 486 Busy Here was expected")
    return Status(int(code), reason)


TOKEN = Kind(_read_token, str)
"""A call id, a phone number, a name: no space, no ``#``."""
TEXT = Kind(_read_text, one_line)
"""Words, on one line."""
DIGITS = Kind(_read_digits, str)
"""Keys of a phone: 0-9, ``*``, ``#``, A-D."""
AUDIO = Kind(_read_audio, lambda audio: base64.b64encode(audio).decode("ascii"))
"""Base64 of audio."""
JSON = Kind(_read_json, _write_json)
"""A JSON object."""
NUMBER = Kind(_read_number, str)
"""A whole number."""
STATUS = Kind(_read_status, str)
"""A `Status`."""
