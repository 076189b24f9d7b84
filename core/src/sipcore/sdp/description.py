"""Session descriptions (RFC 8866): read, kept and written. Strict about broken lines, lenient about unknown ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from sipcore.errors import RemoteProtocolError

Attribute: TypeAlias = tuple[str, str | None]
"""Name and value of an ``a=`` line; the value is None when there is no colon (§5.13)."""

MAX_LINES = 1_000
"""Lines of a description."""

_LINE = re.compile(r"([a-z])=(.*)", re.DOTALL)
_ORDER = "iuepcbtrzk"
_PORT = re.compile(r"([0-9]{1,5})(?:/([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Origin:
    """The ``o=`` line (§5.2): who made the description, and which version it is."""

    username: str
    session_id: int
    version: int
    address: str
    address_type: str = "IP4"
    network_type: str = "IN"

    @classmethod
    def parse(cls, value: str) -> Origin:
        """Read it; RemoteProtocolError (400) when it has no six fields or its numbers are none."""
        fields = value.split()
        if len(fields) != 6 or not all(re.fullmatch("[0-9]{1,20}", number) for number in fields[1:3]):
            raise RemoteProtocolError(f"o={value[:80]} is no origin")
        username, session_id, version, network_type, address_type, address = fields
        return cls(username, int(session_id), int(version), address, address_type, network_type)

    def __str__(self) -> str:
        numbers = f"{self.session_id} {self.version}"
        return f"{self.username} {numbers} {self.network_type} {self.address_type} {self.address}"


@dataclass(frozen=True, slots=True)
class Connection:
    """The ``c=`` line (§5.7): where media goes."""

    address: str
    address_type: str = "IP4"
    network_type: str = "IN"

    @classmethod
    def parse(cls, value: str) -> Connection:
        """Read it; RemoteProtocolError (400) when it has no three fields. A multicast TTL is dropped."""
        fields = value.split()
        if len(fields) != 3:
            raise RemoteProtocolError(f"c={value[:80]} is no connection")
        return cls(fields[2].partition("/")[0], fields[1], fields[0])

    def __str__(self) -> str:
        return f"{self.network_type} {self.address_type} {self.address}"


@dataclass(slots=True)
class _Section:
    """What the session's part and each medium's part share.

    Args:
        connection: where media goes; None when it is not said here.
        attributes: ``a=`` lines in order.
        others: lines of other types, by type and value, as they were.
    """

    connection: Connection | None = None
    attributes: list[Attribute] = field(default_factory=list[Attribute])
    others: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def attribute(self, name: str) -> str | None:
        """Return the first attribute of that name; empty when it has no value; None when it is absent."""
        for key, value in self.attributes:
            if key == name:
                return value or ""
        return None

    def all_attributes(self, name: str) -> list[str]:
        """Return the values of all attributes of that name."""
        return [value for key, value in self.attributes if key == name and value is not None]

    def _take(self, kind: str, value: str) -> None:
        if kind == "a":
            name, colon, rest = value.partition(":")
            self.attributes.append((name, rest if colon else None))
        elif kind == "c":
            self.connection = Connection.parse(value)
        else:
            self.others.append((kind, value))

    def _lines(self) -> Iterator[str]:
        """Write the lines after ``s=`` or ``m=``, in the order of §5."""
        known = [*self.others]
        if self.connection is not None:
            known.append(("c", str(self.connection)))
        known.sort(key=lambda line: _ORDER.find(line[0]) % len(_ORDER + "?"))
        yield from (f"{kind}={value}" for kind, value in known)
        yield from (f"a={name}" if value is None else f"a={name}:{value}" for name, value in self.attributes)


@dataclass(slots=True)
class MediaDescription(_Section):
    """An ``m=`` line and what follows it (§5.14).

    Args:
        kind: ``audio``, ``video`` …
        port: 0 when it is refused (RFC 3264 §6).
        protocol: ``RTP/AVP`` …
        formats: as written; payload types, for RTP.
        port_count: how many ports; usually 1.
    """

    kind: str = "audio"
    port: int = 0
    protocol: str = "RTP/AVP"
    formats: Sequence[str] = ()
    port_count: int = 1

    @classmethod
    def parse(cls, value: str) -> MediaDescription:
        """Read the ``m=`` line; RemoteProtocolError (400) when it is broken."""
        fields = value.split()
        match = _PORT.fullmatch(fields[1]) if len(fields) >= 4 else None
        if match is None or int(match[1]) > 65535:
            raise RemoteProtocolError(f"m={value[:80]} is no medium")
        return cls(
            kind=fields[0],
            port=int(match[1]),
            protocol=fields[2],
            formats=tuple(fields[3:]),
            port_count=int(match[2] or 1),
        )

    def lines(self) -> Iterator[str]:
        """Write the medium's lines."""
        count = "" if self.port_count == 1 else f"/{self.port_count}"
        yield f"m={self.kind} {self.port}{count} {self.protocol} {' '.join(self.formats)}"
        yield from self._lines()


@dataclass(slots=True)
class SessionDescription(_Section):
    """A whole description.

    Args:
        origin: who made it.
        name: the ``s=`` line.
        media: in order.
    """

    origin: Origin = Origin("-", 0, 0, "0.0.0.0")  # noqa: S104  # RFC 3264 §8.4's own "nowhere"
    name: str = "-"
    media: list[MediaDescription] = field(default_factory=list[MediaDescription])

    @classmethod
    def parse(cls, data: bytes) -> SessionDescription:
        """Read a description, its lines ended by CRLF or LF.

        ``s=`` and ``t=`` may be missing, as devices forget them; lines of unknown type are kept.

        Raises:
            RemoteProtocolError: no description, or a broken line (400).
        """
        lines = _split(data)
        if next(lines, None) != ("v", "0"):
            raise RemoteProtocolError("a session description must begin with v=0")
        kind, value = next(lines, ("", ""))
        if kind != "o":
            raise RemoteProtocolError("a session description needs o= after v=")
        description = cls(origin=Origin.parse(value), name="")
        section: _Section = description
        for kind, value in lines:
            if kind == "m":
                section = MediaDescription.parse(value)
                description.media.append(section)
            elif kind == "s" and section is description:
                description.name = value
            else:
                section._take(kind, value)  # the same family
        return description

    def connection_of(self, media: MediaDescription) -> Connection | None:
        """Return where a medium goes: its own ``c=`` or the session's (§5.7)."""
        return media.connection or self.connection

    def __bytes__(self) -> bytes:
        lines = ["v=0", f"o={self.origin}", f"s={self.name}", *self._lines()]
        for media in self.media:
            lines += media.lines()
        return ("\r\n".join(lines) + "\r\n").encode("utf-8", "surrogateescape")


def _split(data: bytes) -> Iterator[tuple[str, str]]:
    """Read the lines as type and value; RemoteProtocolError at the first that is none."""
    lines = data.decode("utf-8", "surrogateescape").replace("\r\n", "\n").rstrip("\n").split("\n")
    if len(lines) > MAX_LINES:
        raise RemoteProtocolError(f"a session description of {len(lines)} lines", 413)
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None or "\r" in line or "\0" in line:
            raise RemoteProtocolError(f"{line[:80]!r} is no line of a session description")
        yield match[1], match[2]
