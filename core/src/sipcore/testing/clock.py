"""Virtual time: an event loop whose clock jumps to the next deadline instead of waiting for it."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class _Leap(selectors.SelectSelector):
    """A selector that never waits: it reports how long it would have."""

    def __init__(self) -> None:
        super().__init__()
        self.leapt = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.leapt += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop in virtual time; for tests that touch neither sockets nor threads.

    With pytest: ``anyio_backend`` returns ``("asyncio", {"loop_factory": VirtualTimeLoop})``.
    """

    def __init__(self, *_: Any) -> None:
        self._leap = _Leap()
        super().__init__(self._leap)

    def time(self) -> float:
        """Seconds since the loop was made, as its timers see them."""
        return self._leap.leapt
