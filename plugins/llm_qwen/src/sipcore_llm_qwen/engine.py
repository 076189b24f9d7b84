"""Which engine runs the model."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sipcore.plugins import LLM

from sipcore_llm_qwen.config import Config


@asynccontextmanager
async def open_qwen(config: Config) -> AsyncGenerator[LLM, None]:
    """Open the engine that the settings name.

    Raises:
        ModelMissingError: the model is not on this machine.
        PluginError: it cannot be loaded.
    """
    from sipcore_llm_qwen.llama_cpp import open_llama

    async with open_llama(config) as chat:
        yield chat
