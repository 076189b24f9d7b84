"""One invitation and the session that grows from it (RFC 3261 §13 to §15)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from sipcore.sip.client_transaction import ClientTransaction
from sipcore.sip.dialog import Dialog
from sipcore.sip.message import Request
from sipcore.sip.server_transaction import ServerTransaction
from sipcore.sip.timers import DEFAULT_TIMERS, TimerValues
from sipcore.sip.transaction import Address


class SessionState(Enum):
    """How far a session is."""

    CALLING = auto()
    """Our INVITE has no final response yet."""
    INVITED = auto()
    """The peer's INVITE has none."""
    ANSWERED = auto()
    """Our 2xx waits for its ACK."""
    CONFIRMED = auto()
    ENDING = auto()
    """A BYE of ours waits for its response, or for the ACK that must come before it (§15)."""
    ENDED = auto()


@dataclass(slots=True)
class UnacknowledgedAnswer:
    """A 2xx to an INVITE, sent again until its ACK comes: after T1, doubling up to T2, for 64*T1 (§13.3.1.4).

    Args:
        data: the response.
        destination: where it goes.
        sequence: the number that the ACK will have.
        sent: seconds; when it went out first.
        values: T1, T2.
    """

    data: bytes
    destination: Address
    sequence: int
    sent: float
    values: TimerValues = DEFAULT_TIMERS
    _interval: float = field(init=False)
    _due: float = field(init=False)

    def __post_init__(self) -> None:
        self._interval = self.values.t1
        self._due = self.sent + self._interval

    @property
    def _expiry(self) -> float:
        return self.sent + self.values.timeout

    def next_timeout(self) -> float:
        """Return when handle_timeout() is due."""
        return min(self._due, self._expiry)

    def is_expired(self, now: float) -> bool:
        """Whether the ACK will not come any more."""
        return now >= self._expiry

    def repeat(self, now: float) -> None:
        """Note that it is sent again, and plan the next time."""
        self._interval = min(2 * self._interval, self.values.t2)
        due = self._due + self._interval
        self._due = due if due > now else now + self._interval


@dataclass(slots=True, eq=False)
class OwnOffer:
    """A re-INVITE of ours (§14.1).

    Args:
        session: whose.
        body: the SDP.
        due: seconds; when to send it, or once it is sent, when to give it up.
        transaction: None while it is not sent.
        ack: of its 2xx, to send again when that comes again.
        glares: how often it met one of the peer's.
        is_cancelled: given up; the final response is due.
    """

    session: Session = field(repr=False)
    body: bytes
    due: float
    transaction: ClientTransaction | None = None
    ack: tuple[bytes, Address] | None = None
    glares: int = 0
    is_cancelled: bool = False


@dataclass(slots=True, eq=False)
class Referral:
    """A REFER of ours and the subscription that it makes (RFC 3515 §2.4.4).

    Args:
        session: whose.
        number: the REFER's, which its NOTIFYs name when there are several (§2.4.6).
        deadline: when to stop waiting for a NOTIFY; None until the REFER is accepted.
        is_over: its outcome was told; the peer has not ended the subscription yet.
    """

    session: Session = field(repr=False)
    number: int = 0
    deadline: float | None = None
    is_over: bool = False


@dataclass(slots=True, eq=False)
class Session:
    """What the agent knows of one invitation.

    Args:
        id: for the agent's user.
        state: see there.
        invite: the INVITE that began it.
        tag: ours.
        peer: where the peer's latest request came from, or where our INVITE went.
        dialog: None while an outgoing call is not answered.
        incoming: the INVITE's transaction, if it came in.
        outgoing: the INVITE's transaction, if it is ours.
        unacknowledged: our 2xx without its ACK.
        reports_ack: whether that ACK is news: it confirms the session, or brings the answer to an offer of ours.
        offer: the peer's re-INVITE or UPDATE that waits for accept_offer() or refuse_offer().
        own_offer: our re-INVITE without a final response.
        referral: our latest REFER, while the peer may tell of it.
        acks: our ACKs by the peer's tag, to send again when a 2xx comes again (§13.2.2.4).
        bye_reason: the Reason of a BYE that must wait; None when none waits.
        cancel_reason: the Reason of a CANCEL; None when the call is not cancelled.
        cancel_deadline: when to stop waiting for a cancelled INVITE's final response (§9.1).
    """

    id: str
    state: SessionState
    invite: Request
    tag: str
    peer: Address
    dialog: Dialog | None = None
    incoming: ServerTransaction | None = None
    outgoing: ClientTransaction | None = None
    unacknowledged: UnacknowledgedAnswer | None = None
    reports_ack: bool = True
    offer: ServerTransaction | None = None
    own_offer: OwnOffer | None = None
    referral: Referral | None = None
    acks: dict[str, tuple[bytes, Address]] = field(default_factory=dict[str, tuple[bytes, Address]])
    bye_reason: str | None = None
    cancel_reason: str | None = None
    cancel_deadline: float | None = None
    scheduled: float | None = None

    def next_timeout(self) -> float | None:
        """Return when the session wants to be woken; None for never."""
        if self.state is SessionState.ENDED:
            return None
        moments = [self.cancel_deadline]
        if self.unacknowledged is not None:
            moments.append(self.unacknowledged.next_timeout())
        if self.own_offer is not None and (self.own_offer.transaction is not None or not self.is_answering):
            moments.append(self.own_offer.due)
        if self.referral is not None:
            moments.append(self.referral.deadline)
        return min((moment for moment in moments if moment is not None), default=None)

    @property
    def is_answering(self) -> bool:
        """Whether an INVITE or UPDATE of the peer's is in progress: an offer of ours must wait (§14.1)."""
        return self.offer is not None or self.unacknowledged is not None

    @property
    def is_offering(self) -> bool:
        """Whether a re-INVITE of ours is in progress: an offer of the peer's must wait (§14.2)."""
        return self.own_offer is not None and self.own_offer.transaction is not None
