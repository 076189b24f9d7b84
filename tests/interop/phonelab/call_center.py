"""``sipcore call-center`` in a scratch folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from phonelab.lab import SIPCORE, Lab
from phonelab.program import Program


class CallCenter(Program):
    """A call centre.

    Args:
        lab: where it runs.
        folder: its working folder; made.
        url: of the server.
        plugins: ``--plugins``; empty: the echo; None: all that are installed.
        env: settings.
        options: further options.
    """

    def __init__(
        self,
        lab: Lab,
        folder: Path,
        url: str,
        plugins: str | None = "",
        env: Mapping[str, str] | None = None,
        options: tuple[str, ...] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        chosen = () if plugins is None else ("--plugins", plugins)
        command = [str(SIPCORE), "call-center", "--url", url, *chosen, *options]
        super().__init__(lab, command, folder, "call-center", env)

    def wait_ready(self, seconds: float = 60.0) -> CallCenter:
        """Wait until it takes calls."""
        self.wait_for("Takes calls of", seconds)
        return self

    @property
    def took(self) -> int:
        """How many calls it took."""
        return len(self.lines("took the call"))
