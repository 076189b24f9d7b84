"""What the end-to-end tests share: the program as a user runs it, and the demo's one call."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "interop"))

from phonelab.lab import SIPCORE
from phonelab.program import environment

DEMO_SECONDS = 240


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command came to."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, for programs."""
        return json.loads(self.out)


@pytest.fixture
def sipcore(tmp_path: Path) -> Callable[..., Ran]:
    """Run the command line in an empty folder, with no setting of the environment but those given."""

    def run(*arguments: str, env: dict[str, str] | None = None, seconds: float = 60) -> Ran:
        done = subprocess.run(
            [SIPCORE, *arguments],
            cwd=tmp_path,
            env=environment(env),
            capture_output=True,
            text=True,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    return run
