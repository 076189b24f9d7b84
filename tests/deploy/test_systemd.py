"""The units of deploy/systemd."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = sorted((Path(__file__).parents[2] / "deploy" / "systemd").glob("*.service"))


def _lines(unit: Path) -> list[str]:
    return [line for line in unit.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def test_there_is_one_for_each_of_the_two_programs() -> None:
    commands = [line for unit in UNITS for line in _lines(unit) if line.startswith("ExecStart=")]
    assert commands == ["ExecStart=/opt/sipcore/bin/sipcore call-center", "ExecStart=/opt/sipcore/bin/sipcore serve"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_it_runs_as_a_user_without_rights_and_its_calls_outlive_sigterm(unit: Path) -> None:
    lines = _lines(unit)
    assert {"User=sipcore", "NoNewPrivileges=yes", "CapabilityBoundingSet=", "ProtectSystem=strict"} <= set(lines)
    assert {"KillMode=mixed", "Restart=on-failure", "WorkingDirectory=/var/lib/sipcore"} <= set(lines)


def test_the_media_engine_may_take_real_time_priority() -> None:
    serve = _lines(next(unit for unit in UNITS if unit.stem == "sipcore-serve"))
    assert "LimitRTPRIO=1" in serve and not any(line.startswith("RestrictRealtime") for line in serve)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_has_nothing_to_say_against_it(unit: Path, tmp_path: Path) -> None:
    """With a program and a user that there are here."""
    text = unit.read_text(encoding="utf-8").replace("/opt/sipcore/bin/sipcore", sys.executable)
    (tmp_path / unit.name).write_text(text.replace("=sipcore\n", "=root\n"))
    analyze = shutil.which("systemd-analyze")
    assert analyze, "systemd-analyze is missing: apt-get install systemd"
    done = subprocess.run([analyze, "verify", tmp_path / unit.name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
