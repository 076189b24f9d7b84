"""The WebSocket server: connections, their bounded queues, and pages for probes on the same port. It knows no calls."""

from __future__ import annotations

import asyncio
import errno
import http
import itertools
import logging
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self, TypeAlias, cast
from urllib.parse import parse_qs

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from sipcore.control.outbox import Outbox
from sipcore.errors import ConfigError
from sipcore.net.access import BEARER, Access, offered_subprotocols

logger = logging.getLogger(__name__)
wire = logging.getLogger(f"{__name__}.wire")
wire.setLevel(logging.CRITICAL)
"""For the library, which logs every header at DEBUG, tokens too, and a traceback of a stranger's broken request."""

AudioFormat: TypeAlias = Literal["pcm", "pcmu", "pcma"]
AUDIO_FORMATS: tuple[AudioFormat, ...] = ("pcm", "pcmu", "pcma")
VERSIONS = (1, 2)
LONGEST_MESSAGE = 65_536
"""Octets of a message; a longer one closes the connection with 1009."""
PING_SECONDS = 20.0
PONG_SECONDS = 120.0
"""A client that stops reading for a while answers no ping either: it is patience, not absence, that decides."""
SEND_BUFFER = 65_536
"""Octets that the system may hold for a client: audio that waits there cannot be dropped, and is seconds old."""
DEAD_SECONDS = 90
"""Seconds that a client's machine may acknowledge nothing, or take nothing (tcp(7), TCP_USER_TIMEOUT)."""
CLOSE_SECONDS = 2.0
TRY_AGAIN_LATER = 1013
"""Close code for a client that does not read."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a GET is answered with."""

    status: int
    body: str
    content_type: str = "text/plain; charset=utf-8"


Pages: TypeAlias = Mapping[str, Callable[[], Page]]


@dataclass(frozen=True, slots=True)
class WebSocketSettings:
    """How the server runs.

    Args:
        bind: host and port; port 0 takes a free one.
        access: who may connect.
        send_queue: messages that may wait to be sent to one client.
        receive_queue: messages of one client that may wait to be handled; then it is not read from.
        max_clients: connections at once; more get 503.
    """

    bind: tuple[str, int]
    access: Access
    send_queue: int = 1000
    receive_queue: int = 1000
    max_clients: int = 100


class Client:
    """One connection.

    Attributes:
        number: its id, 1, 2 and so on.
        version: of the protocol, as asked for in ``?v=``.
        audio_format: of RTP messages both ways, as asked for in ``?audio=``.
        outbox: what waits to be sent.
    """

    def __init__(self, number: int, version: int, audio_format: AudioFormat, limit: int) -> None:
        self.number = number
        self.version = version
        self.audio_format: AudioFormat = audio_format
        self.outbox = Outbox(limit)
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._full = asyncio.Event()

    def put(self, message: str) -> None:
        """Queue a message."""
        self.outbox.put(message)
        self._more.set()
        if self.outbox.is_full:
            self._full.set()

    def put_audio(self, message: str) -> bool:
        """Queue audio; returns whether older audio begins to be dropped."""
        begins = self.outbox.put_audio(message)
        self._more.set()
        return begins

    async def take(self) -> str:
        """Wait for the next message."""
        while (message := self.outbox.take()) is None:
            self._more.clear()
            self._idle.set()
            await self._more.wait()
        return message

    async def wait_full(self) -> None:
        """Wait until the queue of control messages is full: the client must go."""
        await self._full.wait()

    async def wait_idle(self) -> None:
        """Wait until nothing waits to be sent."""
        while len(self.outbox):
            self._idle.clear()
            await self._idle.wait()


