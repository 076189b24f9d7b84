"""How long an engine may keep a caller waiting."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import anyio


class Patience:
    """Gives engines up that do not go on.

    Args:
        seconds: how long one may take for its next piece of work.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._scope = anyio.CancelScope()

    @contextmanager
    def limit(self) -> Generator[None]:
        """Cancel the block when nothing goes on in it for so long.

        Raises:
            TimeoutError: that happened.
        """
        with anyio.CancelScope() as self._scope:
            self.renew()
            yield
        if self._scope.cancelled_caught:
            raise TimeoutError(f"an engine did nothing for {self._seconds:g} s")

    def renew(self) -> None:
        """Something went on."""
        self._scope.deadline = anyio.current_time() + self._seconds

    @contextmanager
    def suspended(self) -> Generator[None]:
        """What takes long in this block is no engine's fault: the caller speaks, or listens, or holds."""
        self._scope.deadline = float("inf")
        try:
            yield
        finally:
            self.renew()
