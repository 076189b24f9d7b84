"""Text to speech in over a hundred languages for sipcore, by espeak-ng."""

from __future__ import annotations

from sipcore.plugins import TTS, Provider, hookimpl

from sipcore_tts_espeak.config import Config
from sipcore_tts_espeak.engine import open_espeak


@hookimpl
def sipcore_tts() -> Provider[Config, TTS]:
    """Return the provider ``espeak``: a voice of last resort."""
    return Provider("espeak", Config, open_espeak, fallback=True)
