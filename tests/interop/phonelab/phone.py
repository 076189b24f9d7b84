"""``sipcore call`` in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from phonelab.lab import SIPCORE, Lab
from phonelab.program import Program


class Phone(Program):
    """One ``sipcore call``.

    Args:
        lab: where it runs.
        folder: its working folder; made.
        target: whom it calls.
        options: its further options.
        env: settings.
    """

    def __init__(
        self, lab: Lab, folder: Path, target: str, *options: str, env: Mapping[str, str] | None = None
    ) -> None:
        folder.mkdir(parents=True)
        super().__init__(lab, [str(SIPCORE), "call", target, *options], folder, "phone", env)
