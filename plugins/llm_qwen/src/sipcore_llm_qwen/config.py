"""The settings of ``[llm.qwen]``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, Field
from sipcore.plugins.threads import NICE

from sipcore_llm_qwen.weights import is_path


class Config(BaseModel, extra="forbid"):
    """What ``[llm.qwen]`` may say."""

    engine: Literal["auto", "llama.cpp"] = "auto"
    """What runs the model; ``auto`` takes what suits the hardware."""
    model: str = Field(default="qwen2.5-coder-0.5b-instruct", min_length=1)
    """A model of the store, a hub id, or the path of a ``.gguf`` file."""
    load: Literal["start", "first use"] = "start"
    """When the model is loaded. It takes seconds, during which the first caller to use it would wait."""
    prefix: str = ""
    """A system prompt to read when the model is loaded, so that no caller waits for that."""
    context: int = Field(default=2048, ge=256, le=1_000_000)
    """Tokens that a conversation may have; beyond it the oldest of it is forgotten."""
    slots: int = Field(default=2, ge=1, le=64)
    """Replies that are written at once; more wait for their turn."""
    threads: int | None = Field(default=None, ge=1, le=256)
    """Threads that compute; by default the physical cores but one, at least one."""
    nice: int = Field(default=NICE, ge=0, le=19)
    """How far the model stands back behind the media engine, as ``nice`` counts."""
    max_tokens: int = Field(default=160, ge=1, le=32_768)
    """Tokens in the longest reply."""
    temperature: float = Field(default=0.2, ge=0.0, le=2.0)
    """0: always the likeliest word."""
    top_p: float = Field(default=0.9, gt=0.0, le=1.0)
    """Choose among the likeliest words that together have this probability."""
    seed: int | None = Field(default=None, ge=0, lt=2**32 - 1)
    """Fix it for replies that repeat."""
    prompt_cache: int = Field(default=256, ge=0, le=1_048_576)
    """MiB of memory for what was read of earlier conversations, so that their prompts need not be read again."""

    def models(self) -> Sequence[str]:
        """Return the model of the store that these settings need; a file of one's own is not among them."""
        return () if is_path(self.model) else (self.model,)
