"""A program under test: its output in a file, waited for, stopped by its process id."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from phonelab.lab import Lab

T = TypeVar("T")
_ECHO = re.compile(r"\x1b\[[0-9;]*m|^/.*\n|^\n?\[\d:\d\d:\d\d\] audio=.*\n", re.MULTILINE)
"""What baresip prints for the eye: colours, the command that is being typed, bit rates."""


def wait_until(check: Callable[[], T], seconds: float, what: str) -> T:
    """Poll until ``check`` returns something true, and return that.

    Raises:
        AssertionError: it did not within ``seconds``.
    """
    end = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a program needs of this process's environment, and nothing of its user's settings."""
    kept = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL", "XDG_CACHE_HOME") if name in os.environ
    }
    return {"TERM": "dumb", "COLUMNS": "200", **kept, **(extra or {})}


class Program:
    """A running program. Leaving the block ends it, by its id alone.

    Args:
        lab: where it runs.
        arguments: its command line.
        folder: its working folder; ``<name>.log`` in it gets standard output and error.
        name: for the log.
        env: settings in its environment.
    """

    def __init__(
        self, lab: Lab, arguments: Sequence[str], folder: Path, name: str, env: Mapping[str, str] | None = None
    ) -> None:
        self.log_file = folder / f"{name}.log"
        self._command = lab.command(arguments)
        self._folder = folder
        self._env = environment(env)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self):
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.status is None:
            self.kill()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process."""
        assert self._process is not None, "not started"
        return self._process

    @property
    def pid(self) -> int:
        """Its id."""
        return self.process.pid

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self.process.poll()

    @property
    def log(self) -> str:
        """All that it printed."""
        return _ECHO.sub("", self.log_file.read_text(encoding="utf-8", errors="replace"))

    def lines(self, part: str) -> list[str]:
        """The lines that hold ``part``."""
        return [line for line in self.log.splitlines() if part in line]

    def wait_for(self, text: str, seconds: float = 10.0, count: int = 1) -> None:
        """Wait until ``text`` (a regular expression) was printed ``count`` times.

        Raises:
            AssertionError: it was not, or the program ended before.
        """

        def printed() -> bool:
            ended = self.status is not None
            if len(re.findall(text, self.log)) >= count:
                return True
            assert not ended, f"ended with {self.status} before it said {text!r}:\n{self.log}"
            return False

        try:
            wait_until(printed, seconds, repr(text))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log[-4000:]}") from None

    def wait_end(self, seconds: float) -> int:
        """Wait for its end; its exit status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds:g} s:\n{self.log[-4000:]}") from None

    def terminate(self, seconds: float = 10.0) -> int:
        """SIGTERM; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait_end(seconds)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.process.kill()
        self.process.wait(10)


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a process holds of the machine."""

    descriptors: int
    threads: int
    children: int
    memory: int

    def __str__(self) -> str:
        return f"{self.descriptors} fds, {self.threads} threads, {self.children} children, {self.memory // 1024} KiB"


def children(pid: int) -> list[int]:
    """The ids of a process's children."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found.extend(int(child) for child in (task / "children").read_text(encoding="ascii").split())
    return sorted(found)


def holdings(pid: int) -> Holdings:
    """Count descriptors, threads, children, and resident bytes without what is shared."""
    status = dict(
        line.split(":", 1)
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        if ":" in line
    )
    return Holdings(
        descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        threads=int(status["Threads"]),
        children=len(children(pid)),
        memory=int(status["RssAnon"].split()[0]) * 1024,
    )


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has had so far, its threads' too."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def command_line(pid: int) -> str:
    """How a process was started."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
