"""A small phone for the terminal: it calls, plays, listens and hangs up."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio

from sipcore import __version__
from sipcore.app.destinations import resolve
from sipcore.call.call import Call
from sipcore.call.switchboard import Switchboard
from sipcore.errors import CallFailedError, ConfigError, RemoteProtocolError
from sipcore.media.link import MediaEngine, MediaSettings
from sipcore.net.udp import SipEndpoint
from sipcore.sip.uri import Uri
from sipcore.sip.user_agent import UserAgentSettings

RTP_PORTS = (20000, 20998)
"""Where the phone's audio comes from: below the ports that the system gives out by itself."""


class Phone:
    """Makes calls from this machine. Made by `open_phone`."""

    def __init__(self, switchboard: Switchboard, user: str, address: str) -> None:
        self._switchboard = switchboard
        self._caller = Uri.parse(f"sip:{user}@{address}")

    @asynccontextmanager
    async def dial(
        self, number: str, timeout: float = 60.0, on_ringing: Callable[[int], None] = lambda _: None
    ) -> AsyncGenerator[Call, None]:
        """Call a SIP URI (``sip:bob@host:5062``); leaving the block hangs up.

        Raises:
            CallFailedError: refused, unreachable, or 408 after ``timeout`` seconds.
            MediaError: there is no free port, or no media engine.
            ConfigError: not a URI that can be called.
        """
        target = parse_target(number)
        destination = await resolve(target)
        async with AsyncExitStack() as stack:
            try:
                with anyio.fail_after(timeout):
                    call = await stack.enter_async_context(
                        self._switchboard.dial(target, destination, caller=self._caller, on_ringing=on_ringing)
                    )
            except TimeoutError as error:
                raise CallFailedError(408, f"no answer within {timeout:g} s") from error
            yield call


@asynccontextmanager
async def open_phone(
    address: str, user: str = "phone", rtp_ports: tuple[int, int] = RTP_PORTS, mode: str = "process"
) -> AsyncGenerator[Phone, None]:
    """Start a phone on a free port of ``address``; leaving the block hangs up and ends it."""
    media = MediaSettings(
        address=address,
        rtp_port_start=rtp_ports[0],
        rtp_port_end=rtp_ports[1],
        mode="thread" if mode == "thread" else "process",
    )
    agent = UserAgentSettings(address=(address, 0), user=user, product=f"sipcore/{__version__}")
    async with (
        SipEndpoint((address, 0), agent) as endpoint,
        MediaEngine(media) as engine,
        Switchboard(endpoint, engine, address) as switchboard,
    ):
        yield Phone(switchboard, user, f"{address}:{endpoint.address[1]}")


def parse_target(number: str) -> Uri:
    """The URI of ``sip:user@host:port``; ``user@host`` will do.

    Raises:
        ConfigError: it is neither.
    """
    text = number if re.match(r"^[a-z]+:", number, re.IGNORECASE) else f"sip:{number}"
    try:
        uri = Uri.parse(text)
    except RemoteProtocolError as error:
        raise ConfigError(
            f"{number} cannot be called: {error}. Expected something like sip:bob@192.168.1.10"
        ) from error
    if uri.scheme != "sip" or not uri.host:
        raise ConfigError(f"{number} cannot be called: expected: sip:bob@192.168.1.10")
    return uri
