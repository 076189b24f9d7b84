"""The SIP side of one call, as the user agent's events tell it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from typing import TypeAlias

import anyio

from sipcore.errors import CallEndedError, CallFailedError, LocalProtocolError
from sipcore.net.udp import SipEndpoint
from sipcore.sip.events import (
    Event,
    InvitationCancelled,
    OfferAccepted,
    OfferReceived,
    OfferRefused,
    SessionAnswered,
    SessionConfirmed,
    SessionEnded,
    SessionRang,
    SessionRejected,
    TransferEnded,
)
from sipcore.sip.message import Request
from sipcore.sip.uri import Uri

Fields: TypeAlias = tuple[tuple[str, str], ...]
OnOffer: TypeAlias = Callable[[Request], None]


class Leg:
    """A session: whether it was answered, whether it is over and why, and what can be done with it.

    The user agent may know already that a session is over when its event still waits: whatever is then asked of it
    raises `CallEndedError`, or does nothing where its end is what was asked for.

    Args:
        session: the user agent's name for it.
        endpoint: where its messages go.
    """

    def __init__(self, session: str, endpoint: SipEndpoint) -> None:
        self.session = session
        self._endpoint = endpoint
        self.answered = anyio.Event()
        self.body = b""
        self.reason = ""
        self.on_offer: OnOffer | None = None
        self.on_late_answer: Callable[[bytes], None] | None = None
        self.on_offer_accepted: Callable[[bytes], None] = lambda _: None
        self.on_offer_refused: Callable[[int, str], None] = lambda _, __: None
        self.on_transfer_ended: Callable[[int, str], None] = lambda _, __: None
        self.on_ringing: Callable[[int, bytes], None] | None = None
        self.on_end: Callable[[], None] | None = None
        self._over = anyio.Event()
        self._failure: CallFailedError | None = None

    @property
    def over(self) -> bool:
        """Whether the session has ended."""
        return self._over.is_set()

    def on_event(self, event: Event) -> None:
        """Take the next event of this session."""
        match event:
            case SessionRang(response=response):
                if self.on_ringing is not None:
                    self.on_ringing(response.status, response.body)
            case SessionConfirmed(ack=message) | SessionAnswered(response=message):
                if self.answered.is_set() and self.on_late_answer is not None:
                    self.on_late_answer(message.body)
                self.body = message.body
                self.answered.set()
            case OfferReceived(request=request):
                if self.on_offer is not None:
                    self.on_offer(request)
            case InvitationCancelled(reason=reason):
                self.end(reason or "cancelled")
            case SessionRejected(status=status, reason=reason):
                self._failure = CallFailedError(status, reason)
                self.end(f"{status} {reason}")
            case SessionEnded(cause=cause):
                self.end(cause)
            case _:
                self._on_outcome(event)

    def _on_outcome(self, event: Event) -> None:
        """Take what came of a request that we made within the session."""
        match event:
            case OfferAccepted(response=response):
                self.on_offer_accepted(response.body)
            case OfferRefused(status=status, reason=reason):
                self.on_offer_refused(status, reason)
            case TransferEnded(status=status, reason=reason):
                self.on_transfer_ended(status, reason)
            case _:
                pass

    # --- what we do

    def ring(self) -> None:
        """Send 180."""
        with self._while_up():
            self._endpoint.ring(self.session)

    def answer(self, body: bytes) -> None:
        """Send 200."""
        with self._while_up():
            self._endpoint.answer(self.session, body)

    def accept_offer(self, body: bytes) -> None:
        """Answer a re-INVITE or UPDATE."""
        with self._while_up():
            self._endpoint.accept_offer(self.session, body)

    def refuse_offer(self, status: int) -> None:
        """Refuse a re-INVITE or UPDATE; the call stays as it was."""
        with self._while_up():
            self._endpoint.refuse_offer(self.session, status)

    def offer(self, body: bytes) -> None:
        """Send a re-INVITE; `on_offer_accepted` or `on_offer_refused` follows."""
        with self._while_up():
            self._endpoint.offer(self.session, body)

    def refer(self, target: Uri) -> None:
        """Ask the far end to call someone else; `on_transfer_ended` follows."""
        with self._while_up():
            self._endpoint.refer(self.session, target)

    def reject(self, status: int, reason: str | None = None, headers: Fields = ()) -> None:
        """Refuse an invitation."""
        if not self.over:
            with suppress(LocalProtocolError):
                self._endpoint.reject(self.session, status, reason, headers)
            self.end(f"{status} {reason or ''}".strip())

    def hang_up(self, header: str = "", reason: str = "bye") -> None:
        """Send BYE, with a Reason header's value (RFC 3326); ``reason`` is what the call's end is told with."""
        if not self.over:
            with suppress(LocalProtocolError):
                self._endpoint.bye(self.session, header)
            self.end(reason)

    def give_up(self) -> None:
        """Send CANCEL, or BYE if the call was answered."""
        if not self.answered.is_set() and not self.over:
            with suppress(LocalProtocolError):  # else its answer crossed
                self._endpoint.cancel(self.session)
                self.end("cancelled")
        self.hang_up()

    @contextmanager
    def _while_up(self) -> Generator[None]:
        self.check()
        try:
            yield
        except LocalProtocolError as error:
            raise CallEndedError(f"the far end ended the call meanwhile: {error}") from error

    # --- how it goes

    def end(self, reason: str) -> None:
        """The session is over; only the first reason counts."""
        if self.over:
            return
        self.reason = reason
        self._over.set()
        if self.on_end is not None:
            self.on_end()

    def check(self) -> None:
        """Raise if the session is over."""
        if self._failure is not None:
            raise self._failure
        if self.over:
            raise CallEndedError(f"the call is over: {self.reason}")

    async def wait_answered(self) -> bytes:
        """Wait for the answer (outgoing) or its ACK (incoming); its body.

        Raises:
            CallFailedError: the far end refused.
            CallEndedError: it ended otherwise.
        """
        await self.while_up(self.answered.wait)
        return self.body

    async def while_up(self, wait: Callable[[], Awaitable[object]]) -> None:
        """Wait for something, but no longer than the session lasts.

        Raises:
            CallFailedError: the far end refused meanwhile.
            CallEndedError: it ended meanwhile.
        """
        async with anyio.create_task_group() as tasks:

            async def stop_when_over() -> None:
                await self._over.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(stop_when_over)
            await wait()
            tasks.cancel_scope.cancel()
        self.check()

    async def wait_over(self) -> str:
        """Wait for the end; the reason."""
        await self._over.wait()
        return self.reason
