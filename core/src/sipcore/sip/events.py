"""What a user agent reports. ``session`` is the invitation's id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from sipcore.sip.message import Request, Response
from sipcore.sip.transaction import Address


@dataclass(frozen=True, slots=True)
class InvitationReceived:
    """Someone calls. 100 Trying was sent; ring(), answer() or reject() must follow.

    Args:
        session: the new id.
        request: the INVITE; without a body the offer is ours to make in answer() (RFC 3261 §13.2.1).
        source: where it came from.
    """

    session: str
    request: Request
    source: Address


@dataclass(frozen=True, slots=True)
class InvitationCancelled:
    """The caller gave up before the answer; 487 was sent. ``reason``: the Reason header's value, or empty."""

    session: str
    reason: str


@dataclass(frozen=True, slots=True)
class SessionConfirmed:
    """The ACK of our 2xx. Its body is the SDP answer when our 2xx carried the offer.

    It comes again only for a re-INVITE without an offer, which accept_offer() answered with ours.
    """

    session: str
    ack: Request


@dataclass(frozen=True, slots=True)
class SessionRang:
    """A provisional response to our INVITE, 101 to 199."""

    session: str
    response: Response


@dataclass(frozen=True, slots=True)
class SessionAnswered:
    """The 2xx to our INVITE; the ACK was sent."""

    session: str
    response: Response


@dataclass(frozen=True, slots=True)
class SessionRejected:
    """Our INVITE failed, and the session is over.

    Args:
        session: its id.
        status: of the response; 408 when none came, 487 after cancel(), 503 when the transport failed.
        reason: its phrase.
        response: None when there was none.
    """

    session: str
    status: int
    reason: str
    response: Response | None


@dataclass(frozen=True, slots=True)
class OfferReceived:
    """A re-INVITE, or an UPDATE with a body: accept_offer() or refuse_offer() must follow (§14.2, RFC 3311).

    A re-INVITE without a body asks for an offer of ours.
    """

    session: str
    request: Request


@dataclass(frozen=True, slots=True)
class OfferAccepted:
    """The 2xx to an offer of ours, with the answer; the ACK was sent."""

    session: str
    response: Response


@dataclass(frozen=True, slots=True)
class OfferRefused:
    """An offer of ours failed; the session goes on as it was (§14.1).

    Args:
        session: its id.
        status: of the response; 408 when we gave it up, 491 when the peer's offers crossed ours again and again,
            503 when the transport failed.
        reason: its phrase.
    """

    session: str
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class TransferProgressed:
    """How far the peer is with the call that refer() asked for: its latest provisional status (RFC 3515 §2.4.5)."""

    session: str
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class TransferEnded:
    """What came of refer(); the session goes on.

    Args:
        session: its id.
        status: the final status of the peer's call, or of the refused REFER; 408 when the peer stopped telling before
            there was one, 503 when the transport failed.
        reason: its phrase.
    """

    session: str
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """An answered session is over; its id is no longer valid.

    Args:
        session: its id.
        cause: ``hangup`` (the peer's BYE, answered already), ``bye`` (ours, answered), ``timeout`` (nobody answered
            ours), ``no ack`` (our 2xx was never acknowledged; a BYE was sent), ``gone`` (the peer knows the session no
            more: 481), ``error`` (the transport failed).
        request: the peer's BYE.
    """

    session: str
    cause: str
    request: Request | None = None


@dataclass(frozen=True, slots=True)
class MessageRefused:
    """A message that was malformed or not acceptable; at most a few a second are reported.

    Args:
        source: where it came from.
        status: what its sender got, or should have got: a broken response or ACK is answered by nobody.
        reason: what was wrong.
    """

    source: Address
    status: int
    reason: str


Event: TypeAlias = (
    InvitationReceived
    | InvitationCancelled
    | SessionConfirmed
    | SessionRang
    | SessionAnswered
    | SessionRejected
    | OfferReceived
    | OfferAccepted
    | OfferRefused
    | TransferProgressed
    | TransferEnded
    | SessionEnded
    | MessageRefused
)
