"""The calling side: our INVITE and what comes of it (RFC 3261 §13.2, §9.1)."""

from __future__ import annotations

from sipcore.errors import LocalProtocolError
from sipcore.sip.checks import ALLOW
from sipcore.sip.client_transaction import ClientTransaction, make_cancel
from sipcore.sip.context import Context, Fields
from sipcore.sip.dialog import Dialog
from sipcore.sip.events import SessionAnswered, SessionRang, SessionRejected
from sipcore.sip.headers import Headers
from sipcore.sip.message import Request, Response, reason_of
from sipcore.sip.session import Session, SessionState
from sipcore.sip.transaction import Address, State
from sipcore.sip.uri import Uri
from sipcore.sip.values import NameAddress


class Caller:
    """Sends INVITE and takes its responses.

    Args:
        context: the agent's state.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def invite(
        self,
        target: Uri,
        now: float,
        caller: Uri | None,
        body: bytes,
        destination: Address,
        headers: Fields,
        call_id: str | None = None,
    ) -> str:
        """Send an INVITE outside a dialog (§13.2.1); returns the new session's id, which is the Call-ID."""
        context = self._context
        tag = context.token()
        request = self._make_invite(target, caller, tag, body, headers, call_id or context.token())
        session = Session(request.call_id, SessionState.CALLING, request, tag, destination)
        session.outgoing = context.transactions.request(request, destination, now, session)
        context.open(session)
        return session.id

    def _make_invite(
        self, target: Uri, caller: Uri | None, tag: str, body: bytes, headers: Fields, call_id: str
    ) -> Request:
        context, settings = self._context, self._context.settings
        sender = caller or Uri(user=settings.user, host=settings.address[0])
        fields = Headers(
            [
                ("Via", context.via()),
                ("Max-Forwards", "70"),
                ("From", str(NameAddress(sender).with_tag(tag))),
                ("To", str(NameAddress(target))),
                ("Call-ID", call_id),
                ("CSeq", "1 INVITE"),
                ("Contact", context.contact),
                ("Allow", ALLOW),
                ("User-Agent", settings.product),
                *headers,
            ]
        )
        if body:
            fields.append("Content-Type", "application/sdp")
        return Request(fields, body, "INVITE", target)

    def cancel(self, session: str, now: float, reason: str) -> None:
        """Give an unanswered call up: CANCEL, as soon as a provisional response came (§9.1)."""
        calling = self._context.session(session)
        if calling.state is not SessionState.CALLING or calling.outgoing is None:
            raise LocalProtocolError(f"session {session!r} is no unanswered call of ours")
        if calling.cancel_reason is None:
            calling.cancel_reason = reason
            if calling.outgoing.state is State.PROCEEDING:
                self._send_cancel(calling, calling.outgoing, now)

    def _send_cancel(self, session: Session, invite: ClientTransaction, now: float) -> None:
        cancel = make_cancel(session.invite)
        if session.cancel_reason:
            cancel.headers.append("Reason", session.cancel_reason)
        self._context.transactions.request(cancel, invite.destination, now)
        session.cancel_deadline = now + self._context.settings.timers.timeout
        self._context.timers.update(session)

    def receive_response(self, response: Response, session: Session, now: float) -> None:
        """Take a response to our INVITE."""
        if response.is_provisional:
            self._receive_provisional(response, session, now)
        elif response.is_success:
            self._receive_success(response, session, now)
        else:
            self.fail(session, response.status, response.reason, response)

    def _receive_provisional(self, response: Response, session: Session, now: float) -> None:
        if session.cancel_reason is not None:
            if session.cancel_deadline is None and session.outgoing is not None:
                self._send_cancel(session, session.outgoing, now)
        elif response.status > 100 and session.state is SessionState.CALLING:
            self._context.events.append(SessionRang(session.id, response))

    def _receive_success(self, response: Response, session: Session, now: float) -> None:
        """Acknowledge every 2xx; keep the first, hang up on every other (§13.2.2.4)."""
        context = self._context
        tag = response.to.tag or ""
        if tag in session.acks:
            context.transactions.send(*session.acks[tag])
            return
        dialog = Dialog.of_client(session.invite, response)
        ack = dialog.request("ACK", context.via(), sequence=session.invite.cseq.number)
        session.acks[tag] = (bytes(ack), dialog.next_hop(session.peer))
        context.transactions.send(*session.acks[tag])
        if session.state is not SessionState.CALLING:
            context.bye(session, now, "", dialog)
        elif session.cancel_reason is not None:
            context.bye(session, now, session.cancel_reason, dialog)
            self.fail(session, 487, reason_of(487), None)
        else:
            session.dialog = dialog
            session.state = SessionState.CONFIRMED
            context.enter_dialog(session)
            context.events.append(SessionAnswered(session.id, response))

    def fail(self, session: Session, status: int, reason: str, response: Response | None) -> None:
        """End a call that was not answered."""
        self._context.close(session, SessionRejected(session.id, status, reason, response))

    def handle_timeout(self, session: Session, now: float) -> None:
        """Give a cancelled INVITE up whose final response never came (§9.1)."""
        if session.cancel_deadline is not None and now >= session.cancel_deadline:
            session.cancel_deadline = None
            assert session.outgoing is not None
            self._context.transactions.abandon(session.outgoing)
            self.fail(session, 487, reason_of(487), None)
