"""What the tests of calls share: two ends of one call, and a phone that a test scripts."""

from contextlib import asynccontextmanager

import anyio
import pytest
from sipcore.call.switchboard import Switchboard
from sipcore.media.link import MediaEngine, MediaSettings
from sipcore.net.udp import SipEndpoint
from sipcore.sip.parser import parse_message
from sipcore.sip.uri import Uri

HOST = "127.0.0.1"


@asynccontextmanager
async def board(first_port, answer=None, silence=60.0):
    settings = MediaSettings(HOST, first_port, first_port + 39, mode="thread", silence_seconds=silence)
    sent = []

    def trace(way, data, _):
        sent.append((way, data.decode()))

    async with (
        SipEndpoint((HOST, 0), on_message=trace) as endpoint,
        MediaEngine(settings) as engine,
        Switchboard(endpoint, engine, HOST, answer) as made,
    ):
        yield made, endpoint, sent


@asynccontextmanager
async def connected(silence=60.0):
    """Two calls: the two ends of one; and what the dialling end sent and received."""
    calls = []

    async def answer(invitation):
        async with invitation.answer() as call:
            calls.append(call)
            await call.wait_over()

    async with board(24000, answer) as (_, server, _), board(24100, silence=silence) as (phone, _, sent):
        uri = Uri.parse(f"sip:assistant@{HOST}:{server.address[1]}")
        async with phone.dial(uri, server.address) as call:
            with anyio.fail_after(2):
                while not calls:
                    await anyio.sleep(0.01)
            yield call, calls[0], sent


class Scripted:
    """A phone of datagrams that answers our re-INVITEs as a test says."""

    def __init__(self, udp):
        self.udp = udp
        self.port = udp.extra(anyio.abc.SocketAttribute.local_port)
        self.address = (HOST, self.port)
        self.number = 0

    def sdp(self, direction="sendrecv", codec=0):
        head = f"v=0\r\no=s 1 1 IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {HOST}\r\nt=0 0\r\n"
        return f"{head}m=audio 4000 RTP/AVP {codec}\r\na={direction}\r\n"

    async def receive(self, method):
        """The next request of that method, parsed."""
        with anyio.fail_after(5):
            async for data, server in self.udp:
                self.server = server
                message = parse_message(data)
                if getattr(message, "method", "") == method:
                    return message
        raise AssertionError

    async def answer(self, request, line, body=""):
        kept = "".join(f"{name}: {request.headers.get(name)}\r\n" for name in ("Via", "From", "Call-ID", "CSeq"))
        to = str(request.to) if request.to.tag else f"{request.to};tag=scripted"
        self.local, self.remote, self.call_id = to, str(request.from_), request.call_id
        kind = "Content-Type: application/sdp\r\n" if body else ""
        contact = f"Contact: <sip:s@{HOST}:{self.port}>\r\n"
        text = f"SIP/2.0 {line}\r\n{kept}To: {to}\r\n{contact}{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        await self.udp.sendto(text.encode(), *self.server)

    async def send(self, method, body="", extra=""):
        self.number += 1
        text = (
            f"{method} sip:sipcore@{HOST} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {HOST}:{self.port};branch=z9hG4bK{self.number}\r\n"
            f"Max-Forwards: 70\r\nFrom: {self.local}\r\nTo: {self.remote}\r\nCall-ID: {self.call_id}\r\n"
            f"CSeq: {self.number} {method}\r\nContact: <sip:s@{HOST}:{self.port}>\r\n{extra}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        await self.udp.sendto(text.encode(), *self.server)

    async def response(self):
        """The next final response, parsed."""
        with anyio.fail_after(3):
            async for data, _ in self.udp:
                message = parse_message(data)
                if getattr(message, "status", 0) >= 200:
                    return message
        raise AssertionError


@asynccontextmanager
async def dialled():
    """A call to a scripted phone."""
    async with board(24200) as (phone, _, _), await anyio.create_udp_socket(local_host=HOST) as udp:
        far = Scripted(udp)
        dialling = phone.dial(Uri.parse(f"sip:s@{HOST}:{far.port}"), far.address)
        async with anyio.create_task_group() as tasks:

            async def pick_up():
                await far.answer(await far.receive("INVITE"), "200 OK", far.sdp())

            tasks.start_soon(pick_up)
            call = await dialling.__aenter__()
        try:
            yield call, far
        finally:
            await dialling.__aexit__(None, None, None)


@pytest.fixture
def talk():
    """Enter ``talk()`` for a call that is up."""
    return connected


@pytest.fixture
def scripted():
    """Enter ``scripted()`` for a call to a scripted phone."""
    return dialled
