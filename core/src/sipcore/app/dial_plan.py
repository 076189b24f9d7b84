"""Whom clients may have called, how often, and how many at once. What is not allowed is refused with a reason."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import unquote

from sipcore.errors import CallFailedError, RemoteProtocolError
from sipcore.sip.uri import Uri

_NUMBER = re.compile(r"\+?[0-9A-Za-z*#_]{1,64}")
_USER = re.compile(r"[!-:<-~]{1,128}")
"""No parameters (``;``): those of a telephone number in a URI (RFC 3261 §19.1.6) could mean another one."""
_SEPARATORS = re.compile(r"(?<=[0-9)])[-. ()]+(?=[0-9(])|(?<=\+)\(|\((?=[0-9])|(?<=[0-9])\)$")
"""What people write into a number for the eye (RFC 3966 §5.1.1, ``visual-separator``)."""


@dataclass(frozen=True, slots=True)
class DialSettings:
    """The rules.

    Args:
        allow: patterns of what may be dialled: ``+49*`` for numbers, ``sip:*@10.0.0.5`` for URIs.
        server: host of the SIP server that numbers are dialled at; None: there is none.
        port: its port.
        max_calls: outgoing calls at once.
        calls_per_second: new outgoing calls a second.
    """

    allow: Sequence[str] = ()
    server: str | None = None
    port: int = 5060
    max_calls: int = 10
    calls_per_second: int = 5


class DialPlan:
    """Turns what a client wants called into a URI, or says why not."""

    def __init__(self, settings: DialSettings) -> None:
        self._settings = settings
        self._recent: deque[float] = deque()
        self._calls = 0

    def target(self, phone: str) -> Uri:
        """Return whom to call for ``phone``: a number at the server, or the SIP URI that it is.

        Raises:
            CallFailedError: 404 for what is neither, 403 for what CALL_ALLOW does not let, 503 without a server.
        """
        uri = _as_uri(phone)
        number = "" if uri else _as_number(phone)
        forms = {str(uri), unquote(str(uri))} if uri else {number}
        if not any(all(_matches(form, pattern) for form in forms) for pattern in self._settings.allow):
            hint = "no pattern of CALL_ALLOW fits" if self._settings.allow else "CALL_ALLOW is empty"
            raise CallFailedError(403, f"Forbidden ({hint})")
        if uri is not None:
            return uri
        if self._settings.server is None:
            raise CallFailedError(503, "Service Unavailable (SIP_SERVER_IP is not set)")
        return Uri(user=number.replace("#", "%23"), host=self._settings.server, port=self._settings.port)

    @contextmanager
    def admitted(self, now: float) -> Generator[None]:
        """Count a call while the block runs.

        Raises:
            CallFailedError: 503: there are too many at once, or they come too fast.
        """
        while self._recent and now - self._recent[0] >= 1.0:
            self._recent.popleft()
        if self._calls >= self._settings.max_calls:
            raise CallFailedError(503, "Service Unavailable (outgoing.max_calls are up)")
        if len(self._recent) >= self._settings.calls_per_second:
            raise CallFailedError(503, "Service Unavailable (outgoing.calls_per_second are reached)")
        self._recent.append(now)
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1


def _as_uri(phone: str) -> Uri | None:
    """Read a URI; of a SIP URI only user, host and port count: parameters and headers could steer the request."""
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", phone):
        return None
    try:
        uri = Uri.parse(phone)
    except RemoteProtocolError as error:
        raise CallFailedError(404, "Not Found (this is no SIP URI)") from error
    more = uri.parameters or uri.headers or uri.password is not None
    if uri.scheme != "sip" or more or not _USER.fullmatch("x" if uri.user is None else uri.user):
        raise CallFailedError(404, "Not Found (sip:user@host:port was expected, without anything else)")
    return Uri(user=uri.user, host=uri.host.lower(), port=uri.port)


def _as_number(phone: str) -> str:
    number = _SEPARATORS.sub("", phone.strip())
    if not _NUMBER.fullmatch(number):
        raise CallFailedError(404, "Not Found (this is no number)")
    return number


def _matches(asked: str, pattern: str) -> bool:
    """Whether a pattern lets it through; one without a scheme is for numbers alone."""
    return (":" in asked) == (":" in pattern) and fnmatchcase(asked, pattern)
