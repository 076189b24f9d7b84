"""A laboratory: a loopback of its own (a network namespace) where a test's programs meet and no port ever clashes."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[3]
"""The repository."""
SHARED = ROOT.parent / "shared"
"""Material that is not part of the project; tests fall back on sounds of their own without it."""
SIPCORE = Path(sys.executable).parent / "sipcore"
LOOPBACK = "127.0.0.1"

_NETNS_FOLDER = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_FIRST_PORT = 11000


class Lab:
    """A network namespace with loopback up. Where none may be made: the machine's own loopback, and free ports."""

    def __init__(self) -> None:
        self.name = ""
        self._next_port = _FIRST_PORT

    def __enter__(self) -> Lab:
        name = f"sipcore-{os.getpid()}"
        try:
            _ip("netns", "add", name)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"no network namespace ({error}): the machine's own loopback is used")
            return self
        self.name = name
        _ip("-n", name, "link", "set", "lo", "up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.name:
            _ip("netns", "del", self.name)

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Return the command line that runs a program here; the program keeps the process id."""
        return ["ip", "netns", "exec", self.name, *arguments] if self.name else list(arguments)

    @contextmanager
    def inside(self) -> Generator[None]:
        """Sockets that this thread makes within the block belong to the laboratory, for as long as they live."""
        if not self.name:
            yield
            return
        with Path("/proc/thread-self/ns/net").open() as home, (_NETNS_FOLDER / self.name).open() as here:
            _setns(here.fileno())
            try:
                yield
            finally:
                _setns(home.fileno())

    def udp_socket(self, port: int = 0, host: str = LOOPBACK) -> socket.socket:
        """A bound UDP socket of the laboratory."""
        with self.inside():
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((host, port))
        return made

    def ports(self, count: int) -> int:
        """The first of ``count`` neighbouring ports that nobody uses; it is even. None is given out twice."""
        count += count % 2
        while True:
            first = self._next_port
            self._next_port = first + count
            if self._next_port > 65000:
                self._next_port = _FIRST_PORT
            if self.name or self._free(range(first, first + count)):
                return first

    def _free(self, ports: range) -> bool:
        for port in ports:
            try:
                self.udp_socket(port).close()
            except OSError:
                return False
        return True

    def udp_counters(self) -> dict[str, int]:
        """The kernel's UDP counters of this loopback: InDatagrams, NoPorts, RcvbufErrors …"""
        with self.inside():
            text = Path("/proc/thread-self/net/snmp").read_text(encoding="ascii")
        heads, values = (line.split()[1:] for line in text.splitlines() if line.startswith("Udp:"))
        return dict(zip(heads, map(int, values), strict=True))


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def _setns(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns failed")
