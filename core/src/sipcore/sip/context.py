"""What the caller's, the callee's and the common side of a user agent share."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from sipcore.errors import LocalProtocolError
from sipcore.sip.checks import ALLOW
from sipcore.sip.client_transaction import ClientTransaction
from sipcore.sip.dialog import Dialog, DialogId
from sipcore.sip.events import Event, SessionEnded
from sipcore.sip.headers import Headers
from sipcore.sip.message import Request, Response, reason_of
from sipcore.sip.server_transaction import ServerTransaction
from sipcore.sip.session import Session, SessionState
from sipcore.sip.timers import DEFAULT_TIMERS, TimerQueue, TimerValues
from sipcore.sip.transaction import Address
from sipcore.sip.transaction_layer import TransactionLayer
from sipcore.sip.uri import Uri, host_and_port
from sipcore.sip.values import MAGIC_COOKIE

Fields = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class UserAgentSettings:
    """What a user agent is told about itself.

    Args:
        address: host and port that stand in our Via and Contact.
        user: the user part of our Contact, and of From when invite() names no caller.
        product: our User-Agent and Server.
        max_sessions: above, an INVITE gets 503.
        max_transactions: of peers, at a time; above, the oldest answered ones are forgotten early, or if there is none
            a new request gets 503.
        retry_after: seconds that such a peer should wait.
        timers: T1, T2, T4.
    """

    address: Address
    user: str = "sipcore"
    product: str = "sipcore/0.1.0"
    max_sessions: int = 10_000
    max_transactions: int = 20_000
    retry_after: int = 10
    timers: TimerValues = DEFAULT_TIMERS


class Context:
    """The state of one user agent: its sessions, transactions, events, and how it writes about itself.

    Args:
        settings: see there.
        random: for tags, branches and ids.
    """

    def __init__(self, settings: UserAgentSettings, random: Random) -> None:
        self.settings = settings
        self.transactions = TransactionLayer(settings.max_transactions, settings.timers)
        self.sessions: dict[str, Session] = {}
        self.dialogs: dict[DialogId, Session] = {}
        self.timers: TimerQueue[Session] = TimerQueue()
        self.events: deque[Event] = deque()
        self._random = random
        self._secret = random.randbytes(16)
        self._sent_by = host_and_port(*settings.address)
        self.contact = f"<{Uri(user=settings.user, host=settings.address[0], port=settings.address[1])}>"

    def token(self) -> str:
        """Return a new tag, Call-ID or session id: 64 bits that nobody can guess (§19.3)."""
        return f"{self._random.getrandbits(64):016x}"

    def pause(self) -> int:
        """Return 0 to 10 seconds, at random (§14.2)."""
        return self._random.randint(0, 10)

    def glare_pause(self, *, owns_call_id: bool) -> float:
        """Return the seconds after which an offer that met one of the peer's is sent again (§14.1)."""
        return (self._random.randint(210, 400) if owns_call_id else self._random.randint(0, 200)) / 100

    def via(self) -> str:
        """Return a Via of ours with a new branch (§8.1.1.7), asking for the port (RFC 3581)."""
        return f"SIP/2.0/UDP {self._sent_by};rport;branch={MAGIC_COOKIE}{self._random.getrandbits(80):020x}"

    def stateless_tag(self, headers: Headers) -> str:
        """Return the tag of an answer that leaves no state: the same for the same request (§8.2.7)."""
        text = "\n".join([headers.get(name) or "" for name in ("Via", "Call-ID", "From", "CSeq")])
        return hashlib.blake2s(text.encode("utf-8", "surrogateescape"), key=self._secret, digest_size=8).hexdigest()

    def session(self, session: str) -> Session:
        """Return a session by its id; LocalProtocolError when there is none."""
        try:
            return self.sessions[session]
        except KeyError:
            raise LocalProtocolError(f"there is no session {session!r}: it ended, or never was") from None

    def open(self, session: Session) -> None:
        """Keep a new session."""
        self.sessions[session.id] = session
        self.enter_dialog(session)

    def enter_dialog(self, session: Session) -> None:
        """Let the peer's requests find a session by its dialog."""
        if session.dialog is not None:
            self.dialogs[session.dialog.id] = session

    def close(self, session: Session, event: Event | None = None) -> None:
        """Forget a session; whatever still comes for it gets 481."""
        session.state = SessionState.ENDED
        session.unacknowledged = session.own_offer = session.referral = None
        self.sessions.pop(session.id, None)
        if session.dialog is not None:
            self.dialogs.pop(session.dialog.id, None)
        if event is not None:
            self.events.append(event)

    def respond(
        self,
        transaction: ServerTransaction,
        status: int,
        now: float,
        *,
        reason: str | None = None,
        tag: str = "",
        headers: Fields = (),
        body: bytes = b"",
    ) -> Response:
        """Answer a request through its transaction."""
        extra = [("Server", self.settings.product), *headers] if status > 100 else list(headers)
        if body:
            extra.append(("Content-Type", "application/sdp"))
        response = Response.to_request(transaction.request.headers, status, reason, tag=tag, extra=extra, body=body)
        self.transactions.respond(transaction, response, now)
        return response

    def dialog_fields(self, request: Request) -> list[tuple[str, str]]:
        """Return what a response carries that opens or refreshes a dialog (§12.1.1)."""
        fields = [("Record-Route", value) for value in request.headers.get_all("Record-Route")]
        return [*fields, ("Contact", self.contact), ("Allow", ALLOW)]

    def request(
        self,
        session: Session,
        method: str,
        now: float,
        headers: Fields = (),
        dialog: Dialog | None = None,
        *,
        body: bytes = b"",
        owner: object = None,
    ) -> ClientTransaction:
        """Send a request in a session's dialog, or in another that its INVITE opened.

        Args:
            session: see above.
            method: not ACK.
            now: seconds.
            headers: more header fields.
            dialog: the other dialog.
            body: SDP.
            owner: whom the responses concern; None for the session, or for nobody in another dialog.
        """
        dialog = dialog or session.dialog
        if dialog is None:
            raise LocalProtocolError(f"{method} before there is a dialog")
        request = dialog.request(method, self.via())
        request.headers.append("User-Agent", self.settings.product)
        for name, value in headers:
            request.headers.append(name, value)
        if body:
            request.headers.append("Content-Type", "application/sdp")
            request.body = body
        if owner is None and dialog is session.dialog:
            owner = session
        return self.transactions.request(request, dialog.next_hop(session.peer), now, owner)

    def bye(self, session: Session, now: float, reason: str, dialog: Dialog | None = None) -> None:
        """Send a BYE (§15.1.1), with a Reason header field (RFC 3326) when there is something to say."""
        self.request(session, "BYE", now, [("Reason", reason)] if reason else [], dialog)

    def withdraw_offer(self, session: Session, now: float) -> None:
        """Answer a re-INVITE or UPDATE that the end of its session overtook (§15.1.2)."""
        offer, session.offer = session.offer, None
        if offer is not None:
            self.respond(offer, 487, now)
            self.timers.update(session)

    def lose(self, session: Session, now: float, status: int) -> None:
        """End a session that the peer knows no more (481), or in which it is silent (408, §12.2.1.2)."""
        self.bye(session, now, f'SIP;cause={status};text="{reason_of(status)}"')
        self.end(session, "timeout" if status == 408 else "gone")

    def end(self, session: Session, cause: str, request: Request | None = None) -> None:
        """Forget an answered session and say why."""
        self.close(session, SessionEnded(session.id, cause, request))
