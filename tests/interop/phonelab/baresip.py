"""baresip, a real phone, without a sound card: it says a WAV file and records what it hears."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from phonelab import waves
from phonelab.lab import LOOPBACK, ROOT, Lab
from phonelab.program import Program, wait_until

CONFIG = ROOT / "tests" / "interop" / "baresip"
MODULE_FOLDERS = (
    "/usr/lib/baresip/modules",
    "/usr/lib/x86_64-linux-gnu/baresip/modules",
    "/usr/local/lib/baresip/modules",
)
G711 = "PCMU/8000/1,PCMA/8000/1"
ESTABLISHED = "Call established"


class Baresip(Program):
    """One baresip.

    Args:
        lab: where it runs.
        folder: for its configuration and what it hears.
        says: what it says on a call; when all is said, it hangs up.
        user: the user part of its address.
        dial: whom it calls at its start.
        answers: whether it answers at once; else it rings.
        codecs: what it speaks, in its order.
        seconds: after which it ends by itself.
    """

    def __init__(
        self,
        lab: Lab,
        folder: Path,
        says: waves.Samples,
        user: str = "alice",
        dial: str = "",
        answers: bool = False,
        codecs: str = G711,
        seconds: int = 60,
    ) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.lab = lab
        self.user = user
        self.sip_port = lab.ports(2)
        self._control_port = lab.ports(2)
        rtp = lab.ports(20)
        words = {
            "DIR": str(folder),
            "SIP_PORT": str(self.sip_port),
            "CONTROL_PORT": str(self._control_port),
            "RTP_FIRST": str(rtp),
            "RTP_LAST": str(rtp + 19),
            "MODULES": next(path for path in MODULE_FOLDERS if Path(path).is_dir()),
            "USER": user,
            "ANSWER": "auto" if answers else "manual",
            "CODECS": codecs,
        }
        for name in ("config", "accounts"):
            text = (CONFIG / name).read_text(encoding="utf-8")
            for word, value in words.items():
                text = text.replace(f"{{{word}}}", value)
            (folder / name).write_text(text, encoding="utf-8")
        (folder / "contacts").write_text("", encoding="utf-8")
        waves.write(folder / "said.wav", says)
        waves.write(folder / "alert.wav", waves.silence(0.2))
        command = ["baresip", "-f", str(folder), "-4", "-t", str(seconds), *(("-e", f"/dial {dial}") if dial else ())]
        super().__init__(lab, command, folder, "baresip")

    @property
    def uri(self) -> str:
        """What to dial."""
        return f"sip:{self.user}@{LOOPBACK}:{self.sip_port}"

    def wait_ready(self) -> Baresip:
        """Wait until it takes calls."""
        self.wait_for("baresip is ready")
        return self

    def wait_established(self, seconds: float = 10.0) -> Baresip:
        """Wait until its call is up."""
        self.wait_for(ESTABLISHED, seconds)
        return self

    def wait_call_over(self, seconds: float) -> Baresip:
        """Wait until its call has ended: the far end hung up, or it has said all that it had to say."""
        self.wait_for(r"terminated \(duration|session closed", seconds)
        return self

    def hang_up(self) -> None:
        """End the call, and the program: what it heard is then on the disk."""
        self.do("hangup")
        self.quit()

    def quit(self) -> None:
        """End the program."""
        self.do("quit")
        assert self.wait_end(5) == 0, self.log

    def do(self, command: str, parameters: str = "") -> list[dict[str, Any]]:
        """Give it a command over its control port; what it said meanwhile."""
        order: dict[str, str] = {"command": command, "params": parameters, "token": command}
        with self.lab.inside():
            control = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        with control:
            control.settimeout(5)
            control.connect((LOOPBACK, self._control_port))
            text = json.dumps(order).encode()
            control.sendall(b"%d:%b," % (len(text), text))
            received = b""
            while not any(message.get("token") == command for message in _messages(received)):
                more = control.recv(65536)
                if not more:
                    break
                received += more
        return _messages(received)

    def heard(self) -> waves.Samples:
        """What it heard, as its decoder made it."""
        found = wait_until(lambda: sorted(self.folder.glob("dump-*-dec.wav")), 2, "baresip's recording")
        assert len(found) == 1, found
        samples, rate = waves.read(found[0])
        assert rate == waves.RATE
        return samples


def _messages(received: bytes) -> Sequence[dict[str, Any]]:
    """Netstrings, each a JSON object."""
    found: list[dict[str, Any]] = []
    while b":" in received:
        length, rest = received.split(b":", 1)
        if len(rest) <= int(length):
            break
        found.append(json.loads(rest[: int(length)]))
        received = rest[int(length) + 1 :]
    return found
