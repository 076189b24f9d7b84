"""Who may connect to the WebSocket: by token, by a browser's Origin, by the Host that was asked for."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

from websockets.datastructures import Headers

BEARER = "bearer."
"""Before a token that is sent as a subprotocol: browsers can set no header."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why somebody may not connect: an HTTP status and a line for the log, which never holds a token."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Access:
    """The rules.

    Args:
        host: the address or name that the server listens on.
        token: the secret that clients must show; empty: none is asked for.
        origins: browsers' origins that may connect, such as ``https://desk.example.org``.
    """

    host: str
    token: str = ""
    origins: Collection[str] = ()

    def check(self, target: str, headers: Headers) -> Refusal | None:
        """Judge a request for a WebSocket.

        Args:
            target: the request's path and query.
            headers: its fields.
        """
        return self.check_host(headers) or self._check_origin(headers) or self.check_token(target, headers)

    def check_host(self, headers: Headers) -> Refusal | None:
        """Refuse a name that a foreign page may have bound to a loopback address (DNS rebinding)."""
        if not is_loopback(self.host):
            return None
        names = [_host_name(asked) for asked in headers.get_all("Host")]
        if len(names) == 1 and (is_loopback(names[0]) or names[0] == self.host.lower()):
            return None
        return Refusal(403, f"Host {' '.join(names)[:100]!r} is not this machine's loopback address")

    def _check_origin(self, headers: Headers) -> Refusal | None:
        foreign = [origin for origin in headers.get_all("Origin") if origin not in self.origins]
        return Refusal(403, f"Origin {foreign[0][:100]!r} is not in websocket.origins") if foreign else None

    def check_token(self, target: str, headers: Headers) -> Refusal | None:
        """Refuse who does not know the token."""
        if not self.token:
            return None
        shown = shown_tokens(target, headers)
        expected = self.token.encode()
        if any(hmac.compare_digest(token.encode("utf-8", "surrogatepass"), expected) for token in shown):
            return None
        return Refusal(401, "the token is wrong" if shown else "no token was shown")


def shown_tokens(target: str, headers: Headers) -> list[str]:
    """Return the tokens that a request shows: in Authorization, as ``?token=``, as the subprotocol ``bearer.…``."""
    split = [value.partition(" ") for value in headers.get_all("Authorization")]
    found = [credentials.strip() for scheme, _, credentials in split if scheme.lower() == "bearer" and credentials]
    found += parse_qs(target.partition("?")[2]).get("token", [])
    found += [name.removeprefix(BEARER) for name in offered_subprotocols(headers) if name.startswith(BEARER)]
    return found


def offered_subprotocols(headers: Headers) -> list[str]:
    """Return the subprotocols that a client offers (RFC 6455 §4.1)."""
    names = ",".join(headers.get_all("Sec-WebSocket-Protocol")).split(",")
    return [name.strip() for name in names if name.strip()]


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's own: ``localhost`` or an address of the loopback net."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _host_name(asked: str) -> str:
    try:
        return urlsplit(f"//{asked}").hostname or ""
    except ValueError:
        return ""
