"""The plugin keeps the promises of every LLM; tried against the real wire format on the loopback."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from loopback_llm import chat, loopback_llm
from sipcore.plugins import LLM, Provider
from sipcore.testing.contract import LLMContract


class TestLoopback(LLMContract):
    module = "sipcore_llm_openai"

    @pytest.fixture(scope="class")
    @classmethod
    async def engine(cls, provider: Provider[Any, LLM], anyio_backend: str) -> AsyncGenerator[LLM, None]:
        async with (
            loopback_llm(chat(pause=0.02)) as server,
            provider.open(provider.config(base_url=f"{server.url}/v1", api_key="sk-test")) as engine,
        ):
            yield engine
