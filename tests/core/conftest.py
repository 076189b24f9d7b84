"""A server with its WebSocket, phones and clients around it: real sockets on loopback."""

import base64
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

import anyio
import numpy as np
import pytest
from pydantic import BaseModel
from sipcore.app.config import load_settings
from sipcore.app.engines import Choice, Plan
from sipcore.app.phone import open_phone
from sipcore.app.server import open_server
from sipcore.audio.frame import AudioFrame
from sipcore.audio.tones import sine
from sipcore.call.switchboard import Switchboard
from sipcore.media.link import MediaEngine, MediaSettings
from sipcore.net.udp import SipEndpoint
from sipcore.plugins import Provider
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

HOST = "127.0.0.1"
SIP_PORT, WS_PORT = 26062, 26080
PATIENCE = 20.0


class Config(BaseModel):
    """No settings."""


class Conversation:
    """Talks by the function that it is made of."""

    def __init__(self, converse):
        self.converse = converse


class Wire:
    """A client that speaks the text protocol by hand."""

    def __init__(self, websocket):
        self.websocket = websocket
        self.events = []
        self.heard = bytearray()
        self.passed = []
        self._more = anyio.Event()

    async def read(self):
        with suppress(ConnectionClosed):
            async for message in self.websocket:
                self.passed.append(message)
                if message.startswith("RTP:"):
                    self.heard += base64.b64decode(message.partition("##")[2])
                else:
                    self.events.append(message)
                self._more.set()
                self._more = anyio.Event()

    async def send(self, message):
        await self.websocket.send(message)

    async def send_audio(self, call_id, audio, name="RTP"):
        await self.send(f"{name}:{call_id}##{base64.b64encode(audio).decode()}")

    async def next(self):
        """The next message that is no audio."""
        await self.settled(lambda: self.events)
        return self.events.pop(0)

    async def until(self, start):
        """The next message that starts so; those before it are passed over."""
        while not (message := await self.next()).startswith(start):
            pass
        return message

    async def settled(self, condition):
        with anyio.fail_after(PATIENCE):
            while not condition():
                with anyio.move_on_after(0.05):
                    await self._more.wait()


class Desk:
    """All that a test needs."""

    def __init__(self, server, phone, folder):
        self.server = server
        self.phone = phone
        self.folder = folder
        self.uri = f"sip:assistant@{HOST}:{SIP_PORT}"
        self.url = f"ws://{HOST}:{WS_PORT}"
        self.events = []
        self.ended = []

    @asynccontextmanager
    async def client(self, query="", **options):
        async with connect(f"{self.url}/{query}", **options) as websocket, anyio.create_task_group() as tasks:
            wire = Wire(websocket)
            tasks.start_soon(wire.read)
            yield wire
            tasks.cancel_scope.cancel()

    async def call(self, hold=None, **options):
        """Call the server; ``hold`` talks. What came of it is in `ended`."""
        try:
            async with self.phone.dial(self.uri, **options) as call:
                if hold is not None:
                    await hold(call)
                self.ended.append(await call.wait_over())
        except Exception as error:
            self.ended.append(error)

    async def settled(self, condition):
        with anyio.fail_after(PATIENCE):
            while not condition():
                await anyio.sleep(0.02)


@asynccontextmanager
async def open_desk(tmp_path, converse=None, **overrides):
    settings = load_settings(
        overrides={
            "SIP_LOCAL_IP": HOST,
            "SIP_LOCAL_PORT": SIP_PORT,
            "RTP_PORT_START": 26100,
            "RTP_PORT_END": 26179,
            "WS_PORT": WS_PORT,
            "CALL_ALLOW": ["sip:*@127.0.0.1:*"],
            "media": {"mode": "thread"},
            "recording": {"enabled": False},
            **overrides,
        },
        environ={},
        cwd=tmp_path,
    )
    plan = None
    if converse is not None:
        plan = Plan(settings.assistant[0])
        plan.choices["conversation"] = Choice(
            "conversation", Provider("mine", Config, partial(_opened, converse)), Config()
        )
    events = []
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(open_server(settings, plan, [events.append], websocket=True))
        phone = await stack.enter_async_context(open_phone(HOST, rtp_ports=(26200, 26279), mode="thread"))
        desk = Desk(server, phone, settings.output_dir)
        desk.events = events
        yield desk


@asynccontextmanager
async def _opened(converse, _config):
    yield Conversation(converse)


@pytest.fixture
def desk(tmp_path):
    """Open a server with a WebSocket and a phone: ``async with desk(...) as here``."""
    return partial(open_desk, tmp_path)


@pytest.fixture
def callee():
    """Open a phone that answers as the test says: ``async with callee(answer) as (uri, sent)``."""

    @asynccontextmanager
    async def opened(answer, first_port=26300):
        async with (
            SipEndpoint((HOST, 0)) as endpoint,
            MediaEngine(MediaSettings(HOST, first_port, first_port + 39, mode="thread")) as engine,
            Switchboard(endpoint, engine, HOST, answer),
        ):
            yield f"sip:bob@{HOST}:{endpoint.address[1]}"

    return opened


# --- audio


def tone(frequency=440, seconds=0.4):
    return AudioFrame.from_samples(sine(frequency, seconds, level=-6.0), 8000)


def pitch(pcm):
    """The frequency of the loudest tone in it, to 10 Hz; 0 for silence."""
    samples = np.frombuffer(bytes(pcm[: len(pcm) // 2 * 2]), "<i2").astype(float)
    loud = samples[np.abs(samples) > 500]
    if len(loud) < min(400, len(samples) / 2) or not len(loud):
        return 0
    spectrum = np.abs(np.fft.rfft(samples))
    return round(np.argmax(spectrum) * 8000 / len(samples), -1)
