"""The core's own conversation: it says back what the caller says. A first call needs nothing else."""

from __future__ import annotations

from sipcore.audio.frame import AudioFrame
from sipcore.plugins.interfaces import CallHandle


class Echo:
    """Plays the greeting, if there is one, and then the caller's own voice.

    Args:
        greeting: audio at the call's rate to open with.
    """

    def __init__(self, greeting: AudioFrame | None = None) -> None:
        self._greeting = greeting

    async def converse(self, call: CallHandle) -> None:
        """Echo until the caller hangs up."""
        if self._greeting is not None:
            await call.played(await call.play(self._greeting))
        async with call.audio() as frames:
            async for frame in frames:
                await call.play(frame)
