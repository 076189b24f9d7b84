"""Piper as a sipcore TTS: neural voices on the CPU, one or more for a language."""

from __future__ import annotations

from sipcore.plugins import TTS, Provider, hookimpl

from sipcore_tts_piper.config import Config
from sipcore_tts_piper.engine import open_piper


@hookimpl
def sipcore_tts() -> Provider[Config, TTS]:
    """Return the provider ``piper``."""
    return Provider("piper", Config, open_piper)
