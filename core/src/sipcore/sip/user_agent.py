"""A SIP user agent, sans-I/O: datagrams and time go in, datagrams, events and the next deadline come out (RFC 3261)."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random, SystemRandom

from sipcore.errors import RemoteProtocolError
from sipcore.sip.callee import Callee
from sipcore.sip.caller import Caller
from sipcore.sip.checks import CAPABILITIES, RefusedRequestError, check_request
from sipcore.sip.client_transaction import ClientTransaction
from sipcore.sip.context import Context, UserAgentSettings
from sipcore.sip.events import Event, MessageRefused
from sipcore.sip.headers import Headers, split_list
from sipcore.sip.in_dialog import InDialog
from sipcore.sip.message import Request, Response, reason_of
from sipcore.sip.offerer import Offerer
from sipcore.sip.parser import MalformedMessageError, check_message, first_via, parse_message
from sipcore.sip.referrer import Referrer
from sipcore.sip.server_transaction import ServerTransaction
from sipcore.sip.session import OwnOffer, Referral, Session
from sipcore.sip.transaction import Action, Address
from sipcore.sip.transaction_layer import Datagram, response_address
from sipcore.sip.uri import Uri
from sipcore.sip.values import Via

__all__ = ["Datagram", "UserAgent", "UserAgentSettings"]

REFUSALS_A_SECOND = 10
"""How many MessageRefused are reported: a flood must not become a flood of log lines."""


class UserAgent:
    """Calls and is called over UDP.

    After every method that takes ``now``: send ``datagrams_to_send()``, take events until ``next_event()`` is None, and
    call ``handle_timeout()`` at ``next_timeout()``. ``now`` is in seconds and never goes back.

    Args:
        settings: who we are.
        random: for tags and ids; seeded in tests.
    """

    def __init__(self, settings: UserAgentSettings, random: Random | None = None) -> None:
        self._context = Context(settings, random or SystemRandom())
        self._callee = Callee(self._context)
        self._caller = Caller(self._context)
        self._offerer = Offerer(self._context)
        self._referrer = Referrer(self._context)
        self._in_dialog = InDialog(self._context, self._callee, self._referrer)
        self._refusals = 0
        self._refusals_since = 0.0

    # --- bytes, events, time ----------------------------------------------------------------------------------------

    def receive_datagram(self, data: bytes, source: Address, now: float) -> None:
        """Take a datagram, whatever is in it: nothing is raised. Line ends alone keep a NAT open, and are dropped."""
        if not data.strip(b"\r\n\0"):
            return
        try:
            message = parse_message(data)
        except MalformedMessageError as error:
            self._refuse_malformed(error, error.headers, source, now)
            return
        try:
            check_message(message)
        except RemoteProtocolError as error:
            is_answerable = isinstance(message, Request) and message.method != "ACK"
            self._refuse_malformed(error, message.headers if is_answerable else None, source, now)
            return
        try:
            if isinstance(message, Request):
                self._receive_request(message, source, now)
            else:
                self._receive_response(message, now)
        except RemoteProtocolError as error:
            self._report(source, error.status, str(error), now)

    def datagrams_to_send(self) -> list[Datagram]:
        """Return what must be sent now, in order, and forget it."""
        return self._context.transactions.datagrams_to_send()

    def next_event(self) -> Event | None:
        """Return the oldest event that was not taken yet; None when there is none."""
        events = self._context.events
        return events.popleft() if events else None

    def next_timeout(self) -> float | None:
        """Return when handle_timeout() is due, in seconds; None when nothing waits."""
        transactions = self._context.transactions.next_timeout()
        sessions = self._context.timers.next_timeout()
        if transactions is None or sessions is None:
            return sessions if transactions is None else transactions
        return min(transactions, sessions)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self._end(self._context.transactions.handle_timeout(now), now)
        timers = self._context.timers
        while (session := timers.pop_due(now)) is not None:
            self._in_dialog.handle_timeout(session, now)
            self._caller.handle_timeout(session, now)
            self._offerer.handle_timeout(session, now)
            self._referrer.handle_timeout(session, now)
            timers.update(session)

    def transport_failed(self, destination: Address, now: float) -> None:
        """Say that nothing can be sent there (§18.4): requests on their way there have failed."""
        self._end(self._context.transactions.fail(destination, now), now)

    @property
    def active_sessions(self) -> int:
        """How many sessions there are, ringing ones included."""
        return len(self._context.sessions)

    @property
    def active_transactions(self) -> int:
        """How many transactions there are."""
        return len(self._context.transactions)

    # --- commands: LocalProtocolError when the session is unknown or not in a state for it --------------------------

    def invite(
        self,
        target: Uri,
        *,
        now: float,
        caller: Uri | None = None,
        body: bytes,
        destination: Address,
        headers: Iterable[tuple[str, str]] = (),
        call_id: str | None = None,
    ) -> str:
        """Call someone (§13.2.1); returns the session's id, which is the Call-ID.

        Args:
            target: Request-URI and To.
            now: seconds.
            caller: From; None for our own name.
            body: the SDP offer.
            destination: where the INVITE is sent.
            headers: more header fields.
            call_id: the Call-ID, never used before; None: a new one.
        """
        return self._caller.invite(target, now, caller, body, destination, headers, call_id)

    def cancel(self, session: str, now: float, reason: str = "") -> None:
        """Give up a call of ours that is not answered (§9.1); SessionRejected tells when it is over.

        Args:
            session: its id.
            now: seconds.
            reason: a Reason header's value (RFC 3326), or empty.
        """
        self._caller.cancel(session, now, reason)

    def ring(self, session: str, now: float, status: int = 180, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Send a provisional response to an invitation, 101 to 199."""
        self._callee.ring(session, now, status, headers)

    def answer(self, session: str, body: bytes, now: float, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Answer an invitation with 200 and an SDP answer (or offer, if it brought none); SessionConfirmed follows."""
        self._callee.answer(session, body, now, headers)

    def reject(
        self,
        session: str,
        status: int,
        now: float,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Refuse an invitation with 300 to 699; the session is over."""
        self._callee.reject(session, status, now, reason, headers)

    def accept_offer(self, session: str, body: bytes, now: float, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Answer a re-INVITE or UPDATE with 200 and an SDP answer (or offer, if it brought none)."""
        self._in_dialog.accept_offer(session, body, now, headers)

    def refuse_offer(self, session: str, status: int, now: float, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Refuse a re-INVITE or UPDATE; the session goes on as it was."""
        self._in_dialog.refuse_offer(session, status, now, headers)

    def offer(self, session: str, body: bytes, now: float) -> None:
        """Send a re-INVITE with a new SDP offer (§14.1); OfferAccepted or OfferRefused follows, or SessionEnded.

        It waits while an INVITE or UPDATE of the peer's is in progress, and for the pause that §14.1 asks for when both
        sides' offers met; while it waits, another call replaces its body.
        """
        self._offerer.offer(session, body, now)

    def refer(self, session: str, target: Uri, now: float) -> None:
        """Ask the peer to call ``target`` (RFC 3515); TransferProgressed and TransferEnded follow, or SessionEnded."""
        self._referrer.refer(session, target, now)

    def bye(self, session: str, now: float, reason: str = "") -> None:
        """Hang up an answered session (§15); SessionEnded tells when it is over. Doing it twice does nothing.

        Args:
            session: its id.
            now: seconds.
            reason: a Reason header's value (RFC 3326), or empty.
        """
        self._in_dialog.bye(session, now, reason)

    # --- requests ---------------------------------------------------------------------------------------------------

    def _receive_request(self, request: Request, source: Address, now: float) -> None:
        if request.method == "ACK":
            self._receive_ack(request, now)
            return
        try:
            transaction = self._context.transactions.receive_request(request, source, now)
        except RemoteProtocolError as error:
            self._answer_statelessly(request, error.status, source)
            raise
        if transaction is None:
            return
        _stamp(request, source)
        try:
            self._dispatch(transaction, source, now)
        except RemoteProtocolError as error:
            headers = error.headers if isinstance(error, RefusedRequestError) else ()
            self._context.respond(transaction, error.status, now, tag=self._context.token(), headers=headers)
            raise

    def _dispatch(self, transaction: ServerTransaction, source: Address, now: float) -> None:
        """Bring a new request to who serves it (§8.2, §12.2.2)."""
        request = transaction.request
        check_request(request)
        if request.method == "CANCEL":
            self._callee.receive_cancel(transaction, now)
            return
        if request.to.tag is not None:
            session = self._find_session(request)
            if session is None:
                raise RemoteProtocolError(f"{request.method} in no dialog of ours", 481)
            self._in_dialog.receive(transaction, session, source, now)
            return
        if self._context.transactions.is_merged(transaction):
            raise RemoteProtocolError(f"{request.method} came by two ways", 482)
        if request.method == "INVITE":
            self._callee.receive_invite(transaction, source, now)
        elif request.method == "OPTIONS":
            self._context.respond(transaction, 200, now, tag=self._context.token(), headers=CAPABILITIES)
        else:
            raise RemoteProtocolError(f"{request.method} outside a dialog", 481)

    def _receive_ack(self, ack: Request, now: float) -> None:
        """Take an ACK; a stray one is swallowed, for nothing may answer it (§17)."""
        if self._context.transactions.receive_ack(ack, now):
            return
        session = self._find_session(ack)
        if session is not None:
            self._callee.receive_ack(ack, session, now)
            self._context.timers.update(session)

    def _find_session(self, request: Request) -> Session | None:
        return self._context.dialogs.get((request.call_id, request.to.tag or "", request.from_.tag or ""))

    # --- responses --------------------------------------------------------------------------------------------------

    def _receive_response(self, response: Response, now: float) -> None:
        """Take a response; one that is not ours, or has more Vias than ours, is dropped (§8.1.3.3, §17.1.3)."""
        if len(response.headers.get_list("Via")) > 1:
            raise RemoteProtocolError(f"a {response.status} with more than one Via")
        transaction = self._context.transactions.receive_response(response, now)
        if transaction is None:
            return
        owner = transaction.owner
        if isinstance(owner, OwnOffer):
            self._offerer.receive_response(response, owner, now)
        elif isinstance(owner, Referral):
            self._referrer.receive_response(response, owner, now)
        elif isinstance(owner, Session) and transaction.request.method == "INVITE":
            self._caller.receive_response(response, owner, now)
        elif not response.is_provisional:
            self._end_by_bye(transaction, "bye")

    def _end(self, transactions: list[tuple[ClientTransaction, Action]], now: float) -> None:
        """Tell the users of requests that failed without a response (§8.1.3.1)."""
        for transaction, action in transactions:
            owner = transaction.owner
            timed_out = action is Action.TIMED_OUT
            status = 408 if timed_out else 503
            if isinstance(owner, OwnOffer):
                self._offerer.fail(owner, status, reason_of(status), now)
            elif isinstance(owner, Referral):
                self._referrer.fail(owner, status, reason_of(status), now)
            elif isinstance(owner, Session) and transaction.request.method == "INVITE":
                self._caller.fail(owner, status, reason_of(status), None)
            else:
                self._end_by_bye(transaction, "timeout" if timed_out else "error")

    def _end_by_bye(self, transaction: ClientTransaction, cause: str) -> None:
        session = transaction.owner
        if isinstance(session, Session) and session.id in self._context.sessions:
            self._context.end(session, cause)

    # --- what was wrong ---------------------------------------------------------------------------------------------

    def _refuse_malformed(
        self, error: RemoteProtocolError, headers: Headers | None, source: Address, now: float
    ) -> None:
        """Answer what could not be read, as far as its header fields let us (§8.2.6, §18.3)."""
        if headers is not None and "Via" in headers:
            via = first_via(headers)
            destination = source if via is None else response_address(via, source)
            if via is not None:
                headers.set("Via", _stamped(headers.get("Via") or "", via, source))
            warning = ("Warning", f'399 sipcore "{_quotable(str(error))}"')
            tag = self._context.stateless_tag(headers)
            response = Response.to_request(headers, error.status, tag=tag, extra=[warning])
            self._context.transactions.send(bytes(response), destination)
        self._report(source, error.status, str(error), now)

    def _answer_statelessly(self, request: Request, status: int, source: Address) -> None:
        destination = response_address(request.via, source)
        _stamp(request, source)
        tag = self._context.stateless_tag(request.headers)
        wait = ("Retry-After", str(self._context.settings.retry_after))
        response = Response.to_request(request.headers, status, tag=tag, extra=[wait])
        self._context.transactions.send(bytes(response), destination)

    def _report(self, source: Address, status: int, reason: str, now: float) -> None:
        if now - self._refusals_since >= 1:
            self._refusals, self._refusals_since = 0, now
        self._refusals += 1
        if self._refusals <= REFUSALS_A_SECOND:
            self._context.events.append(MessageRefused(source, status, reason))


def _stamp(request: Request, source: Address) -> None:
    """Write into the topmost Via where the request came from (§18.2.1, RFC 3581 §4)."""
    request.headers.set("Via", _stamped(request.headers.get("Via") or "", request.via, source))


def _stamped(value: str, via: Via, source: Address) -> str:
    return ", ".join([str(via.stamped(*source)), *split_list(value)[1:]])


def _quotable(text: str) -> str:
    """Make text fit for a quoted string in ASCII."""
    return "".join(sign if " " <= sign <= "~" and sign not in '"\\' else "'" for sign in text)[:120]
