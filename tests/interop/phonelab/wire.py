"""SIP written by hand: a socket, requests as text, responses taken apart. It owes nothing to the code under test."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from types import TracebackType

from phonelab.lab import LOOPBACK, Lab

_NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Answer:
    """A SIP message that came in: a response (``status``) or a request (``method``)."""

    status: int
    method: str
    reason: str
    headers: dict[str, str]
    body: str
    text: str = field(repr=False)

    @property
    def rtp(self) -> tuple[str, int]:
        """Where its SDP wants audio."""
        host = re.search(r"^c=IN IP4 (\S+)", self.body, re.MULTILINE)
        port = re.search(r"^m=audio (\d+)", self.body, re.MULTILINE)
        assert host and port, self.body
        return host[1], int(port[1])


def parse(data: bytes) -> Answer:
    """Take a message apart; header names in lower case, a repeated header's values joined by commas."""
    text = data.decode("utf-8", "replace")
    head, _, body = text.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        name = name.strip().lower()
        headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    if first.startswith("SIP/2.0 "):
        _, status, reason = first.split(" ", 2)
        return Answer(int(status), "", reason, headers, body, text)
    return Answer(0, first.split(" ", 1)[0], "", headers, body, text)


def sdp(port: int, host: str = LOOPBACK, formats: str = "0 8 101", extra: str = "") -> str:
    """An offer of G.711 and telephone events."""
    return (
        f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP {formats}\r\n"
        f"a=rtpmap:101 telephone-event/8000\r\n{extra}"
    )


class SipSocket:
    """A UDP socket that speaks to one SIP server.

    Args:
        lab: where it is.
        server: whom it speaks to.
    """

    def __init__(self, lab: Lab, server: tuple[str, int]) -> None:
        self.server = server
        self.socket = lab.udp_socket()
        self.port: int = self.socket.getsockname()[1]

    def __enter__(self) -> SipSocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, text: str | bytes) -> None:
        """Send one datagram."""
        self.socket.sendto(text if isinstance(text, bytes) else text.encode(), self.server)

    def receive(self, seconds: float = 5.0) -> Answer:
        """The next message; AssertionError when none comes."""
        self.socket.settimeout(seconds)
        try:
            return parse(self.socket.recv(65535))
        except TimeoutError:
            raise AssertionError(f"no SIP message within {seconds:g} s") from None

    def receive_nothing(self, seconds: float) -> bool:
        """Whether no message came for so long."""
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(65535)
        except TimeoutError:
            return True
        return False

    def final(self, seconds: float = 5.0) -> Answer:
        """The next final response."""
        while True:
            answer = self.receive(seconds)
            if answer.status >= 200:
                return answer

    def ask(self, text: str | bytes, seconds: float = 5.0) -> Answer:
        """Send a request; its final response."""
        self.send(text)
        return self.final(seconds)

    def options_answered(self, seconds: float = 2.0) -> bool:
        """Whether the server is alive."""
        return self.ask(self.dialog().request("OPTIONS"), seconds).status == 200

    def dialog(self, user: str = "assistant", call_id: str = "") -> Dialog:
        """The beginning of a conversation with ``user``."""
        return Dialog(self, user, call_id)


class Dialog:
    """The requests of one call, as text.

    Args:
        sip: the socket.
        user: whom it is with.
        call_id: of the call; empty: a fresh one.
    """

    def __init__(self, sip: SipSocket, user: str, call_id: str = "") -> None:
        self.sip = sip
        self.number = next(_NUMBERS)
        self.call_id = call_id or f"call-{self.number}-{sip.port}@wire"
        self.branch = f"z9hG4bK-{self.number}-{sip.port}"
        self.remote = f"sip:{user}@{sip.server[0]}:{sip.server[1]}"
        self.to_tag = ""
        self.cseq = 1
        self._steps = 0

    def request(
        self, method: str, body: str = "", headers: str = "", branch: str = "", content_type: str = "application/sdp"
    ) -> str:
        """The text of a request; the next one of the dialog unless it is ACK or CANCEL."""
        if method not in {"ACK", "CANCEL", "INVITE"}:
            self.cseq += 1
        self._steps += 1
        via = branch or f"{self.branch}-{self._steps}"
        if method == "INVITE" and not branch:
            self.branch = via
        content = f"Content-Type: {content_type}\r\n" if body else ""
        return (
            f"{method} {self.remote} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {LOOPBACK}:{self.sip.port};rport;branch={via}\r\n"
            f"Max-Forwards: 70\r\n"
            f"From: <sip:tester@{LOOPBACK}>;tag=t{self.number}\r\n"
            f"To: <{self.remote}>{self.to_tag}\r\n"
            f"Call-ID: {self.call_id}\r\n"
            f"CSeq: {self.cseq} {method}\r\n"
            f"Contact: <sip:tester@{LOOPBACK}:{self.sip.port}>\r\n"
            f"{headers}{content}Content-Length: {len(body.encode())}\r\n\r\n{body}"
        )

    def learn(self, answer: Answer) -> None:
        """Take the far end's tag and address from a 2xx."""
        tag = re.search(r";\s*tag=([^;,\s]+)", answer.headers["to"])
        assert tag, answer.text
        self.to_tag = f";tag={tag[1]}"
        contact = re.search(r"<([^>]+)>", answer.headers.get("contact", ""))
        if contact:
            self.remote = contact[1]

    def acknowledge_refusal(self, answer: Answer) -> None:
        """ACK a final response that is no 2xx: on the INVITE's own branch (RFC 3261 §17.1.1.3)."""
        tag = re.search(r";\s*tag=([^;,\s]+)", answer.headers.get("to", ""))
        self.to_tag = f";tag={tag[1]}" if tag else ""
        self.sip.send(self.request("ACK", branch=self.branch))

    def call(self, body: str, headers: str = "", seconds: float = 5.0) -> Answer:
        """INVITE, wait for the final response and ACK it, whichever it is."""
        answer = self.sip.ask(self.request("INVITE", body, headers), seconds)
        if answer.status >= 300:
            self.acknowledge_refusal(answer)
        else:
            self.learn(answer)
            self.sip.send(self.request("ACK"))
        return answer

    def hang_up(self, seconds: float = 5.0) -> Answer:
        """BYE; its response."""
        return self.sip.ask(self.request("BYE"), seconds)


def free_port(server: tuple[str, int], lab: Lab) -> bool:
    """Whether nobody is bound to an address."""
    try:
        lab.udp_socket(server[1], server[0]).close()
    except OSError:
        return False
    return True