class WebSocketServer:
    """Accepts clients inside ``async with``.

    Args:
        settings: see there.
        on_connect: a client is there.
        on_message: it sent a text message.
        on_disconnect: it is gone.
        pages: what GETs are answered with, by path. Those in ``secret_pages`` need the token, if there is one.
        secret_pages: paths of pages that tell more than whether the program is well.
    """

    def __init__(
        self,
        settings: WebSocketSettings,
        on_connect: Callable[[Client], None],
        on_message: Callable[[Client, str], None],
        on_disconnect: Callable[[Client], None],
        pages: Pages | None = None,
        secret_pages: tuple[str, ...] = ("/metrics",),
    ) -> None:
        self._settings = settings
        self._on_connect = on_connect
        self._on_message = on_message
        self._on_disconnect = on_disconnect
        self._pages = pages or {}
        self._secret_pages = secret_pages
        self._numbers = itertools.count(1)
        self._clients: dict[Client, ServerConnection] = {}
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        """Listen; ConfigError when that is not possible."""
        host, port = self._settings.bind
        try:
            self._server = await serve(
                self._handle,
                host,
                port,
                process_request=self._process_request,
                select_subprotocol=_select_subprotocol,
                compression=None,
                server_header="sipcore",
                ping_interval=PING_SECONDS,
                ping_timeout=PONG_SECONDS,
                close_timeout=CLOSE_SECONDS,
                max_size=LONGEST_MESSAGE,
                max_queue=self._settings.receive_queue,
                logger=wire,
            )
        except OSError as error:
            raise ConfigError(_explain(error, host, port)) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send what waits, and close all connections with 1001."""
        if self._server is not None:
            await self._send_the_rest()
            self._server.close()
            closed = asyncio.ensure_future(self._server.wait_closed())
            await asyncio.wait((closed,), timeout=CLOSE_SECONDS)
            for connection in self._clients.values():
                connection.transport.abort()
            await closed

    async def _send_the_rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS / 2):
                for client in list(self._clients):
                    await client.wait_idle()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are bound."""
        assert self._server is not None
        host, port = next(iter(self._server.sockets)).getsockname()[:2]
        return host, port

    # --- the handshake

    def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        if "Upgrade" not in request.headers:
            return self._page(request)
        refusal = self._settings.access.check(request.path, request.headers)
        if refusal is not None:
            logger.warning("WebSocket client %s refused with %d: %s", _peer(connection), refusal.status, refusal.reason)
            return _respond(Page(refusal.status, f"{refusal.reason}\n"))
        problem = _bad_query(request.path)
        if problem:
            return _respond(Page(400, f"{problem}\n"))
        if len(self._clients) >= self._settings.max_clients:
            logger.warning("WebSocket client %s refused with 503: websocket.max_clients are there", _peer(connection))
            return _respond(Page(503, "too many clients\n"))
        return None

    def _page(self, request: Request) -> Response:
        path, headers = request.path.partition("?")[0], request.headers
        page = self._pages.get(path)
        if page is None:
            return _respond(Page(404, "a WebSocket, or one of: " + " ".join(self._pages) + "\n"))
        access = self._settings.access
        refusal = access.check_host(headers) or access.check_token(request.path, headers)
        if path in self._secret_pages and refusal is not None:
            return _respond(Page(refusal.status, f"{refusal.reason}\n"))
        return _respond(page())

    # --- a connection

    async def _handle(self, connection: ServerConnection) -> None:
        client = self._client(connection)
        _tune(connection)
        logger.info(
            "WebSocket client %d connected from %s (version %d)", client.number, _peer(connection), client.version
        )
        self._clients[client] = connection
        tasks = [asyncio.create_task(work(connection, client)) for work in (self._write, self._close_when_full)]
        try:
            self._on_connect(client)
            await self._read(connection, client)
        except Exception:
            logger.exception("WebSocket client %d: closed, for a message of it failed", client.number)
            raise
        finally:
            del self._clients[client]
            for task in tasks:
                task.cancel()
            self._on_disconnect(client)
            await asyncio.wait(tasks)
            why = f"{connection.close_code or ''} {connection.close_reason or ''}".strip()
            lost = f"; {client.outbox.dropped} audio messages were dropped" if client.outbox.dropped else ""
            logger.info("WebSocket client %d is gone (%s)%s", client.number, why, lost)

    def _client(self, connection: ServerConnection) -> Client:
        assert connection.request is not None
        query = _query(connection.request.path)
        version = int(query.get("v", ["1"])[0])
        audio_format = cast("AudioFormat", query.get("audio", ["pcm"])[0])
        return Client(next(self._numbers), version, audio_format, self._settings.send_queue)

    async def _read(self, connection: ServerConnection, client: Client) -> None:
        with suppress(ConnectionClosed):
            async for message in connection:
                self._on_message(client, message if isinstance(message, str) else "")
                await asyncio.sleep(0)

    async def _write(self, connection: ServerConnection, client: Client) -> None:
        with suppress(ConnectionClosed):
            while True:
                await connection.send(await client.take())

    async def _close_when_full(self, connection: ServerConnection, client: Client) -> None:
        """Close with 1013; a client that takes not even that is cut off."""
        await client.wait_full()
        logger.warning("WebSocket client %d does not read: closed with 1013", client.number)
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await connection.close(TRY_AGAIN_LATER, "read faster")
        except TimeoutError:
            connection.transport.abort()


def _respond(page: Page) -> Response:
    body = page.body.encode()
    headers = Headers(
        {"Content-Type": page.content_type, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
    )
    if page.status == http.HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(page.status, http.HTTPStatus(page.status).phrase, headers, body)


def _select_subprotocol(connection: ServerConnection, offered: object) -> Subprotocol | None:
    """Confirm a token that came as a subprotocol: a browser closes the connection otherwise (RFC 6455 §4.1)."""
    del offered
    assert connection.request is not None
    names = offered_subprotocols(connection.request.headers)
    return next((Subprotocol(name) for name in names if name.startswith(BEARER)), None)


def _query(target: str) -> dict[str, list[str]]:
    return parse_qs(target.partition("?")[2])


def _bad_query(target: str) -> str:
    query = _query(target)
    if query.get("v", ["1"])[0] not in map(str, VERSIONS):
        return "?v= is 1 or 2"
    if query.get("audio", ["pcm"])[0] not in AUDIO_FORMATS:
        return f"?audio= is one of {', '.join(AUDIO_FORMATS)}"
    return ""


def _tune(connection: ServerConnection) -> None:
    """Keep little in the system's buffers, and notice a client whose machine is gone though nobody waits for a pong."""
    raw: socket.socket | None = connection.transport.get_extra_info("socket")
    if raw is None:
        return
    with suppress(OSError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * DEAD_SECONDS)


def _peer(connection: ServerConnection) -> str:
    address = connection.remote_address
    return f"{address[0]}:{address[1]}" if address else "?"


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"WS_PORT {port} is in use on {host}: stop the other program or choose another port"
    return f"WS_HOST {host} and WS_PORT {port} cannot be listened on: {error.strerror or error}"
