"""Requests inside a dialog: new offers, target refreshes, the end (RFC 3261 §12.2.2, §14.2, §15; RFC 3311)."""

from __future__ import annotations

from sipcore.errors import LocalProtocolError
from sipcore.sip.callee import Callee
from sipcore.sip.checks import CAPABILITIES, RefusedRequestError
from sipcore.sip.context import Context, Fields
from sipcore.sip.events import OfferReceived
from sipcore.sip.referrer import Referrer
from sipcore.sip.server_transaction import ServerTransaction
from sipcore.sip.session import Session, SessionState
from sipcore.sip.transaction import Address


class InDialog:
    """Serves what a peer sends within a session, and ends sessions of either side.

    Args:
        context: the agent's state.
        callee: sends the 2xx to a re-INVITE.
        referrer: takes what the peer tells of a transfer.
    """

    def __init__(self, context: Context, callee: Callee, referrer: Referrer) -> None:
        self._context = context
        self._callee = callee
        self._referrer = referrer

    def receive(self, transaction: ServerTransaction, session: Session, source: Address, now: float) -> None:
        """Take a request of the peer's; RemoteProtocolError (500) when it is out of order (§12.2.2)."""
        request = transaction.request
        assert session.dialog is not None
        session.dialog.receive(request)
        session.peer = source
        if request.method == "BYE":
            self._receive_bye(transaction, session, now)
        elif request.method == "INVITE" or (request.method == "UPDATE" and request.body):
            self._receive_offer(transaction, session, now)
        elif request.method == "NOTIFY":
            self._referrer.receive_notify(transaction, session, now)
        else:
            self._context.respond(transaction, 200, now, headers=self._fields(transaction))

    def _fields(self, transaction: ServerTransaction) -> list[tuple[str, str]]:
        """Return what the 200 to a request carries that changes nothing here."""
        if transaction.request.method == "UPDATE":
            return self._context.dialog_fields(transaction.request)
        return CAPABILITIES if transaction.request.method == "OPTIONS" else []

    def _receive_bye(self, transaction: ServerTransaction, session: Session, now: float) -> None:
        context, bye = self._context, transaction.request
        context.respond(transaction, 200, now)
        if session.state is SessionState.INVITED:
            self._callee.withdraw(session, now, bye.headers.get("Reason") or "")
            return
        context.withdraw_offer(session, now)
        context.end(session, "hangup", bye)

    def _receive_offer(self, transaction: ServerTransaction, session: Session, now: float) -> None:
        """Let one offer in at a time (§14.2, RFC 3311 §5.2; RFC 5407 §3.1.4 before the ACK)."""
        if session.state is SessionState.ENDING:
            raise RefusedRequestError("the session is ending", 481)
        if session.state is SessionState.INVITED or session.offer is not None:
            wait = ("Retry-After", str(self._context.pause()))
            raise RefusedRequestError("an offer is not answered yet", 500, wait)
        if session.unacknowledged is not None:
            raise RefusedRequestError("our 2xx is not acknowledged yet", 491)
        if session.is_offering:
            raise RefusedRequestError("an offer of ours is not answered yet", 491)
        session.offer = transaction
        transaction.owner = session
        if transaction.request.method == "INVITE":
            self._context.respond(transaction, 100, now)
        self._context.events.append(OfferReceived(session.id, transaction.request))

    def accept_offer(self, session: str, body: bytes, now: float, headers: Fields) -> None:
        """Answer a re-INVITE or UPDATE with 200."""
        holder, transaction = self._offer_of(session)
        if transaction.request.method == "INVITE":
            is_late = not transaction.request.body
            self._callee.accept(holder, transaction, body, now, headers)
            holder.reports_ack = is_late
        else:
            fields = [*self._context.dialog_fields(transaction.request), *headers]
            self._context.respond(transaction, 200, now, headers=fields, body=body)
        holder.offer = None
        self._context.timers.update(holder)

    def refuse_offer(self, session: str, status: int, now: float, headers: Fields) -> None:
        """Answer a re-INVITE or UPDATE with 300 to 699; the session stays as it was (§14.2)."""
        if not 300 <= status < 700:
            raise LocalProtocolError(f"{status} refuses nothing: 300 to 699 was expected")
        holder, transaction = self._offer_of(session)
        self._context.respond(transaction, status, now, headers=headers)
        holder.offer = None
        self._context.timers.update(holder)

    def _offer_of(self, session: str) -> tuple[Session, ServerTransaction]:
        holder = self._context.session(session)
        if holder.offer is None:
            raise LocalProtocolError(f"session {session!r} has no offer to answer")
        return holder, holder.offer

    def bye(self, session: str, now: float, reason: str) -> None:
        """Hang up (§15): at once, or when the ACK of our 2xx came or will not come any more."""
        ending = self._context.session(session)
        if ending.state is SessionState.ENDING:
            return
        if ending.state not in (SessionState.ANSWERED, SessionState.CONFIRMED):
            raise LocalProtocolError(f"session {session!r} is not answered: reject or cancel it")
        ending.state = SessionState.ENDING
        ending.own_offer = ending.referral = None
        if ending.unacknowledged is not None:
            ending.bye_reason = reason
            return
        self._context.withdraw_offer(ending, now)
        self._context.bye(ending, now, reason)

    def handle_timeout(self, session: Session, now: float) -> None:
        """Send a 2xx again, or give its ACK up and hang up (§13.3.1.4)."""
        context, answer = self._context, session.unacknowledged
        if answer is None:
            return
        if not answer.is_expired(now):
            answer.repeat(now)
            context.transactions.send(answer.data, answer.destination)
            return
        session.unacknowledged = None
        reason, session.bye_reason = session.bye_reason, None
        if reason is not None:
            context.bye(session, now, reason)
            return
        context.bye(session, now, 'SIP;cause=408;text="no ACK"')
        context.end(session, "no ack")
