"""The settings of ``[tts.espeak]``."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, Field


class Config(BaseModel, extra="forbid"):
    """What ``[tts.espeak]`` may say."""

    program: str = Field(default="espeak-ng", min_length=1)
    """The program's name or path."""
    language: str = Field(default="en", min_length=2)
    """The language that is spoken when a call names none."""
    voices: Mapping[str, str] = Field(default_factory=dict[str, str])
    """Language to voice: what stands in the columns Language or VoiceName of ``espeak-ng --voices``."""
    speed: float = Field(default=1.0, ge=0.25, le=4.0)
    """1 is 175 words a minute; what comes out lies between 80 and 450."""
    volume: int = Field(default=100, ge=0, le=200)
    """espeak-ng's amplitude."""
