"""The settings of ``[llm.qwen]``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator
from sipcore.plugins.threads import NICE

from sipcore_llm_qwen.hardware import require_libraries, suits_transformers
from sipcore_llm_qwen.weights import Engine, engine_for, is_path

DEFAULT_MODELS: Mapping[Engine, str] = {
    "llama.cpp": "qwen2.5-coder-0.5b-instruct",
    "transformers": "Qwen/Qwen3-1.7B",
}
"""What each engine runs when the settings name no model."""


class Config(BaseModel, extra="forbid"):
    """What ``[llm.qwen]`` may say."""

    engine: Literal["auto", "llama.cpp", "transformers"] = "auto"
    """What runs the model; ``auto`` takes what suits the model that is named, else the hardware."""
    model: str | None = Field(default=None, min_length=1)
    """A model of the store, a hub id, or the path of a ``.gguf`` file or a folder; by default what suits the engine."""
    load: Literal["start", "first use"] = "start"
    """When the model is loaded. It takes seconds, during which the first caller to use it would wait."""
    prefix: str = ""
    """A system prompt to read when the model is loaded, so that no caller waits for that."""
    context: int = Field(default=2048, ge=256, le=1_000_000)
    """Tokens that a conversation may have; beyond it the oldest of it is forgotten."""
    slots: int = Field(default=2, ge=1, le=64)
    """Replies that are written at once; more wait for their turn."""
    threads: int | None = Field(default=None, ge=1, le=256)
    """Threads that compute on the CPU; by default the physical cores but one, at least one."""
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
    """MiB of memory for what llama.cpp read of earlier conversations, so that it need not read their prompts again."""

    @field_validator("model")
    @classmethod
    def _fits_the_engine(cls, model: str | None, info: ValidationInfo) -> str | None:
        engine = info.data.get("engine", "auto")
        fitting = engine_for(model) if model else None
        if fitting is not None and engine not in {"auto", fitting}:
            raise ValueError(f'engine = "{engine}" cannot run it: it is a model for engine = "{fitting}"')
        return model

    def chosen_engine(self) -> Engine:
        """Return the engine that runs the model. Looks for torch and a GPU where the settings leave it open."""
        if self.engine != "auto":
            return self.engine
        fitting = engine_for(self.model) if self.model else None
        return fitting or ("transformers" if suits_transformers() else "llama.cpp")

    def chosen_model(self) -> str:
        """Return the model that these settings mean."""
        return self.model or DEFAULT_MODELS[self.chosen_engine()]

    def models(self) -> Sequence[str]:
        """Return the model of the store that these settings need; files of one's own are not among them.

        Raises:
            PluginError: the engine's libraries are not installed: nobody should wait for gigabytes to be told so.
        """
        if self.chosen_engine() == "transformers":
            require_libraries()
        model = self.chosen_model()
        return () if is_path(model) else (model,)
