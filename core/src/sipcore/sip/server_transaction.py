"""The server's side of a transaction (RFC 3261 §17.2, RFC 6026 §7.1, RFC 4320)."""

from __future__ import annotations

from sipcore.errors import LocalProtocolError
from sipcore.sip.message import Request, Response
from sipcore.sip.timers import DEFAULT_TIMERS, Timer, TimerValues
from sipcore.sip.transaction import Action, Input, State, Table, Transaction

INVITE_SERVER: Table = {
    (State.PROCEEDING, Input.REQUEST): (State.PROCEEDING, (Action.RESEND,)),
    (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (Action.SEND,)),
    (State.PROCEEDING, Input.SUCCESS): (State.ACCEPTED, (Action.SEND,)),
    (State.PROCEEDING, Input.FAILURE): (State.COMPLETED, (Action.SEND,)),
    (State.ACCEPTED, Input.ACK): (State.ACCEPTED, (Action.PASS,)),
    (State.ACCEPTED, Input.SUCCESS): (State.ACCEPTED, (Action.SEND,)),
    (State.ACCEPTED, Timer.L): (State.TERMINATED, ()),
    (State.COMPLETED, Input.REQUEST): (State.COMPLETED, (Action.RESEND,)),
    (State.COMPLETED, Timer.G): (State.COMPLETED, (Action.RESEND,)),
    (State.COMPLETED, Input.ACK): (State.CONFIRMED, ()),
    (State.COMPLETED, Timer.H): (State.TERMINATED, (Action.TIMED_OUT,)),
    (State.CONFIRMED, Timer.I): (State.TERMINATED, ()),
}
"""§17.2.1, figure 7, with RFC 6026's Accepted."""

NON_INVITE_SERVER: Table = {
    (State.TRYING, Input.PROVISIONAL): (State.PROCEEDING, (Action.SEND,)),
    (State.TRYING, Input.SUCCESS): (State.COMPLETED, (Action.SEND,)),
    (State.TRYING, Input.FAILURE): (State.COMPLETED, (Action.SEND,)),
    (State.PROCEEDING, Input.REQUEST): (State.PROCEEDING, (Action.RESEND,)),
    (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (Action.SEND,)),
    (State.PROCEEDING, Input.SUCCESS): (State.COMPLETED, (Action.SEND,)),
    (State.PROCEEDING, Input.FAILURE): (State.COMPLETED, (Action.SEND,)),
    (State.COMPLETED, Input.REQUEST): (State.COMPLETED, (Action.RESEND,)),
    (State.COMPLETED, Timer.J): (State.TERMINATED, ()),
}
"""§17.2.2, figure 8."""


class ServerTransaction(Transaction):
    """A peer's request, until it is answered and cannot come again.

    Once it is answered it only repeats and absorbs: then ``request`` keeps its method alone and ``owner`` is None, so
    that thousands may wait for their timers. ``tag`` is the To tag of the response.

    Args:
        request: as it came first, its Via stamped; not ACK.
        values: T1, T2, T4.
        reliable: over TCP or TLS.
    """

    __slots__ = ("request", "tag")

    def __init__(self, request: Request, values: TimerValues = DEFAULT_TIMERS, *, reliable: bool = False) -> None:
        is_invite = request.method == "INVITE"
        table, state = (INVITE_SERVER, State.PROCEEDING) if is_invite else (NON_INVITE_SERVER, State.TRYING)
        super().__init__(table, state, values, reliable=reliable)
        self.request = request
        self.tag = ""

    @property
    def is_answered(self) -> bool:
        """Whether a final response was sent."""
        return self.state not in (State.TRYING, State.PROCEEDING)

    def receive(self, request: Request, now: float) -> bool:
        """Take the request again, or its ACK; returns whether the transaction's user must see it (an ACK of a 2xx)."""
        return Action.PASS in self._run(Input.ACK if request.method == "ACK" else Input.REQUEST, now)

    def send(self, response: Response, now: float) -> None:
        """Send a response of the user's; LocalProtocolError when the state does not allow it.

        A non-INVITE request gets no 1xx but 100, and no 408 (RFC 4320 §4.1, §4.2).
        """
        is_invite = self.request.method == "INVITE"
        if not is_invite and (response.status == 408 or 100 < response.status < 200):
            raise LocalProtocolError(f"{response.status} must not answer {self.request.method} (RFC 4320)")
        if response.is_provisional:
            event = Input.PROVISIONAL
        else:
            event = Input.SUCCESS if response.is_success else Input.FAILURE
        if not self._run(event, now, bytes(response)):
            raise LocalProtocolError(f"{response.status} after a final response to {self.request.method}")
        if self.is_answered:
            self.tag = response.to.tag or ""
            self.request = Request(method=self.request.method)
            self.owner = None

    def _enter(self, state: State, now: float) -> None:
        values = self._values
        self._disarm()
        if state is State.ACCEPTED:
            self._arm(Timer.L, values.timeout, now)
        elif state is State.COMPLETED and self.request.method == "INVITE":
            self._arm_repeating(Timer.G, values.t1, now)
            self._arm(Timer.H, values.timeout, now)
        elif state is State.COMPLETED:
            self._arm(Timer.J, 0 if self._reliable else values.timeout, now)
        elif state is State.CONFIRMED:
            self._arm(Timer.I, 0 if self._reliable else values.t4, now)
