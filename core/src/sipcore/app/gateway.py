"""Joins the WebSocket's clients to the calls: the hub decides, this carries out."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup

from sipcore.app.attended_call import AttendedCall
from sipcore.app.call_details import details, party
from sipcore.app.destinations import resolve
from sipcore.app.dial_plan import DialPlan
from sipcore.app.logs import call_context
from sipcore.app.sound_files import SoundFiles
from sipcore.app.wire_audio import to_wire
from sipcore.audio.frame import AudioFrame
from sipcore.call.call import Call
from sipcore.call.invitation import Invitation
from sipcore.call.switchboard import Switchboard
from sipcore.client.reports import transcript_data, turn_data
from sipcore.control.actions import Accept, Decline, Dial, End, Output, Perform, Silence, Tell
from sipcore.control.commands import Join, Say
from sipcore.control.events import Heard
from sipcore.control.fields import safe_id
from sipcore.control.hub import Hub
from sipcore.control.text_protocol import write_event
from sipcore.errors import CallEndedError, CallFailedError, MediaError, unwrapped
from sipcore.net.websocket import AudioFormat, Client, Pages, WebSocketServer, WebSocketSettings
from sipcore.plugins.interfaces import CallEvent, CallInfo, DigitReceived, TranscriptMade, TurnFinished
from sipcore.sip.uri import Uri

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """How the gateway works.

    Args:
        websocket: the WebSocket's own settings.
        ring_seconds: how long an incoming call is offered.
        owner_seconds: how long a call whose client is lost stays up.
        outgoing_seconds: how long an outgoing call may ring.
        caller: From of outgoing calls; None: our own address.
        most_queued: seconds of audio that a client may send ahead.
    """

    websocket: WebSocketSettings
    ring_seconds: float = 60.0
    owner_seconds: float = 30.0
    outgoing_seconds: float = 60.0
    caller: Uri | None = None
    most_queued: float = 10.0


@dataclass(slots=True)
class _Waiting:
    """An incoming call that rings at the clients."""

    invitation: Invitation
    accepted: anyio.Event


class Gateway:
    """The WebSocket and its clients, inside ``async with``; outgoing calls need `dialling` besides.

    Args:
        settings: see there.
        plan: whom clients may have called.
        files: what they may have played.
        pages: what GETs are answered with.
        greeting: what callers hear when a client of version 1 answers, which knows no PLAY.
        on_answered: told of every outgoing call that was answered: to record it.
        on_ended: told of every such call when it is over.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        plan: DialPlan,
        files: SoundFiles,
        pages: Pages | None = None,
        greeting: AudioFrame | None = None,
        on_answered: Callable[[Call], None] = lambda _: None,
        on_ended: Callable[[Call], None] = lambda _: None,
    ) -> None:
        self.hub = Hub(lambda: secrets.token_hex(12), settings.ring_seconds, settings.owner_seconds)
        self._settings = settings
        self._plan = plan
        self._files = files
        self._greeting = greeting
        self._on_answered = on_answered
        self._on_ended = on_ended
        self._clients: dict[int, Client] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._calls: dict[str, AttendedCall] = {}
        self._dialling: dict[str, anyio.CancelScope] = {}
        self._board: Switchboard | None = None
        self._tasks: TaskGroup | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._server = WebSocketServer(
            settings.websocket, self._on_connect, self._on_message, self._on_disconnect, pages
        )
        self.say: Callable[[str, str], bool] = lambda _call_id, _text: False

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._server.__aexit__(kind, error, trace)
        if self._alarm is not None:
            self._alarm.cancel()

    @asynccontextmanager
    async def dialling(self, board: Switchboard) -> AsyncGenerator[None, None]:
        """Place calls with ``board`` while the block runs; leaving it hangs them up."""
        async with anyio.create_task_group() as tasks:
            self._board, self._tasks = board, tasks
            try:
                yield
            finally:
                self._tasks = None
                tasks.cancel_scope.cancel()

    @property
    def address(self) -> tuple[str, int]:
        """Where the WebSocket listens."""
        return self._server.address

    @property
    def clients(self) -> int:
        """How many clients there are."""
        return len(self._clients)

    # --- clients

    def _on_connect(self, client: Client) -> None:
        self._clients[client.number] = client
        self.hub.connect(client.number, client.version)
        self.flush()

    def _on_message(self, client: Client, message: str) -> None:
        self.hub.receive(client.number, message, time.monotonic())
        self.flush()

    def _on_disconnect(self, client: Client) -> None:
        del self._clients[client.number]
        self.hub.disconnect(client.number, time.monotonic())
        self.flush()

    def audio_format(self, client: int) -> AudioFormat:
        """Return the format of a client's audio."""
        known = self._clients.get(client)
        return known.audio_format if known else "pcm"

    def send_audio(self, call_id: str, frame: AudioFrame) -> None:
        """Give a frame to whoever hears the call; it is encoded once for each format."""
        messages: dict[AudioFormat, str] = {}
        for number in self.hub.hearers(call_id):
            client = self._clients.get(number)
            if client is None or (client.version == 1 and not self.hub.is_answered(call_id)):
                continue
            message = messages.get(client.audio_format)
            if message is None:
                message = write_event(Heard(call_id, to_wire(frame, client.audio_format)))
                messages[client.audio_format] = message
            if client.put_audio(message):
                logger.warning("WebSocket client %d reads too slowly: its oldest audio is dropped", number)
                self.hub.refuse(number, 429, "audio is dropped: read faster")
                self.flush()

    # --- what the hub wants

    def flush(self) -> None:
        """Carry out what the hub wants, and set the alarm for what it waits for."""
        while outputs := self.hub.take_outputs():
            for output in outputs:
                self._carry_out(output)
        self._set_alarm()

    def _carry_out(self, output: Output) -> None:
        match output:
            case Tell(client=client, event=event):
                if client in self._clients:
                    self._clients[client].put(write_event(event))
            case Dial():
                self._dial(output)
            case Accept(call_id=call_id) if call_id in self._waiting:
                self._waiting[call_id].accepted.set()
            case Decline(call_id=call_id, status=status) if call_id in self._waiting:
                self._waiting[call_id].invitation.reject(status)
            case End(call_id=call_id, reason=reason):
                self._end(call_id, reason)
            case Silence(call_id=call_id) if call_id in self._calls:
                self._calls[call_id].silence()
            case Perform():
                self._perform(output)
            case _:
                pass

    def _perform(self, output: Perform) -> None:
        call = self._calls.get(output.call_id)
        if call is None:
            self.hub.refuse(output.client, 404, "the call is not up", output.call_id)
        elif isinstance(output.command, Say):
            if not self.say(call.call.info.call_id, output.command.text):
                self.hub.refuse(output.client, 409, "nobody holds a conversation on the call", output.call_id)
        elif isinstance(output.command, Join):
            other = self._calls.get(output.command.other_id)
            if other is None or other is call or not call.join(other):
                self.hub.refuse(output.client, 409, "two calls that are up were expected", output.call_id)
        else:
            call.perform(output.client, output.command)

    def _end(self, call_id: str, reason: str) -> None:
        if call_id in self._dialling:
            self._dialling[call_id].cancel()
        elif call_id in self._calls:
            self._calls[call_id].hang_up(reason)
        elif call_id in self._waiting:
            self._waiting[call_id].invitation.reject(480)

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        due = self.hub.next_timeout()
        if due < float("inf"):
            wait = max(0.0, due - time.monotonic())
            self._alarm = asyncio.get_running_loop().call_later(wait, self._ring_alarm)

    def _ring_alarm(self) -> None:
        self.hub.handle_timeout(time.monotonic())
        self.flush()

    # --- incoming calls

    async def ring(self, invitation: Invitation) -> None:
        """Offer a call to the clients and wait until one takes it; it is declined when none does."""
        call_id, info = safe_id(invitation.info.call_id), invitation.info
        waiting = self._waiting[call_id] = _Waiting(invitation, anyio.Event())
        if not self._clients:
            logger.warning("no WebSocket client is connected: the call rings until one is there")
        self.hub.offer(call_id, party(info), details(info), time.monotonic())
        self.flush()
        try:
            await waiting.accepted.wait()
        finally:
            del self._waiting[call_id]

    def gone(self, info: CallInfo) -> None:
        """A call is over, answered or not."""
        self.hub.ended(safe_id(info.call_id))
        self.flush()

    async def attend(self, call: Call) -> None:
        """Let clients hold a call that one of them answered, until it ends."""
        call_id = safe_id(call.info.call_id)
        async with self._attended(call_id, call) as attended:
            self.hub.answered(call_id)
            self.flush()
            if self._greeting is not None and self.hub.version(self.hub.owner(call_id) or 0) == 1:
                attended.play(self._greeting)
            await call.wait_over()

    @asynccontextmanager
    async def followed(self, call: Call, assistant: str) -> AsyncGenerator[None, None]:
        """Let clients follow a call that this program's own conversation holds."""
        call_id = safe_id(call.info.call_id)
        self.hub.adopt(call_id, party(call.info), details(call.info) | {"assistant": assistant})
        self.flush()
        async with self._attended(call_id, call):
            yield

    @asynccontextmanager
    async def _attended(self, call_id: str, call: Call) -> AsyncGenerator[AttendedCall, None]:
        attended = AttendedCall(call_id, call, self, self._files, self._settings.most_queued)
        self._calls[call_id] = attended
        try:
            with unwrapped():
                async with anyio.create_task_group() as tasks:
                    await tasks.start(attended.run)
                    yield attended
                    tasks.cancel_scope.cancel()
        finally:
            del self._calls[call_id]

    # --- outgoing calls

    def _dial(self, order: Dial) -> None:
        if self._tasks is None:
            self.hub.failed(order.call_id, 503, "Service Unavailable")
            return
        try:
            target = self._plan.target(order.phone)
        except CallFailedError as error:
            logger.warning("client %d may not call %s: %s", order.client, order.phone, error)
            self.hub.failed(order.call_id, error.status, error.reason)
            return
        scope = self._dialling[order.call_id] = anyio.CancelScope()
        self._tasks.start_soon(self._call, order, target, scope)

    async def _call(self, order: Dial, target: Uri, scope: anyio.CancelScope) -> None:
        """Place a call and hold it for its client until it ends."""
        with call_context(order.call_id):
            logger.info("client %d calls %s", order.client, target)
            failure = CallFailedError(487, "Request Terminated")
            try:
                with self._plan.admitted(time.monotonic()), scope:
                    await self._place(order.call_id, target)
                    return
            except CallFailedError as error:
                failure = error
            except MediaError as error:
                failure = CallFailedError(503, f"Service Unavailable ({error})")
            except CallEndedError as error:
                logger.info("the call ended: %s", error)
            except Exception:
                logger.exception("the call failed")
                failure = CallFailedError(500, "Server Internal Error")
            finally:
                self._dialling.pop(order.call_id, None)
                self._finish(order.call_id, failure)

    def _finish(self, call_id: str, failure: CallFailedError) -> None:
        """Tell the client: BYE of a call that was answered before, CALL_FAILED of one that was not."""
        if self.hub.is_answered(call_id):
            self.hub.ended(call_id)
        else:
            logger.info("not answered: %s", failure)
            self.hub.failed(call_id, failure.status, failure.reason)
        self.flush()

    async def _place(self, call_id: str, target: Uri) -> None:
        assert self._board is not None
        destination = await resolve(target)

        def ringing(_status: int) -> None:
            self.hub.rings(call_id)
            self.flush()

        async with (
            self._board.place(target, destination, self._settings.caller, ringing, call_id) as outgoing,
            self._attended(call_id, outgoing.call),
        ):
            self.hub.describe(call_id, **details(outgoing.call.info))
            await self._wait_answered(outgoing.wait_answered)
            self._dialling.pop(call_id, None)
            self._on_answered(outgoing.call)
            self.hub.answered(call_id)
            self.flush()
            logger.info("call ended: %s", await outgoing.call.wait_over())
        self._on_ended(outgoing.call)

    async def _wait_answered(self, wait: Callable[[], Any]) -> None:
        try:
            with anyio.fail_after(self._settings.outgoing_seconds):
                await wait()
        except TimeoutError as error:
            raise CallFailedError(408, "Request Timeout") from error

    # --- events

    def observe(self, event: CallEvent) -> None:
        """Tell clients what happened on a call."""
        call_id = safe_id(event.info.call_id)
        match event:
            case DigitReceived(digit=digit):
                self.hub.digit(call_id, digit)
            case TranscriptMade():
                self.hub.transcribed(call_id, transcript_data(event))
            case TurnFinished():
                self.hub.turn_finished(call_id, turn_data(event))
            case _:
                return
        self.flush()
