"""Qwen by transformers keeps the promises of every LLM; tried with a model that is made here."""

from pathlib import Path
from typing import Any

import pytest
from sipcore.plugins import Provider
from sipcore.testing.contract import LLMContract


class TestTiny(LLMContract):
    module = "sipcore_llm_qwen"

    @pytest.fixture(scope="class")
    @classmethod
    async def engine(cls, provider: Provider[Any, Any], folder: Path, anyio_backend: str):
        del anyio_backend
        config = provider.config(engine="transformers", model=str(folder), max_tokens=40, seed=1)
        async with provider.open(config) as engine:
            yield engine
