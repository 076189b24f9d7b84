"""The engine ``transformers``: a folder of safetensors, on a GPU or the CPU, by torch."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import anyio.to_thread

from sipcore_llm_qwen.chat import Chat, open_chat
from sipcore_llm_qwen.config import Config
from sipcore_llm_qwen.hardware import require_libraries
from sipcore_llm_qwen.torch_loader import load_model
from sipcore_llm_qwen.weights import find_folder


@asynccontextmanager
async def open_transformers(config: Config) -> AsyncGenerator[Chat, None]:
    """Find the model, and load it if that is to be done at start.

    Raises:
        ModelMissingError: it is not on this machine.
        PluginError: it cannot be loaded, or torch or transformers is not installed.
    """
    require_libraries()
    folder = await anyio.to_thread.run_sync(find_folder, config.chosen_model())
    async with open_chat(partial(load_model, folder, config), config) as chat:
        yield chat
