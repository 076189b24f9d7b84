"""The hooks that a plugin may implement. They are synchronous, cheap, and return data."""

# pyright: reportReturnType=false
# A hookspec has a docstring and no body: pluggy only reads its signature.

from __future__ import annotations

from typing import Any

import pluggy

from sipcore.plugins.interfaces import (
    LLM,
    STT,
    TTS,
    VAD,
    CallObserver,
    Conversation,
    LanguageIdentifier,
    Provider,
)

PROJECT = "sipcore"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def sipcore_stt() -> Provider[Any, STT]:
    """Return a speech-to-text provider."""


@hookspec
def sipcore_tts() -> Provider[Any, TTS]:
    """Return a text-to-speech provider."""


@hookspec
def sipcore_llm() -> Provider[Any, LLM]:
    """Return a language-model provider."""


@hookspec
def sipcore_vad() -> Provider[Any, VAD]:
    """Return a voice-activity provider."""


@hookspec
def sipcore_language() -> Provider[Any, LanguageIdentifier]:
    """Return a provider of a language identifier: which language a text is in."""


@hookspec
def sipcore_conversation() -> Provider[Any, Conversation]:
    """Return a provider of conversations: who talks on an answered call."""


@hookspec
def sipcore_call_observer() -> Provider[Any, CallObserver]:
    """Return a provider of an observer of call events."""
