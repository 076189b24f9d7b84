"""sipp: many calls by a scenario, counted."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from phonelab import waves
from phonelab.ear import ulaw
from phonelab.lab import LOOPBACK, ROOT, Lab
from phonelab.program import Program

SCENARIOS = ROOT / "tests" / "interop" / "scenarios"


@dataclass(frozen=True, slots=True)
class Counted:
    """What sipp counted.

    Args:
        status: its exit status; 0: every call went by the scenario.
        successful: calls that did.
        failed: calls that did not.
        retransmissions: requests that it sent again.
        times: the scenario's own timers: name to mean milliseconds.
    """

    status: int
    successful: int
    failed: int
    retransmissions: int
    times: dict[str, float]

    def __str__(self) -> str:
        times = "".join(f", {name} {mean:.1f} ms" for name, mean in self.times.items())
        return f"{self.successful} calls good, {self.failed} failed, {self.retransmissions} retransmissions{times}"


class Sipp(Program):
    """One run of sipp. All its calls send and take audio at one port; what they hear is not looked at.

    Args:
        lab: where it runs.
        folder: for its files.
        server: whom it calls.
        scenario: the scenario's name.
        calls: how many in all.
        rate: calls a second.
        talk: seconds of each call.
        together: how many at once, at most.
        audio: whether it sends any.
        options: further options.
    """

    def __init__(
        self,
        lab: Lab,
        folder: Path,
        server: tuple[str, int],
        scenario: str,
        calls: int,
        rate: float,
        talk: float = 3.0,
        together: int = 0,
        audio: bool = True,
        options: Sequence[str] = (),
    ) -> None:
        folder.mkdir(parents=True)
        sound = folder / "sound.ul"
        sound.write_bytes(ulaw(waves.voice("alice")))
        steps = folder / f"{scenario}.xml"
        text = (SCENARIOS / steps.name).read_text(encoding="utf-8")
        if not audio:
            text = re.sub(r"<nop>.*</nop>", "", text, flags=re.DOTALL)
        steps.write_text(text.replace("{SOUND}", str(sound)), encoding="utf-8")
        self._statistics = folder / "statistics.csv"
        at_once = together or round(rate * (talk + 2)) + 2
        command = [
            "sipp", f"{server[0]}:{server[1]}", "-sf", str(steps), "-s", "assistant", "-i", LOOPBACK,
            "-p", str(lab.ports(2)), "-mi", LOOPBACK, "-mp", str(lab.ports(4)), "-cp", str(lab.ports(2)),
            "-m", str(calls), "-r", f"{rate:g}", "-l", str(at_once), "-d", str(round(talk * 1000)), "-nostdin",
            "-trace_stat", "-stf", str(self._statistics), "-fd", "1", "-trace_err",
            "-error_file", str(folder / "errors.log"), "-timeout", "120s", "-timeout_error",
            *options,
        ]  # fmt: skip
        self.errors_file = folder / "errors.log"
        super().__init__(lab, command, folder, "sipp")

    @property
    def errors(self) -> str:
        """What went against the scenario."""
        return self.errors_file.read_text(encoding="utf-8", errors="replace") if self.errors_file.exists() else ""

    def counted(self, seconds: float) -> Counted:
        """Wait for its end and count."""
        status = self.wait_end(seconds)
        with self._statistics.open(encoding="utf-8") as lines:
            last = list(csv.DictReader(lines, delimiter=";"))[-1]
        times = {
            name.removeprefix("ResponseTime").removesuffix("(C)"): _milliseconds(value)
            for name, value in last.items()
            if name and name.startswith("ResponseTime") and name.endswith("(C)") and "StDev" not in name
        }
        return Counted(
            status, int(last["SuccessfulCall(C)"]), int(last["FailedCall(C)"]), int(last["Retransmissions(C)"]), times
        )


class SippPhone(Program):
    """One sipp that is called once, checks what it gets, and sends the audio back.

    Args:
        lab: where it runs.
        folder: for its files.
        scenario: the scenario's name.
    """

    def __init__(self, lab: Lab, folder: Path, scenario: str) -> None:
        folder.mkdir(parents=True)
        port = lab.ports(2)
        self.uri = f"sip:sipp@{LOOPBACK}:{port}"
        self._errors_file = folder / "errors.log"
        command = [
            "sipp", "-sf", str(SCENARIOS / f"{scenario}.xml"), "-i", LOOPBACK, "-p", str(port), "-mi", LOOPBACK,
            "-mp", str(lab.ports(4)), "-cp", str(lab.ports(2)), "-m", "1", "-nostdin", "-trace_err",
            "-rtp_echo", "-error_file", str(self._errors_file), "-timeout", "40s", "-timeout_error",
        ]  # fmt: skip
        super().__init__(lab, command, folder, "sipp")

    @property
    def errors(self) -> str:
        """What went against the scenario."""
        return self._errors_file.read_text(encoding="utf-8", errors="replace") if self._errors_file.exists() else ""


def _milliseconds(text: str) -> float:
    """Of ``hours:minutes:seconds:microseconds``."""
    hours, minutes, secs, micros = text.replace(".", ":").split(":")
    return 1000 * (3600 * int(hours) + 60 * int(minutes) + int(secs)) + int(micros) / 1000
