"""The called side: an INVITE comes in and is answered (RFC 3261 §13.3)."""

from __future__ import annotations

from sipcore.errors import LocalProtocolError
from sipcore.sip.checks import RefusedRequestError
from sipcore.sip.context import Context, Fields
from sipcore.sip.dialog import Dialog
from sipcore.sip.events import InvitationCancelled, InvitationReceived, SessionConfirmed
from sipcore.sip.message import Request
from sipcore.sip.server_transaction import ServerTransaction
from sipcore.sip.session import Session, SessionState, UnacknowledgedAnswer
from sipcore.sip.transaction import Address


class Callee:
    """Serves INVITE outside a dialog, its CANCEL and its ACK.

    Args:
        context: the agent's state.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def receive_invite(self, transaction: ServerTransaction, source: Address, now: float) -> None:
        """Take a new invitation: 100 at once (§17.2.1), a dialog under a tag of ours, and an event."""
        context, settings = self._context, self._context.settings
        if len(context.sessions) >= settings.max_sessions:
            raise RefusedRequestError("too many sessions", 503, ("Retry-After", str(settings.retry_after)))
        request = transaction.request
        tag = context.token()
        dialog = Dialog.of_server(request, tag, 0)
        session = Session(context.token(), SessionState.INVITED, request, tag, source, dialog, incoming=transaction)
        transaction.owner = session
        context.open(session)
        context.respond(transaction, 100, now)
        context.events.append(InvitationReceived(session.id, request, source))

    def receive_cancel(self, transaction: ServerTransaction, now: float) -> None:
        """Serve a CANCEL (§9.2): 200 if its INVITE is known, 487 to that if it is not answered yet."""
        context = self._context
        cancel = transaction.request
        invite = context.transactions.find_invite(cancel)
        if invite is None:
            raise RefusedRequestError("CANCEL of nothing", 481)
        session = invite.owner
        context.respond(transaction, 200, now, tag=session.tag if isinstance(session, Session) else invite.tag)
        if not isinstance(session, Session):
            return
        if session.offer is invite:
            context.withdraw_offer(session, now)
        else:
            self.withdraw(session, now, cancel.headers.get("Reason") or "")

    def withdraw(self, session: Session, now: float, reason: str) -> None:
        """End an invitation that its caller gave up: 487 and an event."""
        assert session.incoming is not None
        self._context.respond(session.incoming, 487, now, tag=session.tag)
        self._context.close(session, InvitationCancelled(session.id, reason))

    def receive_ack(self, ack: Request, session: Session, now: float) -> None:
        """Take the ACK of our 2xx (§13.3.1.4); it sets a waiting BYE free (§15)."""
        context, answer = self._context, session.unacknowledged
        if answer is None or ack.cseq.number != answer.sequence:
            return
        session.unacknowledged = None
        if session.bye_reason is not None:
            reason, session.bye_reason = session.bye_reason, None
            context.bye(session, now, reason)
            return
        if session.state is SessionState.ANSWERED:
            session.state = SessionState.CONFIRMED
        if session.reports_ack:
            context.events.append(SessionConfirmed(session.id, ack))

    def ring(self, session: str, now: float, status: int, headers: Fields) -> None:
        """Send 101 to 199 (§13.3.1.1)."""
        if not 100 < status < 200:
            raise LocalProtocolError(f"{status} is no provisional response: 101 to 199 was expected")
        invited, transaction = self._unanswered(session)
        fields = [*self._context.dialog_fields(invited.invite), *headers]
        self._context.respond(transaction, status, now, tag=invited.tag, headers=fields)

    def answer(self, session: str, body: bytes, now: float, headers: Fields) -> None:
        """Send the 200, again and again until its ACK comes (§13.3.1.4)."""
        invited, transaction = self._unanswered(session)
        self.accept(invited, transaction, body, now, headers)
        invited.state = SessionState.ANSWERED

    def accept(
        self, session: Session, transaction: ServerTransaction, body: bytes, now: float, headers: Fields
    ) -> None:
        """Answer an INVITE or re-INVITE with 200 and expect its ACK."""
        context = self._context
        fields = [*context.dialog_fields(transaction.request), *headers]
        sequence = transaction.request.cseq.number
        response = context.respond(transaction, 200, now, tag=session.tag, headers=fields, body=body)
        session.unacknowledged = UnacknowledgedAnswer(
            bytes(response), transaction.destination, sequence, now, context.settings.timers
        )
        context.timers.update(session)

    def reject(self, session: str, status: int, now: float, reason: str | None, headers: Fields) -> None:
        """Send 300 to 699; the session is over."""
        if not 300 <= status < 700:
            raise LocalProtocolError(f"{status} rejects nothing: 300 to 699 was expected")
        invited, transaction = self._unanswered(session)
        self._context.respond(transaction, status, now, reason=reason, tag=invited.tag, headers=headers)
        self._context.close(invited)

    def _unanswered(self, session: str) -> tuple[Session, ServerTransaction]:
        invited = self._context.session(session)
        if invited.state is not SessionState.INVITED or invited.incoming is None:
            raise LocalProtocolError(f"session {session!r} is no unanswered invitation")
        return invited, invited.incoming
