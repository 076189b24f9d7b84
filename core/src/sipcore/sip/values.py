"""The structured values of header fields: parameters, name-addr, Via and CSeq (RFC 3261 §20, §25.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from sipcore.errors import RemoteProtocolError
from sipcore.sip.headers import split_list
from sipcore.sip.uri import Uri, host_and_port

Parameters: TypeAlias = tuple[tuple[str, str | None], ...]
"""Header parameters in order, names and values as written; a value is None when there was no ``=``."""

MAGIC_COOKIE = "z9hG4bK"
"""How a branch of RFC 3261 starts (§8.1.1.7)."""

_PARAMETER = re.compile(
    r'[ \t]*;[ \t]*([^ \t;=,"<>]+)(?:[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^ \t;,"<>]*))?[ \t]*', re.DOTALL
)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"[ \t]*', re.DOTALL)
_VIA = re.compile(
    r"[Ss][Ii][Pp][ \t]*/[ \t]*([0-9A-Za-z.]+)[ \t]*/[ \t]*([^ \t/;,]+)[ \t]+"
    r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.\-]+)(?:[ \t]*:[ \t]*([0-9]{1,5}))?[ \t]*(;.*)?",
    re.DOTALL,
)
_CSEQ = re.compile(r"([0-9]{1,10})[ \t]+([!%'*+\-.0-9A-Z_`a-z~]+)")


def parse_parameters(text: str) -> Parameters:
    """Read ``;name=value;name`` to its end; RemoteProtocolError (400) when something else is in it."""
    found: list[tuple[str, str | None]] = []
    position = 0
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None:
            if text[position:].strip(" \t") in ("", ";") and found:
                break  # a lone semicolon at the end is common and harms nobody
            raise RemoteProtocolError(f"{text[:80]!r} are no header parameters")
        found.append((match[1], match[2]))
        position = match.end()
    return tuple(found)


def find_parameter(parameters: Parameters, name: str) -> str | None:
    """Return a parameter's value as written; empty when it has none; None when it is absent."""
    for key, value in parameters:
        if key == name or key.lower() == name:
            return value or ""
    return None


def write_parameters(parameters: Parameters) -> str:
    """Write parameters, each with its semicolon."""
    return "".join([f";{name}" if value is None else f";{name}={value}" for name, value in parameters])


@dataclass(frozen=True, slots=True)
class NameAddress:
    """What From, To, Contact, Route and Record-Route hold: a name, a URI and parameters (§20.10).

    Args:
        uri: whom it names.
        display_name: without quotes and their escapes; empty when there is none.
        parameters: those of the header field, not of the URI.
    """

    uri: Uri
    display_name: str = ""
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> NameAddress:
        """Read one address; RemoteProtocolError (400) when it is none."""
        text = text.strip(" \t")
        name = ""
        bracket = text.find("<")
        if text.startswith('"'):
            match = _QUOTED.match(text)
            if match is None or not text.startswith("<", match.end()):
                raise RemoteProtocolError(f"the name in {text[:80]!r} has no closing quote, or no <address> after it")
            name = re.sub(r"\\(.)", r"\1", match[1], flags=re.DOTALL)
            bracket = match.end()
        elif bracket < 0 or ":" in text[:bracket]:
            return cls._parse_bare(text)
        else:
            name = text[:bracket].strip(" \t")
            if any(sign in name for sign in ",;"):
                raise RemoteProtocolError(f"the name in {text[:80]!r} must be quoted")
        end = text.find(">", bracket)
        if end < 0:
            raise RemoteProtocolError(f"the bracket in {text[:80]!r} never closes")
        return cls(Uri.parse(text[bracket + 1 : end]), name, parse_parameters(text[end + 1 :]))

    @classmethod
    def _parse_bare(cls, text: str) -> NameAddress:
        """Read an address without brackets: its parameters are the field's, and ``,`` and ``?`` are barred (§20.10)."""
        address, semicolon, rest = text.partition(";")
        if "," in address or "?" in address:
            raise RemoteProtocolError(f"the address in {text[:80]!r} must stand in angle brackets")
        return cls(Uri.parse(address.rstrip(" \t")), "", parse_parameters(semicolon + rest))

    @property
    def tag(self) -> str | None:
        """The ``tag`` parameter (§19.3); None when there is none."""
        return find_parameter(self.parameters, "tag")

    def with_tag(self, tag: str) -> NameAddress:
        """Return the same address with that tag added."""
        return NameAddress(self.uri, self.display_name, (*self.parameters, ("tag", tag)))

    def __str__(self) -> str:
        escaped = self.display_name.replace("\\", "\\\\").replace('"', '\\"')
        name = f'"{escaped}" ' if escaped else ""
        return f"{name}<{self.uri}>{write_parameters(self.parameters)}"


