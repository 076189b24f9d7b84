"""Whisper keeps the contract of every speech-to-text engine."""

from typing import ClassVar

import pytest
from sipcore.plugins import AudioFrame
from sipcore.testing.contract import STTContract


class TestContract(STTContract):
    module = "sipcore_stt_whisper"
    settings: ClassVar = {"model": "tiny.en"}

    @pytest.fixture(scope="class")
    @classmethod
    def spoken(cls, prompts) -> AudioFrame:
        return prompts["conf-getpin"].audio
