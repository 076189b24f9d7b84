"""Blind transfer, the transferor's side: our REFER and what the peer tells of it (RFC 3515)."""

from __future__ import annotations

import re

from sipcore.errors import LocalProtocolError
from sipcore.sip.checks import RefusedRequestError
from sipcore.sip.context import Context
from sipcore.sip.events import TransferEnded, TransferProgressed
from sipcore.sip.message import Request, Response, reason_of
from sipcore.sip.server_transaction import ServerTransaction
from sipcore.sip.session import Referral, Session, SessionState
from sipcore.sip.uri import Uri
from sipcore.sip.values import NameAddress

NOTIFY_SECONDS = 180.0
"""How long the peer may be silent about the call that it was asked for: as long as a proxy lets it ring (§16.6)."""

_STATUS_LINE = re.compile(rb"SIP/2\.0 ([1-6][0-9]{2}) ?([^\r\n]*)")


class Referrer:
    """Sends REFER and takes its responses and NOTIFYs.

    Args:
        context: the agent's state.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def refer(self, session: str, target: Uri, now: float) -> None:
        """Ask the peer to call ``target`` (RFC 3515 §2.4.1)."""
        referring = self._context.session(session)
        if referring.state is not SessionState.CONFIRMED:
            raise LocalProtocolError(f"session {session!r} is not up: nobody can be transferred in it")
        if referring.referral is not None and not referring.referral.is_over:
            raise LocalProtocolError(f"session {session!r} has a transfer that is not over yet")
        referral = referring.referral = Referral(referring)
        fields = [("Contact", self._context.contact), ("Refer-To", str(NameAddress(target)))]
        transaction = self._context.request(referring, "REFER", now, fields, owner=referral)
        referral.number = transaction.request.cseq.number

    def receive_response(self, response: Response, referral: Referral, now: float) -> None:
        """Take a response to a REFER (§2.4.2)."""
        if response.is_success:
            self._wait(referral, now)
        elif not response.is_provisional:
            self.fail(referral, response.status, response.reason, now)

    def fail(self, referral: Referral, status: int, reason: str, now: float) -> None:
        """Tell of a refusal; 408 and 481 end the session (RFC 3261 §12.2.1.2)."""
        session = referral.session
        if session.referral is not referral:
            return
        if status in (408, 481):
            self._context.lose(session, now, status)
            return
        session.referral = None
        self._end(referral, status, reason)

    def receive_notify(self, transaction: ServerTransaction, session: Session, now: float) -> None:
        """Take a NOTIFY of the subscription that a REFER of ours made (§2.4.4, RFC 6665 §4.1.3)."""
        notify, referral = transaction.request, session.referral
        if referral is None or not _belongs(notify, referral):
            raise RefusedRequestError("NOTIFY of no REFER of ours", 481)
        self._context.respond(transaction, 200, now)
        status, reason = _outcome(notify)
        if status >= 200:
            self._end(referral, status, reason)
        elif status and not referral.is_over:
            self._context.events.append(TransferProgressed(session.id, status, reason))
        if _is_last(notify):
            self._forget(referral)
        else:
            self._wait(referral, now)

    def handle_timeout(self, session: Session, now: float) -> None:
        """Wait no longer for a NOTIFY."""
        referral = session.referral
        if referral is not None and referral.deadline is not None and now >= referral.deadline:
            self._forget(referral)

    def _wait(self, referral: Referral, now: float) -> None:
        referral.deadline = now + NOTIFY_SECONDS
        self._context.timers.update(referral.session)

    def _forget(self, referral: Referral) -> None:
        referral.session.referral = None
        self._end(referral, 408, reason_of(408))

    def _end(self, referral: Referral, status: int, reason: str) -> None:
        """Tell the outcome; only the first counts."""
        if not referral.is_over:
            referral.is_over = True
            self._context.events.append(TransferEnded(referral.session.id, status, reason))


def _belongs(notify: Request, referral: Referral) -> bool:
    """Whether its Event names the REFER: ``refer``, and as its ``id`` the CSeq number or nothing (§2.4.6)."""
    package, *parameters = [item.strip().lower() for item in (notify.headers.get("Event") or "").split(";")]
    ids = [item[3:] for item in parameters if item.startswith("id=")]
    return package == "refer" and ids in ([], [str(referral.number)])


def _outcome(notify: Request) -> tuple[int, str]:
    """Return status and phrase of a ``message/sipfrag`` body (RFC 3420); 0 when there is none."""
    match = _STATUS_LINE.match(notify.body) if notify.content_type == "message/sipfrag" else None
    if match is None:
        return 0, ""
    return int(match[1]), match[2].decode("utf-8", "replace")


def _is_last(notify: Request) -> bool:
    """Whether the peer ends the subscription with it (RFC 6665 §4.1.2)."""
    state = notify.headers.get("Subscription-State") or ""
    return state.partition(";")[0].strip().lower() == "terminated"
