"""The Dockerfile's stages, far enough to run their Python steps without Docker."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_MOUNT = re.compile(r"--mount=\S+\s+")


@dataclass(slots=True)
class Stage:
    """One ``FROM … AS name`` and the instructions below it, continued lines joined."""

    name: str
    parent: str
    steps: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def of(self, instruction: str) -> list[str]:
        """The arguments of each step of one kind."""
        return [rest for word, rest in self.steps if word == instruction]


def stages(text: str) -> dict[str, Stage]:
    """Read a Dockerfile's stages, by name."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    found: dict[str, Stage] = {}
    for line in re.sub(r"\\\n\s*", "", lines).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            parent, _, name = rest.split()
            found[name] = Stage(name, parent)
            current = found[name]
        elif word and found:
            current.steps.append((word, rest.strip()))
    return found


def ancestors(found: dict[str, Stage], name: str) -> list[Stage]:
    """A stage and those that it is built on, the lowest first."""
    stage = found[name]
    return [*(ancestors(found, stage.parent) if stage.parent in found else []), stage]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Carries out COPY and RUN of a chain of stages, with the image's folders below one of this machine.

    Args:
        root: stands for the image's ``/``.
        context: the build context.
        python: stands for the image's ``python``.
    """

    root: Path
    context: Path
    python: str

    def perform(self, chain: Sequence[Stage], arguments: dict[str, str]) -> None:
        """Carry out every step; one that fails raises CalledProcessError."""
        folder = self.root
        for stage in chain:
            for word, rest in stage.steps:
                if word == "WORKDIR":
                    folder = self._here(rest)
                    folder.mkdir(parents=True, exist_ok=True)
                elif word == "ARG":
                    name, _, default = rest.partition("=")
                    arguments.setdefault(name, default)
                elif word == "COPY":
                    self._copy(rest, folder)
                elif word == "RUN":
                    self._run(rest, folder, arguments)

    def _copy(self, rest: str, folder: Path) -> None:
        source, target = rest.split()
        path = self.context / source
        if path.is_dir():
            shutil.copytree(path, folder / target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(path, folder / target)

    def _run(self, rest: str, folder: Path, arguments: dict[str, str]) -> None:
        command = re.sub(r"(?<![\w.])/(?=(opt|wheels)\b)", f"{shlex.quote(str(self.root))}/", _MOUNT.sub("", rest))
        command = re.sub(r"\bpython (?=-m|\w+\.py)", f"{shlex.quote(self.python)} ", command)
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=folder,
            env={**os.environ, "PATH": f"{Path(self.python).parent}:{os.environ['PATH']}", **arguments},
            check=True,
        )

    def _here(self, path: str) -> Path:
        return self.root / path.lstrip("/")
