"""Piper keeps the promises of every TTS."""

from sipcore.testing.contract import TTSContract


class TestPiper(TTSContract):
    module = "sipcore_tts_piper"
