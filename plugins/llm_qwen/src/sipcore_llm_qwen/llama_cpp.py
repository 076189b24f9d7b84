"""The engine ``llama.cpp``: a GGUF file, on the CPU."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import anyio.to_thread

from sipcore_llm_qwen.chat import Chat, open_chat
from sipcore_llm_qwen.config import Config
from sipcore_llm_qwen.llama_server import load_server
from sipcore_llm_qwen.weights import find_weights


@asynccontextmanager
async def open_llama(config: Config) -> AsyncGenerator[Chat, None]:
    """Find the model, and load it if that is to be done at start.

    Raises:
        ModelMissingError: it is not on this machine.
        PluginError: it cannot be loaded.
    """
    path = await anyio.to_thread.run_sync(find_weights, config.chosen_model())
    async with open_chat(partial(load_server, path, config), config) as chat:
        yield chat
