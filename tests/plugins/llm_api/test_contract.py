"""The plugin keeps the promises of every LLM, whichever way the server writes its reply."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from loopback_llm import SAID, loopback_llm, pieces, sse, whole
from sipcore.plugins import LLM, Provider
from sipcore.testing.contract import LLMContract


class TestJson(LLMContract):
    module = "sipcore_llm_api"

    @pytest.fixture(scope="class")
    @classmethod
    async def engine(cls, provider: Provider[Any, LLM], anyio_backend: str) -> AsyncGenerator[LLM, None]:
        reply = json.dumps({"reply": "".join(SAID)}).encode()
        async with loopback_llm(whole(reply)) as server, provider.open(provider.config(base_url=server.url)) as engine:
            yield engine


class TestLines(LLMContract):
    module = "sipcore_llm_api"

    @pytest.fixture(scope="class")
    @classmethod
    async def engine(cls, provider: Provider[Any, LLM], anyio_backend: str) -> AsyncGenerator[LLM, None]:
        lines = [json.dumps({"reply": word}).encode() + b"\n" for word in SAID]
        async with (
            loopback_llm(pieces(lines, pause=0.02, content_type="application/x-ndjson")) as server,
            provider.open(provider.config(base_url=server.url, api_key="k")) as engine,
        ):
            yield engine


class TestEvents(LLMContract):
    module = "sipcore_llm_api"

    @pytest.fixture(scope="class")
    @classmethod
    async def engine(cls, provider: Provider[Any, LLM], anyio_backend: str) -> AsyncGenerator[LLM, None]:
        events = [*(sse(json.dumps({"reply": word})) for word in SAID), sse("[DONE]")]
        async with (
            loopback_llm(pieces(events, pause=0.02)) as server,
            provider.open(provider.config(base_url=server.url)) as engine,
        ):
            yield engine
