"""A phone of sockets, for the engine's tests."""

import itertools
import socket
import struct
import time

import anyio
import numpy as np
import pytest
from sipcore.audio.g711 import PCMA_DECODING, PCMA_ENCODING, PCMU_DECODING, PCMU_ENCODING
from sipcore.media.link import MediaSettings
from sipcore.rtp.packet import RtpPacket

ENCODING = {0: PCMU_ENCODING, 8: PCMA_ENCODING}
DECODING = {0: PCMU_DECODING, 8: PCMA_DECODING}
_BASES = itertools.count(42000, 40)


class Phone:
    """An RTP peer on loopback that keeps all it hears."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.settimeout(0.0)
        self.address = self.socket.getsockname()
        self.sequence = 65500
        self.timestamp = 0xFFFFFF00
        self.ssrc = 7
        self.heard: list[RtpPacket] = []
        self.times: list[float] = []

    def send(self, port: int, payload: bytes = b"\x80" * 160, *, kind: int = 0, marker: bool = False) -> None:
        header = struct.pack("!BBHII", 0x80, marker << 7 | kind, self.sequence, self.timestamp, self.ssrc)
        self.socket.sendto(header + payload, ("127.0.0.1", port))
        self.sequence = self.sequence + 1 & 0xFFFF
        self.timestamp = self.timestamp + 160 & 0xFFFFFFFF

    def listen(self) -> None:
        while True:
            try:
                data = self.socket.recv(2000)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                continue
            self.heard.append(RtpPacket.parse(data))
            self.times.append(time.monotonic())

    async def talk(self, port: int, pcm: np.ndarray, kind: int = 0) -> None:
        """Say all of ``pcm`` on a 20 ms clock, and listen meanwhile."""
        start = time.monotonic()
        for number, at in enumerate(range(0, len(pcm) - 159, 160)):
            await anyio.sleep(max(0.0, start + number * 0.02 - time.monotonic()))
            self.send(port, ENCODING[kind][pcm[at : at + 160].view(np.uint16)].tobytes(), kind=kind)
            self.listen()

    async def listen_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.listen()
            await anyio.sleep(0.005)
        self.listen()

    def pcm(self, kind: int = 0) -> np.ndarray:
        """What was heard of one payload type, end to end."""
        parts = [np.frombuffer(packet.payload, np.uint8) for packet in self.heard if packet.payload_type == kind]
        return DECODING[kind][np.concatenate(parts)]


@pytest.fixture
def phone():
    made = Phone()
    yield made
    made.socket.close()


@pytest.fixture
def stranger():
    made = Phone("127.0.0.9")
    yield made
    made.socket.close()


@pytest.fixture
def ports() -> int:
    """The first port of a range that no other test uses."""
    return next(_BASES)


@pytest.fixture(params=["process", "thread"])
def media(request, ports) -> MediaSettings:
    """Settings with three pairs of ports, for an engine of each kind."""
    return MediaSettings(rtp_port_start=ports, rtp_port_end=ports + 10, mode=request.param)
