"""A local Qwen as a sipcore LLM: on the CPU by llama.cpp, for all calls at once."""

from __future__ import annotations

from sipcore.plugins import LLM, Provider, hookimpl

from sipcore_llm_qwen.config import Config
from sipcore_llm_qwen.engine import open_qwen


@hookimpl
def sipcore_llm() -> Provider[Config, LLM]:
    """Return the provider ``qwen``."""
    return Provider("qwen", Config, open_qwen)
