"""A language model behind a plain HTTP API, as a sipcore LLM: messages in, JSON or a stream of it out."""

from __future__ import annotations

from sipcore.plugins import LLM, Provider, hookimpl

from sipcore_llm_api.chat import open_chat
from sipcore_llm_api.config import Config


@hookimpl
def sipcore_llm() -> Provider[Config, LLM]:
    """Return the provider ``api``: taken unnamed only where no model of this machine is installed."""
    return Provider("api", Config, open_chat, fallback=True)
