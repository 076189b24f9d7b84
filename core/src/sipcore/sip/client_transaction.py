"""The client's side of a transaction (RFC 3261 §17.1, RFC 6026 §7.2)."""

from __future__ import annotations

from sipcore.sip.headers import Headers
from sipcore.sip.message import Request, Response
from sipcore.sip.timers import DEFAULT_TIMERS, Timer, TimerValues
from sipcore.sip.transaction import Action, Input, State, Table, Transaction

INVITE_CLIENT: Table = {
    (State.CALLING, Timer.A): (State.CALLING, (Action.RESEND,)),
    (State.CALLING, Timer.B): (State.TERMINATED, (Action.TIMED_OUT,)),
    (State.CALLING, Input.ERROR): (State.TERMINATED, (Action.FAILED,)),
    (State.CALLING, Input.PROVISIONAL): (State.PROCEEDING, (Action.PASS,)),
    (State.CALLING, Input.SUCCESS): (State.ACCEPTED, (Action.PASS,)),
    (State.CALLING, Input.FAILURE): (State.COMPLETED, (Action.ACK, Action.PASS)),
    (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (Action.PASS,)),
    (State.PROCEEDING, Input.SUCCESS): (State.ACCEPTED, (Action.PASS,)),
    (State.PROCEEDING, Input.FAILURE): (State.COMPLETED, (Action.ACK, Action.PASS)),
    (State.ACCEPTED, Input.SUCCESS): (State.ACCEPTED, (Action.PASS,)),
    (State.ACCEPTED, Timer.M): (State.TERMINATED, ()),
    (State.COMPLETED, Input.FAILURE): (State.COMPLETED, (Action.ACK,)),
    (State.COMPLETED, Timer.D): (State.TERMINATED, ()),
}
"""§17.1.1.2, figure 5, with RFC 6026's Accepted."""

NON_INVITE_CLIENT: Table = {
    (State.TRYING, Timer.E): (State.TRYING, (Action.RESEND,)),
    (State.TRYING, Timer.F): (State.TERMINATED, (Action.TIMED_OUT,)),
    (State.TRYING, Input.ERROR): (State.TERMINATED, (Action.FAILED,)),
    (State.TRYING, Input.PROVISIONAL): (State.PROCEEDING, (Action.PASS,)),
    (State.TRYING, Input.SUCCESS): (State.COMPLETED, (Action.PASS,)),
    (State.TRYING, Input.FAILURE): (State.COMPLETED, (Action.PASS,)),
    (State.PROCEEDING, Timer.E): (State.PROCEEDING, (Action.RESEND,)),
    (State.PROCEEDING, Timer.F): (State.TERMINATED, (Action.TIMED_OUT,)),
    (State.PROCEEDING, Input.ERROR): (State.TERMINATED, (Action.FAILED,)),
    (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (Action.PASS,)),
    (State.PROCEEDING, Input.SUCCESS): (State.COMPLETED, (Action.PASS,)),
    (State.PROCEEDING, Input.FAILURE): (State.COMPLETED, (Action.PASS,)),
    (State.COMPLETED, Timer.K): (State.TERMINATED, ()),
}
"""§17.1.2.2, figure 6."""


class ClientTransaction(Transaction):
    """A request of ours, until it is answered and no answer can be on its way any more.

    It is sent when the transaction is made: take it from the outbox.

    Args:
        request: complete, with its Via; not ACK.
        now: seconds.
        values: T1, T2, T4.
        reliable: over TCP or TLS.
    """

    __slots__ = ("request",)

    def __init__(
        self, request: Request, now: float, values: TimerValues = DEFAULT_TIMERS, *, reliable: bool = False
    ) -> None:
        is_invite = request.method == "INVITE"
        table, state = (INVITE_CLIENT, State.CALLING) if is_invite else (NON_INVITE_CLIENT, State.TRYING)
        super().__init__(table, state, values, reliable=reliable)
        self.request = request
        self._sent = bytes(request)
        self.outbox.append(self._sent)
        self._enter(state, now)

    def receive(self, response: Response, now: float) -> bool:
        """Take a response; returns whether the transaction's user must see it."""
        if response.is_provisional:
            event = Input.PROVISIONAL
        else:
            event = Input.SUCCESS if response.is_success else Input.FAILURE
        actions = self._run(event, now)
        if Action.ACK in actions:
            self.outbox.append(bytes(self._ack(response)))
        return Action.PASS in actions

    def fail(self, now: float) -> tuple[Action, ...]:
        """The transport could not deliver (§17.1.4); returns what the user must hear of."""
        return self._run(Input.ERROR, now)

    def _enter(self, state: State, now: float) -> None:
        values = self._values
        if state is State.PROCEEDING and self.request.method != "INVITE":
            if not self._reliable:
                self._intervals[Timer.E] = values.t2  # E runs on, and is T2 from its next firing (§17.1.2.2)
            return
        self._disarm()
        if state is State.CALLING:
            self._arm_repeating(Timer.A, values.t1, now)
            self._arm(Timer.B, values.timeout, now)
        elif state is State.TRYING:
            self._arm_repeating(Timer.E, values.t1, now)
            self._arm(Timer.F, values.timeout, now)
        elif state is State.ACCEPTED:
            self._arm(Timer.M, values.timeout, now)
        elif state is State.COMPLETED and self.request.method == "INVITE":
            self._arm(Timer.D, 0 if self._reliable else max(32.0, values.timeout), now)
        elif state is State.COMPLETED:
            self._arm(Timer.K, 0 if self._reliable else values.t4, now)

    def _ack(self, response: Response) -> Request:
        """Make the ACK of a 3xx to 6xx: the INVITE's own Via, the response's To (§17.1.1.3)."""
        return make_ack(self.request, response.headers.get("To") or "")


def make_ack(invite: Request, to: str) -> Request:
    """Make an ACK inside the INVITE's transaction (§17.1.1.3)."""
    return _follow_up(invite, "ACK", to)


def make_cancel(invite: Request) -> Request:
    """Make the CANCEL of an INVITE: same Request-URI, Via, Call-ID, From, To and sequence number (§9.1)."""
    return _follow_up(invite, "CANCEL", invite.headers.get("To") or "")


def _follow_up(invite: Request, method: str, to: str) -> Request:
    headers = Headers([("Via", str(invite.via)), ("Max-Forwards", "70")])
    for route in invite.headers.get_all("Route"):
        headers.append("Route", route)
    headers.append("From", invite.headers.get("From") or "")
    headers.append("To", to)
    headers.append("Call-ID", invite.call_id)
    headers.append("CSeq", f"{invite.cseq.number} {method}")
    return Request(headers, b"", method, invite.uri)
