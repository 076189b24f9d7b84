"""From bytes to messages (RFC 3261 §7, §18.3, §25). Whatever the bytes, only RemoteProtocolError leaves this module."""

from __future__ import annotations

import re
from typing import TypeAlias

from sipcore.errors import RemoteProtocolError
from sipcore.sip.headers import Headers
from sipcore.sip.message import METHODS, Request, Response
from sipcore.sip.uri import Uri
from sipcore.sip.values import Via

AnyMessage: TypeAlias = Request | Response

MAX_MESSAGE = 65_535
"""Bytes; what a datagram can hold."""
MAX_FIELDS = 256
"""Header fields a message."""
MAX_URI = 2_048
"""Characters of a Request-URI."""

_REQUEST_LINE = re.compile(r"([!%'*+\-.0-9A-Z_`a-z~]+) ([^ ]+) [Ss][Ii][Pp]/([0-9]{1,3}\.[0-9]{1,3})")
_STATUS_LINE = re.compile(r"[Ss][Ii][Pp]/([0-9]{1,3}\.[0-9]{1,3}) ([1-6][0-9]{2})(?: ([^\r\n]*))?")
_FOLD = re.compile(r"\r\n[ \t]+")
_SINGLE = frozenset(("call-id", "cseq", "from", "to", "max-forwards"))
_LENGTH = re.compile("[0-9]{1,9}")
_HOPS = re.compile("0{0,20}[0-9]{1,3}")


class MalformedMessageError(RemoteProtocolError):
    """A message that could not be read.

    Args:
        message: what was wrong.
        status: what the sender should get.
        headers: its header fields as far as they were read, when the sender may be answered; else None.
    """

    def __init__(self, message: str, status: int, headers: Headers | None) -> None:
        super().__init__(message, status)
        self.headers = headers


def parse_message(data: bytes) -> AnyMessage:
    """Read the one message of a datagram (§18.3); what follows its Content-Length is dropped.

    The form alone is read here: see check_message() for what must be in it.

    Raises:
        MalformedMessageError: with the status for its sender: 400, 414, 505, 513.
    """
    if data[:2] == b"\r\n":
        data = data.lstrip(b"\r\n")  # §7.5
    head, blank, body = data.partition(b"\r\n\r\n")
    text = head.decode("utf-8", "surrogateescape")
    if "\r\n " in text or "\r\n\t" in text:
        text = _FOLD.sub(" ", text)
    start_line, *lines = text.split("\r\n")
    if not blank and lines and ":" not in lines[-1]:
        del lines[-1]  # the datagram was cut within a field, or ends with one line end
    is_answerable = not start_line.upper().startswith(("SIP/", "ACK"))
    headers = Headers()
    try:
        _check_size(data, lines)
        headers = Headers.from_lines(lines)
        message = _parse_start_line(start_line)
        message.headers = headers
        message.body = _cut_body(headers, body)
    except RemoteProtocolError as error:
        if not headers:
            headers = _salvage(lines)
        answerable = headers if is_answerable and "Via" in headers else None
        raise MalformedMessageError(str(error), error.status, answerable) from None
    return message


def _check_size(data: bytes, lines: list[str]) -> None:
    if len(data) > MAX_MESSAGE or len(lines) > MAX_FIELDS:
        raise RemoteProtocolError(f"{len(data)} bytes in {len(lines)} fields are too much", 513)


def _salvage(lines: list[str]) -> Headers:
    """Return the fields that an answer needs (§8.2.6.2), of those lines that are fields at all."""
    found = Headers()
    for line in lines[:MAX_FIELDS]:
        try:
            (field,) = Headers.from_lines([line])
        except RemoteProtocolError:
            continue
        found.append(*field)
    return found


def _parse_start_line(line: str) -> AnyMessage:
    match = _STATUS_LINE.fullmatch(line)
    if match is not None:
        if match[1] != "2.0":
            raise RemoteProtocolError(f"SIP/{match[1]} is not spoken here", 505)
        return Response(status=int(match[2]), reason=match[3] or "")
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise RemoteProtocolError(f"{line[:80]!r} is neither a request line nor a status line")
    method, uri, version = match.groups()
    if version != "2.0":
        raise RemoteProtocolError(f"SIP/{version} is not spoken here", 505)
    if len(uri) > MAX_URI:
        raise RemoteProtocolError(f"a Request-URI of {len(uri)} characters", 414)
    return Request(method=method, uri=Uri.parse(uri))


def _cut_body(headers: Headers, rest: bytes) -> bytes:
    """Return the body: as long as Content-Length says, or all there is in a datagram that has none (§18.3)."""
    lengths = set(headers.get_all("Content-Length"))
    if not lengths:
        headers.append("Content-Length", str(len(rest)))
        return rest
    length = lengths.pop()
    if lengths or not _LENGTH.fullmatch(length):
        raise RemoteProtocolError("Content-Length must be one number")
    if int(length) > len(rest):
        raise RemoteProtocolError(f"Content-Length {length}, but the datagram has {len(rest)} bytes of body")
    return rest[: int(length)]


def check_message(message: AnyMessage) -> None:
    """Look at the fields that every message needs (§8.1.1) and that nothing can be done without.

    Raises:
        RemoteProtocolError: one is missing, broken or there twice; with the status for the sender: 400, 501, 505.
    """
    repeated = message.headers.find_repeated(_SINGLE)
    if repeated is not None:
        raise RemoteProtocolError(f"more than one {repeated}")
    via, cseq = message.via, message.cseq
    _ = (message.from_, message.to, message.call_id, message.contact)
    if via.version != "2.0":
        raise RemoteProtocolError(f"SIP/{via.version} in Via is not spoken here", 505)
    if isinstance(message, Request):
        _check_request(message, cseq.method)


def _check_request(request: Request, method: str) -> None:
    hops = request.headers.get("Max-Forwards")
    if hops is not None and (not _HOPS.fullmatch(hops) or int(hops) > 255):
        raise RemoteProtocolError(f"Max-Forwards {hops[:20]!r} is not within 0 and 255")
    if method != request.method:
        known = request.method in METHODS
        raise RemoteProtocolError(f"CSeq says {method}, the request line {request.method}", 400 if known else 501)
    if request.uri.headers:
        raise RemoteProtocolError("a Request-URI must not carry header fields (RFC 3261 §19.1.1)")
    if request.method == "REGISTER" and not request.to.uri.is_sip:
        raise RemoteProtocolError("To of a REGISTER must be a SIP URI (RFC 3261 §10.2)")
    if request.method == "INVITE":
        request.addresses("Record-Route")


def first_via(headers: Headers) -> Via | None:
    """Return the topmost Via of a message that may be malformed; None when it cannot be read."""
    try:
        return headers.parsed("Via", Via.parse_first)
    except RemoteProtocolError:
        return None
