"""A program that steers calls over the WebSocket: it takes them, places them, follows them."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import anyio
from anyio.abc import TaskStatus
from anyio.streams.memory import MemoryObjectSendStream
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from sipcore.client.call import ClientCall
from sipcore.client.offer import Offer
from sipcore.control import commands
from sipcore.control.commands import Command
from sipcore.control.events import Answered, CallFailed, Calling, Described, Ended, Event, Ignored, Rang, Refused
from sipcore.control.fields import LONGEST_TEXT, one_line, safe_phone
from sipcore.control.text_protocol import parse_event, write_command
from sipcore.errors import CallFailedError, ConfigError, RemoteProtocolError, unwrapped
from sipcore.plugins.interfaces import CallInfo

logger = logging.getLogger(__name__)
wire = logging.getLogger(f"{__name__}.wire")
wire.setLevel(logging.INFO)
"""For the library, which logs every header at DEBUG, the token too."""

PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before a connection that was lost is tried again, the last for all further times; a half more by chance."""
LOST_SECONDS = 60.0
"""How long a call whose connection was lost may still come back."""
GRACE_SECONDS = 0.5
"""How long a call that nobody here takes may wait for somebody who does: a program that has only just connected."""
COMMANDS_WAITING = 1000
EVENTS_WAITING = 1000
LONGEST_MESSAGE = 1 << 20
NOT_THERE = 404


