"""SIP URIs (RFC 3261 §19.1), kept as they were written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from sipcore.errors import RemoteProtocolError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_FORBIDDEN = re.compile(r'[\x00-\x20\x7f<>"]')
_SIP = re.compile(
    r"(?:(?P<user>[^@:]*)(?P<password>:[^@]*)?@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.\-]+)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<parameters>(?:;[^;?@]*)*)"
    r"(?P<headers>\?[^@]*)?"
)


@dataclass(frozen=True, slots=True)
class Uri:
    """A SIP or SIPS URI, or an opaque one of another scheme.

    Every part but the scheme is kept as it was written, escapes included, so that ``str(Uri.parse(text))`` gives the
    text back (with the scheme in lower case).

    Args:
        scheme: in lower case: ``sip``, ``sips``, ``tel`` …
        user: the user part as written; None when there is no ``@``.
        host: a name or an address; an IPv6 address without its brackets.
        port: None when it was not written.
        parameters: as written, from the first ``;`` on.
        headers: as written, from the ``?`` on.
        password: as written, without its colon; None when there is none.
        opaque: what follows the scheme of a URI that is neither SIP nor SIPS.
    """

    scheme: str = "sip"
    user: str | None = None
    host: str = ""
    port: int | None = None
    parameters: str = ""
    headers: str = ""
    password: str | None = None
    opaque: str = ""

    @classmethod
    def parse(cls, text: str) -> Uri:
        """Read a URI; RemoteProtocolError (400) when it is none."""
        match = _SCHEME.match(text)
        if match is None or _FORBIDDEN.search(text):
            raise RemoteProtocolError(f"{text[:80]!r} is no URI")
        scheme = match[1].lower()
        rest = text[match.end() :]
        if scheme not in ("sip", "sips"):
            return cls(scheme, opaque=rest)
        match = _SIP.fullmatch(rest)
        if match is None:
            raise RemoteProtocolError(f"{text[:80]!r} is no SIP URI")
        user, password, host, port, parameters, headers = match.groups()
        number = None if port is None else int(port)
        if number is not None and number > 65535:
            raise RemoteProtocolError(f"port {port} in {text[:80]!r} is above 65535")
        return cls(
            scheme,
            user,
            host.strip("[]"),
            number,
            parameters,
            headers or "",
            None if password is None else password[1:],
        )

    @property
    def is_sip(self) -> bool:
        """Whether the scheme is ``sip`` or ``sips``."""
        return self.scheme in ("sip", "sips")

    @property
    def username(self) -> str:
        """Who is meant: the user part unescaped once (§19.1.2), or a ``tel`` URI's number; empty when there is none."""
        if self.is_sip:
            return unquote(self.user or "")
        return unquote(self.opaque.partition(";")[0])

    def parameter(self, name: str) -> str | None:
        """Return a URI parameter's value, unescaped; empty when it has none; None when it is absent (§19.1.1)."""
        for item in self.parameters.split(";"):
            key, _, value = item.partition("=")
            if key and unquote(key).lower() == name:
                return unquote(value)
        return None

    def __str__(self) -> str:
        if not self.is_sip:
            return f"{self.scheme}:{self.opaque}"
        password = "" if self.password is None else f":{self.password}"
        user = "" if self.user is None else f"{self.user}{password}@"
        return f"{self.scheme}:{user}{host_and_port(self.host, self.port)}{self.parameters}{self.headers}"


def host_and_port(host: str, port: int | None) -> str:
    """Write a host and perhaps its port, an IPv6 address in brackets (RFC 3261 §25.1, ``hostport``)."""
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"
