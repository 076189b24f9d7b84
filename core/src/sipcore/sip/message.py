"""SIP requests and responses (RFC 3261 §7)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from sipcore.errors import LocalProtocolError, RemoteProtocolError
from sipcore.sip.headers import Headers, split_list
from sipcore.sip.uri import Uri
from sipcore.sip.values import CSeq, NameAddress, Via

T = TypeVar("T")

_METHODS = (
    "ACK, BYE, CANCEL, INFO, INVITE, MESSAGE, NOTIFY, OPTIONS, PRACK, PUBLISH, REFER, REGISTER, SUBSCRIBE, UPDATE"
)
METHODS = frozenset(_METHODS.split(", "))
"""Every method that an RFC defines; to any other the answer is 501 (§21.5.2)."""

REASONS = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    200: "OK",
    202: "Accepted",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    485: "Ambiguous",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    493: "Undecipherable",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    580: "Precondition Failure",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
}
"""Reason phrases (§21)."""


def reason_of(status: int) -> str:
    """Return the usual phrase for a status, or that of its class."""
    return REASONS.get(status) or REASONS.get(status // 100 * 100) or "Unknown"


@dataclass(slots=True)
class Message:
    """What requests and responses share. Reading a field raises RemoteProtocolError (400) when it is missing or broken.

    Args:
        headers: all header fields; writing the message sets its Content-Length.
        body: bytes.
    """

    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    @property
    def via(self) -> Via:
        """The topmost Via."""
        return _required("Via", self.headers.parsed("Via", Via.parse_first))

    @property
    def from_(self) -> NameAddress:
        """Who sent the request."""
        return _required("From", self.headers.parsed("From", NameAddress.parse))

    @property
    def to(self) -> NameAddress:
        """Whom the request was meant for; with a tag it is inside a dialog."""
        return _required("To", self.headers.parsed("To", NameAddress.parse))

    @property
    def call_id(self) -> str:
        """The Call-ID."""
        return _required("Call-ID", self.headers.get("Call-ID"))

    @property
    def cseq(self) -> CSeq:
        """The CSeq."""
        return _required("CSeq", self.headers.parsed("CSeq", CSeq.parse))

    @property
    def contact(self) -> NameAddress | None:
        """The first Contact; None when there is none, or ``*``."""
        return self.headers.parsed("Contact", _parse_contact)

    @property
    def content_type(self) -> str:
        """The media type of the body in lower case, without parameters; empty when it is not said."""
        return (self.headers.get("Content-Type") or "").partition(";")[0].strip(" \t").lower()

    def addresses(self, name: str) -> tuple[NameAddress, ...]:
        """Return all addresses of a field, as Route and Record-Route hold them."""
        return tuple([NameAddress.parse(item) for item in self.headers.get_list(name)])

    def _encode(self, start_line: str) -> bytes:
        if "\r" in start_line or "\n" in start_line:
            raise LocalProtocolError(f"{start_line!r} cannot be a start line: a line break is in it")
        head = f"{start_line}\r\n{self.headers.encode(len(self.body))}\r\n"
        return head.encode("utf-8", "surrogateescape") + self.body


@dataclass(slots=True)
class Request(Message):
    """A request.

    Args:
        method: as written; methods are case-sensitive.
        uri: the Request-URI.
    """

    method: str = ""
    uri: Uri = field(default_factory=Uri)

    def __bytes__(self) -> bytes:
        return self._encode(f"{self.method} {self.uri} SIP/2.0")


@dataclass(slots=True)
class Response(Message):
    """A response.

    Args:
        status: 100 to 699.
        reason: the phrase, as written; may be empty.
    """

    status: int = 0
    reason: str = ""

    def __bytes__(self) -> bytes:
        return self._encode(f"SIP/2.0 {self.status} {self.reason}")

    @property
    def is_provisional(self) -> bool:
        """1xx: more will come."""
        return self.status < 200

    @property
    def is_success(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300

    @classmethod
    def to_request(
        cls,
        headers: Headers,
        status: int,
        reason: str | None = None,
        *,
        tag: str = "",
        extra: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Response:
        """Make the response to the request with those header fields (§8.2.6.2), however broken they are.

        Args:
            headers: the request's.
            status: of the response.
            reason: None for the usual phrase.
            tag: put on To when it has none; empty for a 100.
            extra: more header fields.
            body: of the response.
        """
        answer = Headers([("Via", value) for value in headers.get_all("Via")])
        for name in ("From", "To", "Call-ID", "CSeq"):
            value = headers.get(name)
            if value is not None:
                answer.append(name, _tagged(headers, value, tag) if name == "To" and tag else value)
        if status == 100 and (timestamp := headers.get("Timestamp")):
            answer.append("Timestamp", timestamp)
        for name, value in extra:
            answer.append(name, value)
        return cls(answer, body, status, reason_of(status) if reason is None else reason)


def _tagged(headers: Headers, value: str, tag: str) -> str:
    try:
        to = headers.parsed("To", NameAddress.parse)
    except RemoteProtocolError:
        return value
    return value if to is None or to.tag is not None else f"{value};tag={tag}"


def _required(name: str, value: T | None) -> T:
    if not value:
        raise RemoteProtocolError(f"no {name} header field")
    return value


def _parse_contact(value: str) -> NameAddress | None:
    if value in ("", "*"):
        return None
    return NameAddress.parse(split_list(value)[0])
