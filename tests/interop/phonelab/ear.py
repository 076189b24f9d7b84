"""Plain calls: each says something all the time and notes when the kernel saw each packet that came."""

from __future__ import annotations

import contextlib
import itertools
import selectors
import socket
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np

from phonelab import waves
from phonelab.lab import Lab
from phonelab.wire import Answer, Dialog, SipSocket, sdp

PACKET = 0.02
SAMPLES = 160
HEADER = struct.Struct("!BBHII")
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")
_BIAS, _CLIP = 0x84, 32635
_SILENCE = b"\xff" * SAMPLES


def ulaw(samples: waves.Samples) -> bytes:
    """µ-law bytes of 16-bit samples (ITU-T G.711 §3)."""
    signed = samples.astype(np.int32)
    size = np.minimum(np.abs(signed), _CLIP) + _BIAS
    exponent = np.floor(np.log2(size)).astype(np.int32) - 7
    mantissa = (size >> (exponent + 3)) & 0x0F
    return (~((np.where(signed < 0, 0x80, 0)) | (exponent << 4) | mantissa) & 0xFF).astype(np.uint8).tobytes()


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet as the kernel took it.

    Args:
        at: seconds since the epoch, by the kernel.
        sequence: of RTP.
        timestamp: of RTP.
        payload: its audio.
    """

    at: float
    sequence: int
    timestamp: int
    payload: bytes


@dataclass(slots=True)
class Gaps:
    """The time between one packet and the next, milliseconds, of many calls together."""

    milliseconds: list[float] = field(default_factory=list[float])

    def share(self, percent: float) -> float:
        """A percentile."""
        return float(np.percentile(self.milliseconds, percent))

    @property
    def longest(self) -> float:
        """The longest."""
        return max(self.milliseconds)

    def __str__(self) -> str:
        shown = ", ".join(f"p{percent:g} {self.share(percent):.1f}" for percent in (0.1, 1, 50, 99, 99.9))
        above = {limit: sum(gap > limit for gap in self.milliseconds) for limit in (25, 30, 40, 60)}
        return f"{len(self.milliseconds)} gaps: {shown}, max {self.longest:.1f} ms; " + ", ".join(
            f"{count} above {limit} ms" for limit, count in above.items()
        )


class Ear:
    """One plain call.

    Args:
        lab: where it is.
        server: whom it calls.
        says: what it says, over and over; None: silence.
        speak: whether it sends packets at all.
    """

    def __init__(
        self, lab: Lab, server: tuple[str, int], says: waves.Samples | None = None, speak: bool = True
    ) -> None:
        self.sip = SipSocket(lab, server)
        self.rtp = lab.udp_socket(lab.ports(2))
        self.rtp.setblocking(False)
        self.rtp.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.rtp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.port: int = self.rtp.getsockname()[1]
        self.packets: list[Packet] = []
        self.sent = 0
        self.answer: Answer | None = None
        self.dialog: Dialog = self.sip.dialog()
        self._speak = speak
        sound = ulaw(says) if says is not None else _SILENCE
        self._sound = sound[: len(sound) // SAMPLES * SAMPLES]
        self.far_end: tuple[str, int] | None = None

    def __enter__(self) -> Ear:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, seconds: float = 5.0) -> Answer:
        """Call; the final response. From 200 on it speaks when its `Ears` say so."""
        self.answer = self.dialog.call(sdp(self.port), seconds=seconds)
        if self.answer.status == 200:
            self.far_end = self.answer.rtp
        return self.answer

    def call_again(self) -> Answer:
        """After a refusal: a new call."""
        self.dialog = self.sip.dialog()
        return self.call()

    def hang_up(self) -> Answer:
        """BYE. A BYE of the far end that crosses it does not count as its answer."""
        return self.dialog.hang_up()

    def speak(self, payload_type: int = 0) -> None:
        """Send the next packet."""
        if self.far_end is None or not self._speak:
            return
        start = self.sent * SAMPLES % len(self._sound)
        marker = 0x80 if not self.sent else 0
        head = HEADER.pack(0x80, marker | payload_type, self.sent & 0xFFFF, self.sent * SAMPLES & 0xFFFFFFFF, self.port)
        with contextlib.suppress(OSError):
            self.rtp.sendto(head + self._sound[start : start + SAMPLES], self.far_end)
        self.sent += 1

    def hear(self) -> None:
        """Take all packets that are there."""
        while True:
            try:
                data, notes, _, _ = self.rtp.recvmsg(2048, 128)
            except BlockingIOError:
                return
            at = next((s + n / 1e9 for _, _, note in notes for s, n in [_TIMESPEC.unpack(note)]), time.time())
            _, _, sequence, timestamp, _ = HEADER.unpack_from(data)
            self.packets.append(Packet(at, sequence, timestamp, data[12:]))

    def gaps(self) -> list[float]:
        """Milliseconds from each packet to the next."""
        times = [packet.at for packet in self.packets]
        return [1000 * (b - a) for a, b in itertools.pairwise(times)]

    def lost(self) -> int:
        """How many packets are missing between the first and the last."""
        if not self.packets:
            return 0
        return ((self.packets[-1].sequence - self.packets[0].sequence) & 0xFFFF) + 1 - len(self.packets)

    def close(self) -> None:
        """Close the sockets."""
        self.rtp.close()
        self.sip.socket.close()


class Ears:
    """Many plain calls, spoken and listened to by one thread while the block runs."""

    def __init__(self, lab: Lab, server: tuple[str, int], count: int, says: waves.Samples | None = None) -> None:
        self.all: Sequence[Ear] = [Ear(lab, server, says) for _ in range(count)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ears")

    def __enter__(self) -> Ears:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(5)
        for ear in self.all:
            ear.close()

    def call(self) -> list[int]:
        """All call, one after the other; the statuses."""
        return [ear.call().status for ear in self.all]

    def hang_up(self) -> list[int]:
        """All hang up; the statuses."""
        return [ear.hang_up().status for ear in self.all if ear.far_end is not None]

    def gaps(self) -> Gaps:
        """Of all calls."""
        return Gaps([gap for ear in self.all for gap in ear.gaps()])

    def wait(self, seconds: float) -> None:
        """Listen for so long."""
        time.sleep(seconds)

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for ear in self.all:
                selector.register(ear.rtp, selectors.EVENT_READ, ear)
            due = time.monotonic()
            while not self._stop.is_set():
                for key, _ in selector.select(max(0.0, due - time.monotonic())):
                    key.data.hear()
                if time.monotonic() >= due:
                    for ear in self.all:
                        ear.speak()
                    due += PACKET
