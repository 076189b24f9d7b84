"""The header fields of a SIP message: ordered, as they were written, found under any of their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, cast

from sipcore.errors import LocalProtocolError, RemoteProtocolError

T = TypeVar("T")

COMPACT_FORMS = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}
"""The one-letter names (RFC 3261 §7.3.3, RFC 3515, 3841, 4028, 4474, 6665)."""

_FREQUENT = (
    "Accept, Allow, Call-ID, Contact, Content-Length, Content-Type, CSeq, Date, Expires, From, Max-Forwards, Reason, "
    "Record-Route, Require, Retry-After, Route, Server, Session-Expires, Subject, Supported, Timestamp, To, "
    "Unsupported, User-Agent, Via, Warning"
)
_KEYS = (
    {name: name.lower() for name in re.split(", ", _FREQUENT)}
    | {name.lower(): name.lower() for name in re.split(", ", _FREQUENT)}
    | COMPACT_FORMS
    | {letter.upper(): key for letter, key in COMPACT_FORMS.items()}
)

_TOKEN = re.compile(r"[!%'*+\-.0-9A-Z_`a-z~]+")
_PIECE = re.compile(r'[^,"<]+|"(?:[^"\\]|\\.)*"|<[^>]*>|,', re.DOTALL)


def key_of(name: str) -> str:
    """Return the one name that stands for all spellings of a field's name: long, in lower case (§7.3.1, §7.3.3)."""
    return _KEYS.get(name) or name.lower()


def split_list(value: str) -> list[str]:
    """Split a comma-separated list (§7.3.1); commas in quotes and angle brackets do not count.

    Raises:
        RemoteProtocolError: a quote or bracket never ends, or an item is empty (400).
    """
    if "," not in value:
        return [value.strip(" \t")]
    items: list[str] = []
    start = position = 0
    while position < len(value):
        match = _PIECE.match(value, position)
        if match is None:
            raise RemoteProtocolError(f"a quote or bracket in {value[:80]!r} never ends")
        if match[0] == ",":
            items.append(value[start:position].strip(" \t"))
            start = match.end()
        position = match.end()
    items.append(value[start:].strip(" \t"))
    if "" in items:
        raise RemoteProtocolError(f"an item of the list {value[:80]!r} is empty")
    return items


class Headers:
    """Header fields in order, with their names and values as written.

    A field is found under its long name, its compact form and any case. Values are text: UTF-8, where bytes that are
    none are kept as surrogates, so that writing gives the same bytes back. Folded lines are one line here (§7.3.1).

    Args:
        fields: name and value of each.
    """

    __slots__ = ("_fields", "_parsed")

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields: list[tuple[str, str, str]] = []
        self._parsed: dict[str, Any] = {}
        for name, value in fields:
            self.append(name, value)

    @classmethod
    def from_lines(cls, lines: Iterable[str]) -> Headers:
        """Read unfolded lines; RemoteProtocolError (400) at the first that is no field."""
        headers = cls()
        fields = headers._fields
        for line in lines:
            name, colon, value = line.partition(":")
            key = _KEYS.get(name)
            if key is None or not colon:
                name = name.rstrip(" \t")
                if not colon or not _TOKEN.fullmatch(name):
                    raise RemoteProtocolError(f"{line[:80]!r} is no header field")
                key = key_of(name)
            if "\n" in value or "\r" in value:
                raise RemoteProtocolError(f"a line break that is no CRLF in {line[:80]!r}")
            fields.append((key, name, value.strip(" \t")))
        return headers

    def append(self, name: str, value: str) -> None:
        """Add a field of our own at the end; LocalProtocolError when it would break the message."""
        if not _TOKEN.fullmatch(name) or "\r" in value or "\n" in value:
            raise LocalProtocolError(f"{name!r}: {value!r} cannot be a header field: a line break or a bad name")
        key = key_of(name)
        self._fields.append((key, name, value))
        self._parsed.pop(key, None)

    def set(self, name: str, value: str) -> None:
        """Replace the first field of that name, or add it."""
        key = key_of(name)
        for index, (other, written, _) in enumerate(self._fields):
            if other == key:
                self._fields[index] = (key, written, value)
                self._parsed.pop(key, None)
                return
        self.append(name, value)

    def get(self, name: str) -> str | None:
        """Return the value of the first field of that name; None when there is none."""
        key = key_of(name)
        for other, _, value in self._fields:
            if other == key:
                return value
        return None

    def get_all(self, name: str) -> list[str]:
        """Return the values of all fields of that name, in order."""
        key = key_of(name)
        return [value for other, _, value in self._fields if other == key]

    def find_repeated(self, keys: frozenset[str]) -> str | None:
        """Return the first of ``keys`` (long names in lower case) that stands here twice; None if none does."""
        seen: set[str] = set()
        for key, _, _ in self._fields:
            if key in keys:
                if key in seen:
                    return key
                seen.add(key)
        return None

    def get_list(self, name: str) -> list[str]:
        """Return the items of a comma-separated field, over all its lines, in order (§7.3.1); empty lines are none."""
        return [item for value in self.get_all(name) if value for item in split_list(value)]

    def parsed(self, name: str, parse: Callable[[str], T]) -> T | None:
        """Return the first field of that name, read by ``parse`` once and then remembered; None when there is none."""
        key = key_of(name)
        if key in self._parsed:
            return cast("T | None", self._parsed[key])
        value = self.get(name)
        result = None if value is None else parse(value)
        self._parsed[key] = result
        return result

    def encode(self, content_length: int) -> str:
        """Write all fields, each with its line end; Content-Length stays where it is, or comes last."""
        length = str(content_length)
        if self.get("Content-Length") != length:
            self.set("Content-Length", length)
        return "".join([f"{name}: {value}\r\n" for _, name, value in self._fields])

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((name, value) for _, name, value in self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._fields == other._fields

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        return f"Headers({list(self)!r})"
