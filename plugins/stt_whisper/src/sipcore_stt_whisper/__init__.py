"""Speech to text by faster-whisper, with an encoder window that fits the utterance."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field
from sipcore.plugins import STT, Provider, hookimpl
from sipcore.plugins.threads import NICE


class Config(BaseModel, extra="forbid"):
    """Settings ``[stt.whisper]``."""

    model: str = "base"
    """A model's name (``tiny.en``, ``base``, ``small``), a hub id, or a folder with a CTranslate2 model."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs; ``auto`` takes a GPU when there is one."""
    compute_type: str = "auto"
    """CTranslate2's name for the arithmetic; ``auto`` is ``int8`` on a CPU, ``float16`` on a GPU."""
    num_workers: int = Field(default=1, ge=1, le=64)
    """How many utterances are transcribed at the same time."""
    cpu_threads: int = Field(default=0, ge=0, le=256)
    """Threads for each of them; 0 shares the machine's cores but one among the workers, four each at most."""
    beam_size: int = Field(default=1, ge=1, le=20)
    """Hypotheses kept while decoding: 5 is a little better than 1, and a fifth slower."""
    languages: list[str] = Field(default_factory=list)
    """The languages to choose from when the assistant names none; empty: all that the model knows."""
    nice: int = Field(default=NICE, ge=0, le=19)
    """How far it stands back behind the media engine, as ``nice`` counts."""
    short_window: bool = True
    """Encode 10 or 15 s instead of 30 when the utterance fits: three to five times faster."""

    def models(self) -> Sequence[str]:
        """Return the model to pull; a folder of the user's own is not pulled."""
        return () if Path(self.model).expanduser().is_dir() else (self.model,)


@asynccontextmanager
async def open_whisper(config: Config) -> AsyncGenerator[STT, None]:
    """Load the model in a thread and transcribe a second of nothing, so that the first caller does not wait for it."""
    from sipcore_stt_whisper.engine import opened

    async with opened(config) as engine:
        yield engine


@hookimpl
def sipcore_stt() -> Provider[Config, STT]:
    """Provide the engine ``whisper``."""
    return Provider("whisper", Config, open_whisper)
