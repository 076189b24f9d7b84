"""The server's end of the media engine: it starts it, watches it, starts it again, and hands out channels."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Collection
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, cast

import anyio

from sipcore.errors import MediaError, NoPortsFreeError
from sipcore.media.channel import MediaChannel
from sipcore.media.engine import EngineShape
from sipcore.media.inbound import CLOCK_RATE
from sipcore.media.messages import Answer, Close, Closed, Command, Decoder, Open, Opened, Ready, Refused, Woken, encode
from sipcore.media.ports import sessions
from sipcore.media.process import RunningEngine, run_engine
from sipcore.media.ring import ArenaShape
from sipcore.rtp.jitter import FRAME

logger = logging.getLogger(__name__)

START_SECONDS = 20.0
"""How long an engine may take to start."""
OPEN_SECONDS = 5.0
"""How long opening a channel may take, a restart of the engine included."""
RESTART_PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0)
"""Seconds before an engine that died is started again; the last for all further times within `STEADY_SECONDS`."""
STEADY_SECONDS = 30.0
"""An engine that lived so long is trusted again."""
_READ_SIZE = 65536
_UNSENT_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class MediaSettings:
    """How the engine runs.

    Args:
        address: the address that RTP is bound to.
        rtp_port_start: first port of the range.
        rtp_port_end: last port of the range.
        ports_per_session: ports from one session to the next; even.
        max_calls: channels at once; 0 is as many as the ports allow.
        mode: ``process``; ``thread`` for tests and tiny machines.
        playout_seconds: audio that can be queued a call.
        heard_seconds: audio that a slow listener of a call may lag behind.
        silence_seconds: without a packet from the peer for so long, its channel gets `PeerSilent`; 0 is never.
    """

    address: str = "127.0.0.1"
    rtp_port_start: int = 31000
    rtp_port_end: int = 31010
    ports_per_session: int = 4
    max_calls: int = 0
    mode: Literal["process", "thread"] = "process"
    playout_seconds: float = 12.0
    heard_seconds: float = 4.8
    silence_seconds: float = 60.0

    def shape(self) -> EngineShape:
        """Return what the engine needs to know.

        Raises:
            ConfigError: the range has no room for one pair.
        """
        pairs = len(sessions(self.rtp_port_start, self.rtp_port_end, self.ports_per_session))
        slots = min(pairs, self.max_calls or pairs)
        samples = max(1, round(self.playout_seconds * CLOCK_RATE))
        return EngineShape(
            self.address,
            self.rtp_port_start,
            self.rtp_port_end,
            self.ports_per_session,
            ArenaShape(slots, samples, max(1, round(self.heard_seconds * CLOCK_RATE / FRAME))),
            self.silence_seconds,
        )


class _Connection:
    """A running engine, and who waits for its answers.

    Reads and writes are callbacks of the event loop: a message costs no task.

    Args:
        engine: the engine.
    """

    def __init__(self, engine: RunningEngine) -> None:
        self.engine = engine
        self.channels: dict[int, MediaChannel] = {}
        self.rows: dict[int, MediaChannel] = {}
        self.opening: dict[int, asyncio.Future[Opened | Refused]] = {}
        self.ready = anyio.Event()
        self.lost = anyio.Event()
        self._decoder = Decoder()
        self._unsent: deque[bytes] = deque()
        self._loop = asyncio.get_running_loop()
        engine.pipe.settimeout(0.0)
        self._loop.add_reader(engine.pipe, self._on_readable)

    def tell(self, command: Command) -> None:
        """Send a command. An engine that reads nothing any more is as good as gone."""
        if self.lost.is_set():
            return
        self._unsent.append(encode(command))
        self._on_writable()
        if sum(map(len, self._unsent)) > _UNSENT_LIMIT:
            logger.error("the media engine does not read its commands")
            self.lose()

    def lose(self) -> None:
        """The engine is gone: tell everyone."""
        if self.lost.is_set():
            return
        self._loop.remove_reader(self.engine.pipe)
        self._loop.remove_writer(self.engine.pipe)
        self.lost.set()
        for waiting in self.opening.values():
            if not waiting.done():
                waiting.set_exception(MediaError("the media engine is gone"))
        for channel in tuple(self.channels.values()):
            channel.on_lost()
        self.channels.clear()
        self.rows.clear()

    def _on_readable(self) -> None:
        try:
            data = self.engine.pipe.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.lose()
            return
        for answer in self._decoder.feed(data):
            self._take(cast("Answer", answer))

    def _on_writable(self) -> None:
        pipe = self.engine.pipe
        while self._unsent:
            message = self._unsent[0]
            try:
                sent = pipe.send(message)
            except BlockingIOError:
                self._loop.add_writer(pipe, self._on_writable)
                return
            except OSError:
                self.lose()
                return
            if sent < len(message):
                self._unsent[0] = message[sent:]
            else:
                self._unsent.popleft()
        self._loop.remove_writer(pipe)

    def _take(self, answer: Answer) -> None:
        match answer:
            case Woken(rows=rows):
                for row in rows:
                    if (channel := self.rows.get(row)) is not None:
                        channel.on_woken()
            case Ready():
                self.ready.set()
            case Opened() | Refused():
                self._take_opened(answer)
            case _:
                channel = self.channels.get(answer.handle)
                if channel is not None:
                    channel.on_answer(answer)
                if isinstance(answer, Closed) and channel is not None:
                    del self.channels[answer.handle]
                    self.rows.pop(channel.row, None)

    def _take_opened(self, answer: Opened | Refused) -> None:
        waiting = self.opening.pop(answer.handle, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)
        elif isinstance(answer, Opened):
            self.tell(Close(answer.handle))


class MediaEngine:
    """The media engine as the server sees it: an async context manager.

    Args:
        settings: how it runs.
    """

    def __init__(self, settings: MediaSettings) -> None:
        self._shape = settings.shape()
        self._mode: Literal["process", "thread"] = settings.mode
        self._connection: _Connection | None = None
        self._changed = anyio.Event()
        self._handles = 0
        self._stack = AsyncExitStack()
        self.calls = 0
        """Channels that are open."""

    @property
    def pid(self) -> int | None:
        """The engine's process; None for a thread, or while there is none."""
        return self._connection.engine.pid if self._connection is not None else None

    async def __aenter__(self) -> MediaEngine:
        """Start the engine.

        Raises:
            MediaError: it does not start.
        """
        tasks = await self._stack.enter_async_context(anyio.create_task_group())
        self._stack.callback(tasks.cancel_scope.cancel)
        try:
            failure = await tasks.start(self._supervise)
        except BaseException:
            await self._stack.aclose()
            raise
        if failure is not None:
            await self._stack.aclose()
            raise failure
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the engine: its recordings are whole when this returns."""
        await self._stack.aclose()

    def channel(self, call_id: str, *, hosts: Collection[str] = ()) -> AbstractAsyncContextManager[MediaChannel]:
        """Open a channel; leaving the block closes it and frees its ports.

        Args:
            call_id: for logs.
            hosts: hosts besides the SDP's that audio may come from: where the signalling comes from.

        Raises:
            NoPortsFreeError: every pair of ports is in use (answer 503).
            MediaError: the engine is gone, and no new one is there yet.
        """
        return self._open(call_id, hosts)

    @asynccontextmanager
    async def _open(self, call_id: str, hosts: Collection[str]) -> AsyncGenerator[MediaChannel, None]:
        connection = await self._connected()
        self._handles += 1
        channel = await self._request(connection, call_id, self._handles, hosts)
        self.calls += 1
        try:
            yield channel
        finally:
            self.calls -= 1
            channel.close()
            with anyio.CancelScope(shield=True):
                await channel.wait_closed()

    async def _request(
        self, connection: _Connection, call_id: str, handle: int, hosts: Collection[str]
    ) -> MediaChannel:
        waiting = connection.opening[handle] = asyncio.get_running_loop().create_future()
        connection.tell(Open(handle))
        try:
            with anyio.fail_after(OPEN_SECONDS):
                answer = await waiting
        except TimeoutError as error:
            raise MediaError(f"the media engine opened no channel within {OPEN_SECONDS:g} s") from error
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                connection.tell(Close(handle))
            raise
        if connection.lost.is_set():
            raise MediaError("the media engine is gone")
        if isinstance(answer, Refused):
            raise NoPortsFreeError(answer.reason) if answer.ports else MediaError(answer.reason)
        channel = MediaChannel(
            call_id, handle, answer.port, answer.row, connection.engine.arena, connection.tell, hosts
        )
        connection.channels[handle] = connection.rows[answer.row] = channel
        return channel

    async def _connected(self) -> _Connection:
        with anyio.move_on_after(OPEN_SECONDS):
            while self._connection is None:
                await self._changed.wait()
            return self._connection
        raise MediaError("the media engine is gone, and no new one is there yet")

    async def _supervise(self, *, task_status: anyio.abc.TaskStatus[MediaError | None]) -> None:
        first = True
        failures = 0
        while True:
            began = anyio.current_time()
            try:
                async with run_engine(self._shape, self._mode) as engine:
                    connection = _Connection(engine)
                    try:
                        await self._until_ready(connection)
                        self._set(connection)
                        if first:
                            first = False
                            task_status.started(None)
                        await connection.lost.wait()
                        logger.error("the media engine is gone: its calls end, a new one is started")
                    finally:
                        self._set(None)
                        connection.lose()
            except (MediaError, OSError) as error:
                if first:
                    task_status.started(MediaError(f"the media engine does not start: {error}"))
                    return
                logger.exception("the media engine does not start again")
            failures = 0 if anyio.current_time() - began > STEADY_SECONDS else failures + 1
            await anyio.sleep(RESTART_PAUSES[min(failures, len(RESTART_PAUSES)) - 1] if failures else 0.0)

    async def _until_ready(self, connection: _Connection) -> None:
        with anyio.move_on_after(START_SECONDS):
            while not connection.ready.is_set():
                if connection.lost.is_set():
                    break
                await _first(connection.ready, connection.lost)
        if not connection.ready.is_set() or connection.lost.is_set():
            raise MediaError("its process ended or said nothing; its messages stand above")

    def _set(self, connection: _Connection | None) -> None:
        self._connection = connection
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


async def _first(*events: anyio.Event) -> None:
    """Wait until one of the events is set."""
    async with anyio.create_task_group() as tasks:

        async def wait(event: anyio.Event) -> None:
            await event.wait()
            tasks.cancel_scope.cancel()

        for event in events:
            tasks.start_soon(wait, event)
