"""SIP over UDP: joins a user agent to a socket and the clock."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from types import TracebackType
from typing import Literal, Self, TypeAlias

from sipcore.errors import ConfigError, LocalProtocolError
from sipcore.sip.events import Event
from sipcore.sip.transaction import Address
from sipcore.sip.uri import Uri
from sipcore.sip.user_agent import UserAgent, UserAgentSettings

MessageObserver: TypeAlias = Callable[[Literal["in", "out"], bytes, Address], None]
"""Called with every datagram, before it is read or when it is sent; must be quick."""
Fields: TypeAlias = Iterable[tuple[str, str]]

MAX_PENDING_EVENTS = 4_096
"""Events that nobody took yet; above, datagrams are dropped, and their senders send them again (RFC 3261 §17)."""
RECEIVE_BUFFER = 4 * 1024 * 1024
"""Bytes that we ask the kernel to hold while the loop is busy."""

_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EMSGSIZE, errno.EACCES, errno.EPERM, errno.EINVAL}
_ERROR_QUEUE: int | None = getattr(socket, "MSG_ERRQUEUE", None)
_IP_RECVERR = 11
_IPV6_RECVERR = 25


class SipEndpoint:
    """A user agent on a UDP port, inside ``async with``.

    Args:
        bind: host and port to listen on; port 0 takes a free one.
        settings: who we are; its address stands in Via and Contact, where port 0 means the port that was bound. None:
            the bound address itself.
        on_message: sees every datagram, for logs and traces.
    """

    def __init__(
        self, bind: Address, settings: UserAgentSettings | None = None, *, on_message: MessageObserver | None = None
    ) -> None:
        self._bind = bind
        self._settings = settings or UserAgentSettings(bind)
        self._on_message = on_message
        self._events: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._is_closed = False
        self._agent: UserAgent | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sending_to: Address | None = None
        self._was_refused = False
        self._unreachable: list[Address] = []

    async def __aenter__(self) -> Self:
        """Bind the port; ConfigError when that is not possible."""
        self._loop = asyncio.get_running_loop()
        _check_advertised(self._settings.address[0])
        self._socket = _bind(self._bind)
        transport, _ = await self._loop.create_datagram_endpoint(lambda: _Protocol(self), sock=self._socket)
        self._transport = transport
        host, port = self._settings.address
        self._settings = replace(self._settings, address=(host, port or self.address[1]))
        self._agent = UserAgent(self._settings)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the port; events() ends."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.close()
        self._arrived.set()
        await asyncio.sleep(0)

    @property
    def address(self) -> Address:
        """Host and port that are bound."""
        if self._transport is None:
            raise LocalProtocolError("the endpoint is not open: enter it with `async with`")
        host, port = self._transport.get_extra_info("sockname")[:2]
        return host, port

    @property
    def agent(self) -> UserAgent:
        """The user agent, to look at; commands go through the endpoint."""
        if self._agent is None:
            raise LocalProtocolError("the endpoint is not open: enter it with `async with`")
        return self._agent

    async def events(self) -> AsyncIterator[Event]:
        """Return what happens, as it happens, until the endpoint closes. One reader only."""
        while True:
            while self._events:
                yield self._events.popleft()
            if self._is_closed:
                return
            self._arrived.clear()
            await self._arrived.wait()

    # --- commands, as UserAgent has them, with the time filled in ---------------------------------------------------

    def invite(
        self,
        target: Uri,
        *,
        caller: Uri | None = None,
        body: bytes,
        destination: Address,
        headers: Fields = (),
        call_id: str | None = None,
    ) -> str:
        """Call someone; see UserAgent.invite()."""
        session = self.agent.invite(
            target,
            now=self._now(),
            caller=caller,
            body=body,
            destination=destination,
            headers=headers,
            call_id=call_id,
        )
        self._flush()
        return session

    def cancel(self, session: str, reason: str = "") -> None:
        """Give an unanswered call of ours up; see UserAgent.cancel()."""
        self.agent.cancel(session, self._now(), reason)
        self._flush()

    def ring(self, session: str, status: int = 180, headers: Fields = ()) -> None:
        """Send a provisional response; see UserAgent.ring()."""
        self.agent.ring(session, self._now(), status, headers)
        self._flush()

    def answer(self, session: str, body: bytes, headers: Fields = ()) -> None:
        """Answer an invitation; see UserAgent.answer()."""
        self.agent.answer(session, body, self._now(), headers)
        self._flush()

    def reject(self, session: str, status: int, reason: str | None = None, headers: Fields = ()) -> None:
        """Refuse an invitation; see UserAgent.reject()."""
        self.agent.reject(session, status, self._now(), reason, headers)
        self._flush()

    def accept_offer(self, session: str, body: bytes, headers: Fields = ()) -> None:
        """Answer a re-INVITE or UPDATE; see UserAgent.accept_offer()."""
        self.agent.accept_offer(session, body, self._now(), headers)
        self._flush()

    def refuse_offer(self, session: str, status: int, headers: Fields = ()) -> None:
        """Refuse a re-INVITE or UPDATE; see UserAgent.refuse_offer()."""
        self.agent.refuse_offer(session, status, self._now(), headers)
        self._flush()

    def offer(self, session: str, body: bytes) -> None:
        """Send a re-INVITE; see UserAgent.offer()."""
        self.agent.offer(session, body, self._now())
        self._flush()

    def refer(self, session: str, target: Uri) -> None:
        """Ask the peer to call someone else; see UserAgent.refer()."""
        self.agent.refer(session, target, self._now())
        self._flush()

    def bye(self, session: str, reason: str = "") -> None:
        """Hang up; see UserAgent.bye()."""
        self.agent.bye(session, self._now(), reason)
        self._flush()

    # --- the socket's side ------------------------------------------------------------------------------------------

    def receive(self, data: bytes, source: Address) -> None:
        """Take a datagram from the socket."""
        if self._is_closed or self._agent is None or len(self._events) >= MAX_PENDING_EVENTS:
            return
        if self._on_message is not None:
            self._on_message("in", data, source)
        self._agent.receive_datagram(data, source, self._now())
        self._flush()

    def fail(self, error: OSError) -> None:
        """Take an error from the socket: what cannot be sent, or was returned by ICMP, has failed (RFC 3261 §18.4).

        The socket gives an ICMP error to whatever it does next, which may be the sending to another peer.
        """
        returned = [] if self._socket is None else _take_returned(self._socket)
        self._unreachable += returned
        if self._sending_to is None:
            if returned and self._agent is not None:
                self._flush()
        elif returned:
            self._was_refused = True
        elif error.errno in _UNREACHABLE:
            self._unreachable.append(self._sending_to)

    def _now(self) -> float:
        assert self._loop is not None
        return self._loop.time()

    def _flush(self) -> None:
        """Send what is to be sent, collect events, set the alarm."""
        self._send()
        while self._unreachable:
            self.agent.transport_failed(self._unreachable.pop(), self._now())
            self._send()
        while (event := self.agent.next_event()) is not None:
            self._events.append(event)
        if self._events:
            self._arrived.set()
        self._set_alarm()

    def _send(self) -> None:
        if self._transport is None or self._is_closed:
            return
        for datagram in self.agent.datagrams_to_send():
            if self._on_message is not None:
                self._on_message("out", datagram.data, datagram.destination)
            self._sending_to, self._was_refused = datagram.destination, False
            self._transport.sendto(datagram.data, datagram.destination)
            if self._was_refused:
                self._transport.sendto(datagram.data, datagram.destination)
            self._sending_to = None

    def _set_alarm(self) -> None:
        deadline = self.agent.next_timeout()
        if self._timer is not None:
            if self._timer.when() == deadline and not self._timer.cancelled():
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None and self._loop is not None and not self._is_closed:
            self._timer = self._loop.call_at(deadline, self._ring_alarm)

    def _ring_alarm(self) -> None:
        self._timer = None
        self.agent.handle_timeout(self._now())
        self._flush()


class _Protocol(asyncio.DatagramProtocol):
    """asyncio's view of an endpoint."""

    def __init__(self, endpoint: SipEndpoint) -> None:
        self._endpoint = endpoint

    def datagram_received(self, data: bytes, addr: tuple[str, int] | tuple[str, int, int, int]) -> None:
        self._endpoint.receive(data, (addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        if isinstance(exc, OSError):
            self._endpoint.fail(exc)


def _check_advertised(host: str) -> None:
    if host in ("0.0.0.0", "::", ""):  # noqa: S104  # refused here
        raise ConfigError(
            f"SIP_LOCAL_IP is {host or 'empty'}: phones need an address that they can answer to. "
            "Set it, or SIP_ADVERTISED_IP, to this machine's address."
        )


def _bind(address: Address) -> socket.socket:
    """Bind a UDP socket; ConfigError with a way out when that fails."""
    host, port = address
    udp = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    udp.settimeout(0)
    try:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        _report_icmp(udp)
        udp.bind(address)
    except OSError as error:
        udp.close()
        raise ConfigError(_explain(error, host, port)) from error
    return udp


def _report_icmp(udp: socket.socket) -> None:
    """Ask for ICMP errors (ip(7), IP_RECVERR), where the system has them."""
    if _ERROR_QUEUE is not None and udp.family == socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
    elif _ERROR_QUEUE is not None:
        udp.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)


def _take_returned(udp: socket.socket) -> list[Address]:
    """Return where the datagrams went that ICMP says never arrived, and empty the socket's error queue."""
    destinations: list[Address] = []
    while _ERROR_QUEUE is not None:
        try:
            _, _, _, address = udp.recvmsg(0, 0, _ERROR_QUEUE)
        except OSError:
            break
        if address:
            destinations.append((address[0], address[1]))
    return destinations


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"SIP_LOCAL_PORT {port} is in use on {host}: "
            f"stop the other program or choose another port (find it with: lsof -i :{port})"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"SIP_LOCAL_IP {host} is no address of this machine: set it to one of those that `ip address` shows"
    if error.errno == errno.EACCES:
        return f"SIP_LOCAL_PORT {port} is for the administrator alone: choose a port above 1023"
    return f"SIP_LOCAL_IP {host} and SIP_LOCAL_PORT {port} cannot be bound: {error.strerror or error}"
