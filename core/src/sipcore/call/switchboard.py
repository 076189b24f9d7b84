"""Every call of this process: where SIP events find their call, and where calls begin."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType

import anyio

from sipcore.call.call import Call, quoted
from sipcore.call.invitation import CallContext, Invitation
from sipcore.call.leg import Leg
from sipcore.call.media_session import MediaSession
from sipcore.call.outgoing import Outgoing
from sipcore.errors import CallEndedError, MediaError, RemoteProtocolError, is_call_ended
from sipcore.media.link import MediaEngine
from sipcore.net.udp import SipEndpoint
from sipcore.plugins.interfaces import CallEnded, CallEvent, CallInfo, CallRang
from sipcore.sip.events import Event, InvitationReceived, MessageRefused
from sipcore.sip.message import Request
from sipcore.sip.uri import Uri

logger = logging.getLogger(__name__)

GOODBYE_SECONDS = 1.0
"""How long leaving waits for far ends to answer our BYE; it is sent twice in that time."""
KEPT_HEADERS = ("User-Agent", "P-Asserted-Identity", "Diversion")
RETRY_AFTER = 5
"""Seconds that a caller is asked to wait when nothing is free."""


class Switchboard:
    """Gives every SIP event to its call, hands new calls to whoever answers, and dials.

    Args:
        endpoint: entered by the caller.
        media: entered by the caller.
        address: the address for SDP: where far ends send audio to.
        answer: called for every incoming call, in a task of its own; what it leaves unanswered is rejected.
        observe: told of every event of every call; raises nothing, and does not block.
    """

    def __init__(
        self,
        endpoint: SipEndpoint,
        media: MediaEngine,
        address: str,
        answer: Callable[[Invitation], Awaitable[None]] | None = None,
        observe: Callable[[CallEvent], None] = lambda _: None,
    ) -> None:
        self._endpoint = endpoint
        self._media = media
        self._answer = answer
        self._observe = observe
        self._legs: dict[str, Leg] = {}
        self._tasks = anyio.create_task_group()
        self._context = CallContext(media, address, observe, self._adopt)

    async def __aenter__(self) -> Switchboard:
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._follow)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._tasks.cancel_scope.cancel()
        try:
            return await self._tasks.__aexit__(kind, error, trace)
        finally:
            await self._say_goodbye()

    async def _say_goodbye(self) -> None:
        """Wait until every BYE and CANCEL is answered, or long enough; who calls now is turned away."""
        agent = self._endpoint.agent
        if agent.active_sessions:
            with anyio.move_on_after(GOODBYE_SECONDS, shield=True):
                async for event in self._endpoint.events():
                    if isinstance(event, InvitationReceived):
                        Leg(event.session, self._endpoint).reject(503)
                    if not agent.active_sessions:
                        return

    @property
    def calls(self) -> int:
        """How many calls there are, ringing ones too."""
        return len(self._legs)

    async def _follow(self) -> None:
        async for event in self._endpoint.events():
            self._on(event)

    def _on(self, event: Event) -> None:
        match event:
            case InvitationReceived():
                leg = self._legs[event.session] = Leg(event.session, self._endpoint)
                self._tasks.start_soon(self._invited, event, leg)
            case MessageRefused(source=(host, port), status=status, reason=reason):
                logger.warning("a message from %s:%d is refused with %d: %s", host, port, status, reason)
            case _:
                leg = self._legs.get(event.session)
                if leg is not None and not leg.over:
                    self._tell(leg, event)

    def _tell(self, leg: Leg, event: Event) -> None:
        """Hand an event to its call; one that fails on it ends, and the others notice nothing."""
        try:
            leg.on_event(event)
        except CallEndedError:
            pass
        except Exception:
            logger.exception("session %s: the call ends, for %s failed", leg.session, type(event).__name__)
            leg.give_up()

    # --- incoming

    async def _invited(self, event: InvitationReceived, leg: Leg) -> None:
        info = describe(event.request)
        invitation = Invitation(event, info, leg, self._context)
        try:
            self._observe(CallRang(info))
            await self._answered(invitation)
        except MediaError as error:
            self._refuse(invitation, 503, error, ("Retry-After", str(RETRY_AFTER)))
        except RemoteProtocolError as error:
            self._refuse(invitation, error.status, error, ("Warning", f'399 sipcore "{quoted(str(error))}"'))
        except Exception as error:
            if not is_call_ended(error):
                logger.exception("call %s: the call could not be served", info.call_id)
                invitation.reject(500)
        finally:
            invitation.reject(503)
            self._forget(leg, info)

    async def _answered(self, invitation: Invitation) -> None:
        if self._answer is None:
            invitation.reject(486)
        else:
            await self._answer(invitation)
            invitation.reject(480)

    def _refuse(self, invitation: Invitation, status: int, error: Exception, header: tuple[str, str]) -> None:
        if invitation.over:
            logger.warning("call %s: ended: %s", invitation.info.call_id, error)
        else:
            logger.warning("call %s: refused with %d: %s", invitation.info.call_id, status, error)
            invitation.reject(status, headers=(header,))

    # --- outgoing

    @asynccontextmanager
    async def dial(
        self,
        target: Uri,
        destination: tuple[str, int],
        caller: Uri | None = None,
        on_ringing: Callable[[int], None] = lambda _: None,
    ) -> AsyncGenerator[Call, None]:
        """Call ``target`` and wait for the answer; leaving the block hangs up. See `place`.

        Raises:
            CallFailedError: it was not answered.
            MediaError: there is no free port, or no media engine.
        """
        async with self.place(target, destination, caller, on_ringing) as outgoing:
            await outgoing.wait_answered()
            yield outgoing.call

    @asynccontextmanager
    async def place(
        self,
        target: Uri,
        destination: tuple[str, int],
        caller: Uri | None = None,
        on_ringing: Callable[[int], None] = lambda _: None,
        call_id: str | None = None,
    ) -> AsyncGenerator[Outgoing, None]:
        """Call ``target``; leaving the block gives the call up, or hangs up.

        Args:
            target: whom to call.
            destination: host and port that the INVITE is sent to.
            caller: our URI (From); our own address otherwise.
            on_ringing: called with each provisional status.
            call_id: the Call-ID; None: a new one.

        Raises:
            MediaError: there is no free port, or no media engine.
        """
        async with AsyncExitStack() as stack:
            channel = await stack.enter_async_context(self._media.channel(str(target), hosts={destination[0]}))
            media = MediaSession(channel, self._context.address, session_id=channel.port, hosts={destination[0]})
            session = self._endpoint.invite(
                target, caller=caller, body=media.offer(), destination=destination, call_id=call_id
            )
            leg = self._legs[session] = Leg(session, self._endpoint)
            info = CallInfo(session, "outgoing", str(caller or self._endpoint.address), str(target))
            stack.callback(self._forget, leg, info)
            call = Call(info, leg, media, self._observe)
            leg.on_ringing = _early_media(media, on_ringing)
            self._observe(CallRang(info))
            stack.callback(leg.give_up)
            yield Outgoing(call, leg, media, self._context)

    # --- both

    def _adopt(self, call: Call) -> None:
        self._tasks.start_soon(call.watch_media)

    def _forget(self, leg: Leg, info: CallInfo) -> None:
        leg.end("bye")
        self._legs.pop(leg.session, None)
        self._observe(CallEnded(info, leg.reason))


def _early_media(media: MediaSession, on_ringing: Callable[[int], None]) -> Callable[[int, bytes], None]:
    def ringing(status: int, body: bytes) -> None:
        on_ringing(status)
        if body and media.agreement is None:
            try:
                media.accept(body)
            except RemoteProtocolError as error:
                logger.warning("early media cannot be used: %s", error)

    return ringing


def describe(request: Request) -> CallInfo:
    """Who calls whom, from an INVITE."""
    kept = {name: value for name in KEPT_HEADERS if (value := request.headers.get(name)) is not None}
    return CallInfo(request.call_id, "incoming", str(request.from_.uri), str(request.uri), kept)
