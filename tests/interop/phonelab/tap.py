"""What passes on the wire: SIP as tshark sees it, and the messages of a WebSocket client, in one order."""

from __future__ import annotations

import re
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from websockets.sync.client import ClientConnection, connect

from phonelab.lab import LOOPBACK, Lab
from phonelab.program import wait_until

FIELDS = ("frame.time_epoch", "udp.srcport", "udp.dstport", "sip.Request-Line", "sip.Status-Line")


@dataclass(order=True)
class Passed:
    """One message: when, from whom to whom, what."""

    at: float
    way: str
    text: str = field(compare=False)


class SipTap:
    """tshark on a server's SIP port. What it saw is there when the block is left.

    Args:
        lab: where.
        folder: for its file.
        port: the server's.
    """

    def __init__(self, lab: Lab, folder: Path, port: int) -> None:
        self._file = folder / "sip.pcapng"
        self._log = folder / "tshark.log"
        self._port = port
        self._command = lab.command(["tshark", "-Q", "-i", "lo", "-f", f"udp port {port}", "-w", str(self._file), "-l"])
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> SipTap:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_until(lambda: self._file.exists() and self._file.stat().st_size > 0, 15, "tshark's file")
        time.sleep(0.5)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        time.sleep(0.5)
        self._process.terminate()
        self._process.wait(10)

    def passed(self) -> list[Passed]:
        """The SIP messages, requests by their method, responses by status and reason."""
        options = [option for name in FIELDS for option in ("-e", name)]
        command = ["tshark", "-r", str(self._file), "-Y", "sip", "-T", "fields", *options]
        command += ["-d", f"udp.port=={self._port},sip"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        rows = [line.split("\t") for line in done.stdout.splitlines()]
        return [
            Passed(
                float(at),
                "server → phone" if int(source) == self._port else "phone  → server",
                status.removeprefix("SIP/2.0 ") or request.split(" ")[0],
            )
            for at, source, _, request, status in rows
        ]


class Client:
    """A WebSocket client that remembers every message with its time.

    Args:
        lab: where.
        port: of the server.
        query: ``?v=2`` and the like.
    """

    def __init__(self, lab: Lab, port: int, query: str = "") -> None:
        self._stack = ExitStack()
        with lab.inside():
            url = f"ws://{LOOPBACK}:{port}/{query}"
            self._socket: ClientConnection = self._stack.enter_context(connect(url, compression=None, close_timeout=1))
        self.passed: list[Passed] = []

    def send(self, text: str) -> None:
        """Send a message."""
        self.passed.append(Passed(time.time(), "client → server", text))
        self._socket.send(text)

    def wait_for(self, pattern: str, seconds: float = 10.0) -> re.Match[str]:
        """Take messages until one matches."""
        end = time.monotonic() + seconds
        while True:
            text = self._socket.recv(timeout=max(0.01, end - time.monotonic()))
            assert isinstance(text, str)
            self.passed.append(Passed(time.time(), "server → client", text))
            found = re.fullmatch(pattern, text)
            if found is not None:
                return found

    def drop(self) -> None:
        """Lose the connection without a word."""
        self._socket.socket.close()

    def close(self) -> None:
        """End the connection."""
        self._stack.close()
