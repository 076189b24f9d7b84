"""``sipcore run`` in a scratch folder, started, watched and stopped as a user would."""

from __future__ import annotations

import re
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from phonelab.lab import LOOPBACK, SIPCORE, Lab
from phonelab.program import Holdings, Program, alive, children, command_line, holdings, wait_until

PORTS_A_CALL = 4


class Server(Program):
    """The server on loopback.

    Args:
        lab: where it runs.
        folder: its working folder, with ``recording`` and ``output`` in it.
        calls: how many calls its RTP ports have room for.
        plugins: ``--plugins``; empty: the echo answers; None: all that are installed.
        serve: ``sipcore serve``, which has no plugins: clients of the WebSocket hold the calls.
        greeting: a WAV file to play when a call is answered.
        env: further settings.
        options: further options of ``sipcore run``.
        prefix: a command that runs the server, such as ``unshare -m``.
        sip_port: of SIP; None: a free one.
        name: of the log file.
    """

    def __init__(
        self,
        lab: Lab,
        folder: Path,
        calls: int = 4,
        plugins: str | None = "",
        serve: bool = False,
        greeting: Path | None = None,
        env: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        prefix: Sequence[str] = (),
        sip_port: int | None = None,
        name: str = "server",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.sip_port = sip_port or lab.ports(2)
        self.ws_port = lab.ports(2)
        self.rtp_port = lab.ports(calls * PORTS_A_CALL)
        self.recordings = folder / "recording"
        self.output = folder / "output"
        if greeting is not None:
            (self.output / "transcode").mkdir(parents=True, exist_ok=True)
            shutil.copy(greeting, self.output / "transcode" / "greeting.wav")
        settings = {
            "SIP_LOCAL_IP": LOOPBACK,
            "SIP_LOCAL_PORT": str(self.sip_port),
            "WS_PORT": str(self.ws_port),
            "RTP_PORT_START": str(self.rtp_port),
            "RTP_PORT_END": str(self.rtp_port + calls * PORTS_A_CALL - 1),
            "RECORDING_DIR": str(self.recordings),
            "OUTPUT_DIR": str(self.output),
            **(env or {}),
        }
        chosen = () if plugins is None else ("--plugins", plugins)
        what = ("serve",) if serve else ("run", *chosen)
        command = [*prefix, str(SIPCORE), *what, *options]
        super().__init__(lab, command, folder, name, settings)

    @property
    def address(self) -> tuple[str, int]:
        """Where it takes SIP."""
        return LOOPBACK, self.sip_port

    @property
    def uri(self) -> str:
        """What to dial."""
        return f"sip:assistant@{LOOPBACK}:{self.sip_port}"

    @property
    def url(self) -> str:
        """Its WebSocket."""
        return f"ws://{LOOPBACK}:{self.ws_port}"

    def wait_ready(self, seconds: float = 20.0) -> Server:
        """Wait until it says how to call it."""
        self.wait_for(re.escape(f"Call it:       {self.uri}"), seconds)
        return self

    def stop(self, seconds: float = 10.0) -> None:
        """SIGTERM: it must end by itself with status 0, with no traceback in its log and no process left behind."""
        family = self.family()
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        status = self.wait_end(seconds)
        print(f"stopped after {time.monotonic() - started:.2f} s")
        assert status == 0, f"ended with {status}:\n{self.log[-4000:]}"
        assert "Traceback" not in self.log, self.log[-8000:]
        wait_until(lambda: not any(map(alive, family[1:])), 2.0, f"the end of its processes {family}")

    def family(self) -> list[int]:
        """The ids of the server and all its descendants."""
        found = [self.pid]
        for pid in found:
            found.extend(children(pid))
        return found

    def engine(self) -> int:
        """The id of the media engine's process."""
        made = [pid for pid in children(self.pid) if "resource_tracker" not in command_line(pid)]
        assert len(made) == 1, [command_line(pid) for pid in made]
        return made[0]

    def holdings(self) -> dict[str, Holdings]:
        """What the server and its media engine hold."""
        return {"server": holdings(self.pid), "engine": holdings(self.engine())}

    def wavs(self) -> list[Path]:
        """Its recordings, oldest first."""
        return sorted(self.recordings.glob("*.wav"), key=lambda path: path.stat().st_mtime_ns)

    def wait_calls_over(self, count: int, seconds: float = 10.0) -> None:
        """Wait until ``count`` calls have ended in all."""
        self.wait_for("call ended: ", seconds, count)
