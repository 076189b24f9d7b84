"""Our offers within a session: hold, resume, a new address (RFC 3261 §14.1)."""

from __future__ import annotations

from sipcore.errors import LocalProtocolError
from sipcore.sip.checks import ALLOW
from sipcore.sip.client_transaction import make_cancel
from sipcore.sip.context import Context
from sipcore.sip.events import OfferAccepted, OfferRefused
from sipcore.sip.message import Response, reason_of
from sipcore.sip.session import OwnOffer, Session, SessionState

MAX_GLARES = 5
"""How often an offer that met one of the peer's is sent again."""


class Offerer:
    """Sends re-INVITEs and takes their responses.

    Args:
        context: the agent's state.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def offer(self, session: str, body: bytes, now: float) -> None:
        """Send an offer as soon as the peer's own is settled; one that still waits gets the new body."""
        offering = self._context.session(session)
        if offering.state not in (SessionState.ANSWERED, SessionState.CONFIRMED):
            raise LocalProtocolError(f"session {session!r} is not up: nothing can be offered in it")
        if offering.is_offering:
            raise LocalProtocolError(f"session {session!r} has an offer of ours that is not answered yet")
        if offering.own_offer is None:
            offering.own_offer = OwnOffer(offering, body, now)
        else:
            offering.own_offer.body = body
        self.handle_timeout(offering, now)
        self._context.timers.update(offering)

    def handle_timeout(self, session: Session, now: float) -> None:
        """Send the offer that waited, or give up the one whose final response does not come."""
        offer = session.own_offer
        if offer is None or now < offer.due:
            return
        if offer.transaction is not None:
            self._give_up(offer, now)
        elif not session.is_answering:
            self._send(offer, now)

    def _send(self, offer: OwnOffer, now: float) -> None:
        context = self._context
        fields = [("Contact", context.contact), ("Allow", ALLOW)]
        offer.transaction = context.request(offer.session, "INVITE", now, fields, body=offer.body, owner=offer)
        offer.due = now + context.settings.timers.timeout

    def _give_up(self, offer: OwnOffer, now: float) -> None:
        """Cancel what got no more than a provisional response (§9.1); the silent end of that ends the session."""
        context, invite = self._context, offer.transaction
        assert invite is not None
        if offer.is_cancelled:
            context.transactions.abandon(invite)
            context.lose(offer.session, now, 408)
            return
        offer.is_cancelled = True
        offer.due = now + context.settings.timers.timeout
        context.transactions.request(make_cancel(invite.request), invite.destination, now)

    def receive_response(self, response: Response, offer: OwnOffer, now: float) -> None:
        """Take a response to a re-INVITE."""
        if response.is_provisional:
            return
        if response.is_success:
            self._acknowledge(response, offer)
        elif response.status == 491 and offer.glares < MAX_GLARES and not offer.is_cancelled:
            self._retry(offer, now)
        elif offer.is_cancelled and response.status == 487:
            self._refused(offer, 408, reason_of(408))
        else:
            self.fail(offer, response.status, response.reason, now)

    def _acknowledge(self, response: Response, offer: OwnOffer) -> None:
        """Answer every 2xx with the same ACK (§13.2.2.4); the first is news, unless the session ended meanwhile."""
        context, session = self._context, offer.session
        if offer.ack is None:
            assert session.dialog is not None
            session.dialog.refresh(response)
            ack = session.dialog.request("ACK", context.via(), sequence=response.cseq.number)
            offer.ack = (bytes(ack), session.dialog.next_hop(session.peer))
            if session.own_offer is offer:
                session.own_offer = None
                context.events.append(OfferAccepted(session.id, response))
        context.transactions.send(*offer.ack)

    def _retry(self, offer: OwnOffer, now: float) -> None:
        offer.glares += 1
        offer.transaction = None
        offer.due = now + self._context.glare_pause(owns_call_id=offer.session.outgoing is not None)
        self._context.timers.update(offer.session)

    def fail(self, offer: OwnOffer, status: int, reason: str, now: float) -> None:
        """Tell of a refusal; 408 and 481 end the session (§12.2.1.2)."""
        if offer.session.own_offer is offer and status in (408, 481):
            self._context.lose(offer.session, now, status)
        else:
            self._refused(offer, status, reason)

    def _refused(self, offer: OwnOffer, status: int, reason: str) -> None:
        session = offer.session
        if session.own_offer is offer:
            session.own_offer = None
            self._context.events.append(OfferRefused(session.id, status, reason))
