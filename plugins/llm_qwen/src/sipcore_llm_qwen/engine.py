"""Which engine runs the model."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sipcore.plugins import LLM

from sipcore_llm_qwen.config import Config
from sipcore_llm_qwen.llama_cpp import open_llama
from sipcore_llm_qwen.transformers_engine import open_transformers


@asynccontextmanager
async def open_qwen(config: Config) -> AsyncGenerator[LLM, None]:
    """Open the engine that the settings name, or that suits this machine.

    Raises:
        ModelMissingError: the model is not on this machine.
        PluginError: it cannot be loaded.
    """
    opener = open_transformers if config.chosen_engine() == "transformers" else open_llama
    async with opener(config) as chat:
        yield chat
