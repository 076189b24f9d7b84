"""Silero keeps the contract of every voice activity detector."""

import pytest
from sipcore.plugins import AudioFrame
from sipcore.testing.contract import VADContract


class TestContract(VADContract):
    module = "sipcore_vad_silero"

    @pytest.fixture(scope="class")
    @classmethod
    def spoken(cls, prompts) -> AudioFrame:
        return prompts["conf-getpin"].audio
