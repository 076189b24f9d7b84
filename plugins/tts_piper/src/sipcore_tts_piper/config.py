"""The settings of ``[tts.piper]``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, Field
from sipcore.plugins.threads import NICE

from sipcore_tts_piper.catalogue import Catalogue


class Config(BaseModel, extra="forbid"):
    """What ``[tts.piper]`` may say."""

    language: str = Field(default="en", min_length=2)
    """The language that is spoken when a call names none; its voice is loaded at start."""
    voices: Mapping[str, str] = Field(default_factory=dict[str, str])
    """Language to voice: a name, or the path of an ``.onnx`` file."""
    voices_dir: Path = Path("voices")
    """Where one's own voices are: ``LANGUAGE/NAME.onnx`` with ``NAME.onnx.json`` beside it."""
    speed: float = Field(default=1.0, ge=0.25, le=4.0)
    """1 is the voice's own speed, 2 is twice as fast."""
    volume: float = Field(default=1.5, gt=0.0, le=10.0)
    """A factor on the voice's own level, the same for every sentence."""
    speaker: int | None = Field(default=None, ge=0)
    """Which speaker of a voice that has many."""
    threads: int = Field(default=1, ge=1, le=64)
    """Threads that work on one sentence."""
    concurrency: int = Field(default=2, ge=1, le=64)
    """Sentences that are worked on at once, over all calls; more wait for their turn."""
    nice: int = Field(default=NICE, ge=0, le=19)
    """How far synthesis stands back behind the media engine, as ``nice`` counts."""

    def catalogue(self) -> Catalogue:
        """Return where these settings let voices be found."""
        return Catalogue(self.voices_dir, self.voices)

    def models(self) -> Sequence[str]:
        """Return the voices of the model store that these settings need; files of one's own are not among them."""
        return self.catalogue().needed((self.language, *self.voices))
