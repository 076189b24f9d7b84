"""Speech to text for all calls of a pipeline: what is over comes first, what still goes on gets what is left."""

from __future__ import annotations

import anyio

from sipcore.plugins.interfaces import STT, Speech, Transcript


class Ear:
    """An `STT` that makes interim transcripts besides.

    What they cost is bounded: over all calls at most one is being made, none is begun while a real transcript is
    being made, and a real one abandons it.

    Args:
        stt: the engine.
    """

    def __init__(self, stt: STT) -> None:
        self._stt = stt
        self._real = 0
        self._interim: anyio.CancelScope | None = None

    async def transcribe(self, speech: Speech) -> Transcript:
        """Transcribe an utterance; cancelling abandons it."""
        self._real += 1
        if self._interim is not None:
            self._interim.cancel()
        try:
            return await self._stt.transcribe(speech)
        finally:
            self._real -= 1

    async def overhear(self, speech: Speech) -> Transcript | None:
        """Transcribe an utterance that goes on; None: there is more important work."""
        if self._real or self._interim is not None:
            return None
        try:
            with anyio.CancelScope() as self._interim:
                return await self._stt.transcribe(speech)
        finally:
            self._interim = None
        return None
