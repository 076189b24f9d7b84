"""An incoming call that nobody has answered yet."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sipcore.call.call import Call
from sipcore.call.leg import Leg
from sipcore.call.media_session import MediaSession
from sipcore.media.link import MediaEngine
from sipcore.plugins.interfaces import CallAnswered, CallEvent, CallInfo
from sipcore.sip.events import InvitationReceived


@dataclass(frozen=True, slots=True)
class CallContext:
    """What every call of a switchboard shares.

    Args:
        media: carries its audio.
        address: where far ends shall send audio to.
        observe: told of every event.
        adopt: runs a call's background work until it ends.
    """

    media: MediaEngine
    address: str
    observe: Callable[[CallEvent], None]
    adopt: Callable[[Call], None]


class Invitation:
    """A call that rings here: answer it or reject it.

    Args:
        event: the INVITE.
        info: who calls.
        leg: its SIP side.
        context: the switchboard's.
    """

    def __init__(self, event: InvitationReceived, info: CallInfo, leg: Leg, context: CallContext) -> None:
        self.info = info
        self._event = event
        self._leg = leg
        self._context = context

    @asynccontextmanager
    async def answer(self, while_ringing: Callable[[], Awaitable[object]] | None = None) -> AsyncGenerator[Call, None]:
        """Open the media, send 180 and 200, and wait for the ACK; leaving the block hangs up.

        Args:
            while_ringing: awaited between 180 and 200; it may reject the call.

        Raises:
            MediaError: there is no free port, or no media engine: 503 is due.
            RemoteProtocolError: the offer cannot be taken; its status is due.
            CallEndedError: the caller gave up.
        """
        hosts = {self._event.source[0]}
        async with self._context.media.channel(self.info.call_id, hosts=hosts) as channel:
            media = MediaSession(channel, self._context.address, session_id=channel.port, hosts=hosts)
            call = Call(self.info, self._leg, media, self._context.observe)
            offer = self._event.request.body
            body = media.answer(offer) if offer else media.offer()
            self._leg.ring()
            if while_ringing is not None:
                await self._leg.while_up(while_ringing)
            self._leg.answer(body)
            try:
                confirmed = await self._leg.wait_answered()
                if not offer:
                    media.accept(confirmed)
                self._context.adopt(call)
                self._context.observe(CallAnswered(self.info))
                yield call
            finally:
                await call.hang_up()

    @property
    def over(self) -> bool:
        """Whether it was refused, or answered and hung up."""
        return self._leg.over

    def reject(self, status: int, reason: str | None = None, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Refuse it with a final status; nothing happens when it is over already."""
        self._leg.reject(status, reason, headers)