@dataclass(frozen=True, slots=True)
class Via:
    """One hop's Via (§20.42).

    Args:
        transport: as written: ``UDP``, ``TCP`` …
        host: the sent-by host; an IPv6 address without brackets.
        port: the sent-by port; None when it was not written.
        parameters: among them ``branch``, ``received``, ``rport``.
        version: 2.0.
    """

    transport: str
    host: str
    port: int | None = None
    parameters: Parameters = ()
    version: str = "2.0"

    @classmethod
    def parse(cls, text: str) -> Via:
        """Read one Via value; RemoteProtocolError (400) when it is none."""
        match = _VIA.fullmatch(text.strip(" \t"))
        if match is None:
            raise RemoteProtocolError(f"{text[:80]!r} is no Via")
        version, transport, host, port, parameters = match.groups()
        number = None if port is None else int(port)
        if number is not None and not 0 < number < 65536:
            raise RemoteProtocolError(f"port {port} in Via is not possible")
        return cls(transport, host.strip("[]"), number, parse_parameters(parameters or ""), version)

    @classmethod
    def parse_first(cls, value: str) -> Via:
        """Read the first Via of a field that may list several."""
        return cls.parse(split_list(value)[0])

    def parameter(self, name: str) -> str | None:
        """Return a parameter; empty when it has no value; None when it is absent."""
        return find_parameter(self.parameters, name)

    @property
    def branch(self) -> str:
        """The branch; empty when there is none (RFC 2543)."""
        return self.parameter("branch") or ""

    @property
    def is_unique(self) -> bool:
        """Whether the branch alone tells transactions apart (§17.2.3): the magic cookie and something after it."""
        branch = self.branch
        return branch.startswith(MAGIC_COOKIE) and len(branch) > len(MAGIC_COOKIE)

    @property
    def sent_by(self) -> str:
        """Host and port as one text, in lower case."""
        return host_and_port(self.host, self.port).lower()

    def stamped(self, host: str, port: int) -> Via:
        """Note where the request really came from: ``received`` (§18.2.1) and a filled ``rport`` (RFC 3581 §4)."""
        asks_port = self.parameter("rport") is not None
        kept = [item for item in self.parameters if item[0].lower() not in ("received", "rport")]
        if asks_port:
            kept.append(("rport", str(port)))
        if asks_port or self.host.lower() != host.lower():
            kept.append(("received", host))
        return Via(self.transport, self.host, self.port, tuple(kept), self.version)

    def __str__(self) -> str:
        where = host_and_port(self.host, self.port)
        return f"SIP/{self.version}/{self.transport} {where}{write_parameters(self.parameters)}"


@dataclass(frozen=True, slots=True)
class CSeq:
    """Sequence number and method (§20.16)."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """Read it; RemoteProtocolError (400) when it is none or its number has more than 32 bits (§8.1.1.5)."""
        match = _CSEQ.fullmatch(text.strip(" \t"))
        if match is None or int(match[1]) >= 2**32:
            raise RemoteProtocolError(f"{text[:80]!r} is no CSeq")
        return cls(int(match[1]), match[2])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"