class Client:
    """A connection that is kept up. Made by `connect`."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url.partition("?")[0]
        self._target = _versioned(url)
        self._token = token
        self._calls: dict[str, ClientCall] = {}
        self._known: dict[str, Mapping[str, Any]] = {}
        self._dialled: deque[tuple[str, ClientCall, anyio.Event]] = deque()
        self._offers: set[MemoryObjectSendStream[Offer]] = set()
        self._followers: set[MemoryObjectSendStream[Event]] = set()
        self._goodbyes: set[str] = set()
        self._outgoing: deque[Command] = deque()
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self._connected = asyncio.Event()

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self._connected.is_set()

    @property
    def calls(self) -> Mapping[str, Mapping[str, Any]]:
        """What CALL_INFO told of every call that there is, by id."""
        return self._known

    # --- taking, placing and following calls

    @asynccontextmanager
    async def offers(self) -> AsyncGenerator[AsyncIterable[Offer], None]:
        """The calls that this client may take, from now on. A client without a reader of this ignores them all."""
        send, receive = anyio.create_memory_object_stream[Offer](EVENTS_WAITING)
        with send, receive:
            for call_id, data in self._known.items():
                if data.get("owner") is None and data.get("state") in {"ringing", "answered"}:
                    _push(send, self._make_offer(call_id, ""))
            self._offers.add(send)
            try:
                yield receive
            finally:
                self._offers.discard(send)

    @asynccontextmanager
    async def dial(self, phone: str, on_ringing: Callable[[], None] | None = None) -> AsyncGenerator[ClientCall, None]:
        """Call a number or a SIP URI and wait for the answer; leaving the block hangs up.

        Raises:
            CallFailedError: refused, not allowed, not answered.
        """
        async with self.place(phone, on_ringing) as call:
            await call.wait_answered()
            yield call

    @asynccontextmanager
    async def place(self, phone: str, on_ringing: Callable[[], None] | None = None) -> AsyncGenerator[ClientCall, None]:
        """Call a number or a SIP URI; early media can be heard before `ClientCall.wait_answered` returns."""
        named = anyio.Event()
        call = ClientCall(CallInfo("", "outgoing", "", phone), self)
        call.on_ringing = on_ringing
        text = one_line(phone)
        if not 0 < len(text) <= LONGEST_TEXT:
            raise CallFailedError(404, "Not Found (this is no number)")
        await self.send(commands.PlaceCall(text))
        self._dialled.append((safe_phone(text), call, named))
        try:
            await named.wait()
            yield call
        finally:
            await call.hang_up()

    @asynccontextmanager
    async def follow(self, call_id: str = "*") -> AsyncGenerator[AsyncIterable[Event], None]:
        """Everything that happens on a call, or on all; older events are dropped for a reader that is slow."""
        send, receive = anyio.create_memory_object_stream[Event](EVENTS_WAITING)
        with send, receive:
            self._followers.add(send)
            try:
                await self.send(commands.Subscribe(call_id))
                yield receive
            finally:
                self._followers.discard(send)

    async def send(self, command: Command) -> None:
        """Send a command, as soon as there is a connection and room."""
        while not self.send_nowait(command):
            await self._connected.wait()
            self._room.clear()
            if len(self._outgoing) >= COMMANDS_WAITING:
                await self._room.wait()

    def send_nowait(self, command: Command) -> bool:
        """Send a command if there is a connection and room; whether there was."""
        if not self.is_connected or len(self._outgoing) >= COMMANDS_WAITING:
            return False
        self._outgoing.append(command)
        self._more.set()
        return True

    def say_goodbye(self, call_id: str) -> None:
        """Hang a call of ours up, now or when there is a connection again."""
        if not self.send_nowait(commands.HangUp(call_id)):
            self._goodbyes.add(call_id)

    # --- the connection

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Connect, and connect again when the connection is lost, until this is cancelled.

        Raises:
            ConfigError: the server does not let this client in.
        """
        failures, first = 0, True
        while True:
            try:
                async with open_websocket(
                    self._target,
                    additional_headers={"Authorization": f"Bearer {self._token}"} if self._token else None,
                    max_size=LONGEST_MESSAGE,
                    compression=None,
                    open_timeout=10,
                    close_timeout=1,
                    logger=wire,
                ) as websocket:
                    failures = 0
                    self._on_connected()
                    if first:
                        task_status.started()
                    first = False
                    await self._exchange(websocket)
            except InvalidURI as error:
                raise ConfigError(f"{self.url} is no WebSocket address: ws://HOST:PORT was expected") from error
            except InvalidStatus as error:
                _check_status(error.response.status_code, self.url)
                logger.warning("%s answers with %d", self.url, error.response.status_code)
            except (OSError, InvalidHandshake, ConnectionClosed, TimeoutError) as error:
                logger.warning("no connection to %s: %s", self.url, error or type(error).__name__)
            finally:
                self._on_lost()
            pause = PAUSES[min(failures, len(PAUSES) - 1)]
            failures += 1
            await anyio.sleep(pause * random.uniform(1.0, 1.5))  # noqa: S311

    async def _exchange(self, websocket: ClientConnection) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._write, websocket)
            with suppress(ConnectionClosed):
                async for message in websocket:
                    if isinstance(message, str):
                        self._read(message)
            logger.warning("the connection to %s is lost: %s", self.url, websocket.close_reason or "closed")
            tasks.cancel_scope.cancel()

    async def _write(self, websocket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                while self._outgoing:
                    await websocket.send(write_command(self._outgoing.popleft()))
                    self._room.set()
                self._more.clear()
                await self._more.wait()

    def _on_connected(self) -> None:
        """Claim the calls that are still ours, then ask for all others."""
        logger.info("connected to %s", self.url)
        self._known.clear()
        self._connected.set()
        for call_id, call in self._calls.items():
            if call.is_answered:
                self.send_nowait(commands.Answer(call_id))
        for call_id in self._goodbyes:
            self.send_nowait(commands.Answer(call_id))
            self.send_nowait(commands.HangUp(call_id))
        self.send_nowait(commands.Subscribe("*"))

    def _on_lost(self) -> None:
        self._connected.clear()
        self._outgoing.clear()
        self._room.set()
        for call_id, call in list(self._calls.items()):
            if not call.is_answered:
                call.end("the connection is lost")
                del self._calls[call_id]
            else:
                call.on_lost(LOST_SECONDS)
        while self._dialled:
            _, call, named = self._dialled.popleft()
            call.end("the connection is lost")
            named.set()

    # --- what the server says

    def _read(self, message: str) -> None:
        try:
            event = parse_event(message)
        except RemoteProtocolError as error:
            logger.warning("%s says something that cannot be understood: %s", self.url, error)
            return
        self._on_event(event)
        for follower in self._followers:
            _push(follower, event)

    def _on_event(self, event: Event) -> None:
        call_id: str = getattr(event, "call_id", "")
        call = self._calls.get(call_id)
        match event:
            case Calling():
                self._on_calling(event)
            case Described(data=data):
                self._known[call_id] = data
                if call is not None:
                    call.described(data)
            case Rang():
                self._on_rang(event, call)
            case Answered():
                if call is not None:
                    call.on_answered()
            case _:
                if call is not None:
                    self._on_call_event(event, call)
                elif isinstance(event, Refused):
                    logger.warning("%s: %s", self.url, event.status)
        self._forget_after(event, call_id)

    def _forget_after(self, event: Event, call_id: str) -> None:
        if isinstance(event, Ended | CallFailed | Refused):
            self._goodbyes.discard(call_id)
        if isinstance(event, Ended | CallFailed):
            self._known.pop(call_id, None)
            self._calls.pop(call_id, None)

    def _on_call_event(self, event: Event, call: ClientCall) -> None:
        match event:
            case Refused(status=status) if call.is_asked_for or (call.is_lost and status.code == NOT_THERE):
                call.end(f"{status}")
                self._calls.pop(call.info.call_id, None)
            case Ignored():
                if not call.is_lost or not call.is_answered:
                    call.on_event(event)
                    self._calls.pop(call.info.call_id, None)
            case _:
                call.on_event(event)

    def _on_calling(self, event: Calling) -> None:
        """Give the oldest call to this phone that has no id yet its id."""
        for entry in self._dialled:
            phone, call, named = entry
            if phone == event.phone:
                self._dialled.remove(entry)
                if call.over:
                    self.send_nowait(commands.HangUp(event.call_id))
                    return
                call.on_named(event.call_id)
                self._calls[event.call_id] = call
                named.set()
                return

    def _on_rang(self, event: Rang, call: ClientCall | None) -> None:
        if event.call_id in self._goodbyes:
            return
        if call is None:
            self._offer(event.call_id, event.phone)
        elif call.is_answered:
            self.send_nowait(commands.Answer(event.call_id))
        elif call.on_ringing is not None:
            call.on_ringing()

    def _offer(self, call_id: str, phone: str) -> None:
        offer = self._make_offer(call_id, phone)
        for taker in self._offers:
            _push(taker, offer)
        if not self._offers:
            asyncio.get_running_loop().call_later(GRACE_SECONDS, self._ignore, call_id)

    def _ignore(self, call_id: str) -> None:
        """Leave a call to others that nobody here takes, unless somebody has begun to read the offers meanwhile."""
        if not self._offers and call_id in self._known and call_id not in self._calls:
            self.send_nowait(commands.Ignore(call_id))

    def _make_offer(self, call_id: str, phone: str) -> Offer:
        return Offer(_info(call_id, phone, self._known.get(call_id, {})), self, self._adopt)

    def _adopt(self, call: ClientCall) -> None:
        self._calls[call.info.call_id] = call


@asynccontextmanager
async def connect(url: str, token: str = "") -> AsyncGenerator[Client, None]:
    """Connect to a server, trying again until it is there; leaving the block disconnects.

    Calls that are up when the connection is lost come back with it, unless another client took them over.

    Args:
        url: ``ws://HOST:PORT`` or ``wss://…``.
        token: the server's WS_TOKEN.

    Raises:
        ConfigError: the server does not let this client in.
    """
    client = Client(url, token)
    with unwrapped():
        async with anyio.create_task_group() as tasks:
            await tasks.start(client.run)
            yield client
            tasks.cancel_scope.cancel()


def _push(stream: MemoryObjectSendStream[Any], item: object) -> None:
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        try:
            stream.send_nowait(item)
        except anyio.WouldBlock:
            logger.warning("a reader of the client's events is too slow: %s is dropped", type(item).__name__)


def _info(call_id: str, phone: str, data: Mapping[str, Any]) -> CallInfo:
    headers = data.get("headers")
    return CallInfo(
        call_id,
        "outgoing" if data.get("direction") == "outgoing" else "incoming",
        str(data.get("caller") or phone),
        str(data.get("callee") or ""),
        {str(k): str(v) for k, v in headers.items()} if isinstance(headers, dict) else {},  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        taken_over=data.get("state") == "answered",
    )


def _versioned(url: str) -> str:
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode({"v": 2}))))
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", query, ""))


def _check_status(status: int, url: str) -> None:
    if status in {401, 403}:
        raise ConfigError(f"{url} does not let this client in ({status}): set WS_TOKEN to the server's")
