"""OpenAI's chat completions, and every server that speaks them, as a sipcore LLM."""

from __future__ import annotations

from sipcore.plugins import LLM, Provider, hookimpl

from sipcore_llm_openai.chat import open_chat
from sipcore_llm_openai.config import Config


@hookimpl
def sipcore_llm() -> Provider[Config, LLM]:
    """Return the provider ``openai``: taken unnamed only where no model of this machine is installed."""
    return Provider("openai", Config, open_chat, fallback=True)
