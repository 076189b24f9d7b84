"""Opens the engines that an assistant needs and makes them a conversation."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio.to_thread
from pydantic import BaseModel

from sipcore.app.config import PluginKind, Settings
from sipcore.app.config_tables import AssistantSettings
from sipcore.audio.frame import AudioFrame
from sipcore.audio.wav import read_audio, write_wav
from sipcore.errors import ConfigError, SipcoreError
from sipcore.plugins import models
from sipcore.plugins.interfaces import TTS, Conversation, Provider
from sipcore.plugins.manager import PluginManager
from sipcore.voice.conversation import KeepReply, Pipeline
from sipcore.voice.echo import Echo
from sipcore.voice.energy_vad import EnergyVAD
from sipcore.voice.turn import Engines
from sipcore.voice.voices import NamedTTS, Voices

logger = logging.getLogger(__name__)

CALL_RATE = 8000
PACKET = 0.02
"""Seconds of audio in a packet."""
PIPELINE: tuple[PluginKind, ...] = ("stt", "llm", "tts")
HELPERS: tuple[PluginKind, ...] = ("vad", "language")
SETTING: Mapping[str, str] = {"language": "identifier"}
"""The settings of an assistant that do not have the name of the kind of plugin that they choose."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A provider that the settings ask for, with its own settings."""

    kind: PluginKind
    provider: Provider[Any, Any]
    config: BaseModel


@dataclass(slots=True)
class Plan:
    """Which engines a server will open for its assistant, before anything heavy is loaded.

    Args:
        assistant: who answers.
        choices: the provider of each kind; a kind without one is left out.
        missing: the kinds of the pipeline that no plugin offers: with any of them the core echoes.
        last_resort: speaks what the chosen voice cannot.
        interim: seconds of unbroken speech after which an interim transcript is made; 0: never.
    """

    assistant: AssistantSettings
    choices: dict[PluginKind, Choice] = field(default_factory=dict[PluginKind, Choice])
    missing: list[PluginKind] = field(default_factory=list[PluginKind])
    last_resort: Choice | None = None
    interim: float = 0.0

    @property
    def models(self) -> Sequence[str]:
        """The models that are needed and not on this machine."""
        chosen = [*self.choices.values(), *([self.last_resort] if self.last_resort else [])]
        return [name for choice in chosen for name in models.missing(choice.config)]


def plan(settings: Settings, manager: PluginManager) -> Plan:
    """Choose the engines of the first assistant.

    Raises:
        ConfigError: one is asked for that is not there, or its settings are wrong.
    """
    assistant = settings.assistant[0]
    kinds: tuple[PluginKind, ...] = (*PIPELINE, *HELPERS, "conversation")
    wanted = {kind: str(getattr(assistant, SETTING.get(kind, kind))) for kind in kinds}
    result = Plan(assistant, interim=settings.call_center_buffer_size * PACKET)
    chosen = choose(settings, manager, "conversation", wanted["conversation"]) if wanted["conversation"] else None
    if chosen is not None:
        result.choices["conversation"] = chosen
        return result
    for kind in (*PIPELINE, *HELPERS):
        if kind == "language" and not wanted[kind] and len(assistant.assistant().languages) == 1:
            continue
        choice = choose(settings, manager, kind, wanted[kind])
        if choice is not None:
            result.choices[kind] = choice
        elif kind in PIPELINE:
            result.missing.append(kind)
    if result.missing:
        result.choices.clear()
    else:
        result.last_resort = _last_resort(settings, manager, result.choices["tts"])
    return result


def choose(settings: Settings, manager: PluginManager, kind: PluginKind, wanted: str) -> Choice | None:
    """Pick the provider of one kind: the one asked for, or the one that is obvious; None when there is none.

    Obvious is, fallbacks left aside where there is anything else: the only one; else the only one that has settings;
    else the only one that can work without settings.

    Raises:
        ConfigError: it is not there, there are several to choose from, or its settings are wrong.
    """
    there, setting = manager.providers(kind), SETTING.get(kind, kind)
    if wanted and wanted not in there:
        raise ConfigError(
            f'assistant.{setting} = "{wanted}": no such {kind} plugin is loaded (there: {", ".join(there) or "none"}). '
            f"Install it, or add it to --plugins; `sipcore plugins list` shows what is there."
        )
    names = [wanted] if wanted else _obvious(settings, kind, there)
    if len(names) > 1:
        raise ConfigError(
            f'assistant.{setting}: {", ".join(names)} are installed: name the one to use, {setting} = "…"'
        )
    return _choice(settings, kind, there[names[0]]) if names else None


def _obvious(settings: Settings, kind: PluginKind, there: Mapping[str, Provider[Any, Any]]) -> Sequence[str]:
    """Leave out the providers that nobody can have meant, as long as one remains."""
    names = [name for name, provider in there.items() if not provider.fallback] or list(there)
    if len(names) < 2:
        return names
    given = [name for name in names if settings.has_plugin_settings(kind, name)]
    return given or [name for name in names if _works_unasked(settings, kind, there[name])] or names


def _works_unasked(settings: Settings, kind: PluginKind, provider: Provider[Any, Any]) -> bool:
    """Whether a provider needs no settings: none is missing, and it takes no key."""
    try:
        config = settings.plugin_settings(kind, provider.name, provider.config)
    except ConfigError:
        return False
    return not hasattr(config, "api_key")


def _choice(settings: Settings, kind: PluginKind, provider: Provider[Any, Any]) -> Choice:
    return Choice(kind, provider, settings.plugin_settings(kind, provider.name, provider.config))


def _last_resort(settings: Settings, manager: PluginManager, chosen: Choice) -> Choice | None:
    """Find what speaks when the chosen voice cannot: the first fallback that is not the chosen one itself."""
    for provider in manager.providers("tts").values():
        if provider.fallback and provider.name != chosen.provider.name:
            return _choice(settings, "tts", provider)
    return None


async def open_conversation(
    plan: Plan, greeting: AudioFrame | None, stack: AsyncExitStack, keep: KeepReply | None = None
) -> Conversation:
    """Load the plan's engines, one after the other, on ``stack``.

    Args:
        plan: which engines.
        greeting: a recorded one, at the call's rate.
        stack: closes them.
        keep: called with every reply; see `Pipeline`.

    Raises:
        SipcoreError: one could not be loaded; the text says what to do.
    """
    opened: dict[str, Any] = {}
    for kind, choice in plan.choices.items():
        opened[kind] = await _open(choice, stack)
    if "conversation" in opened:
        return opened["conversation"]
    if not opened:
        return Echo(greeting)
    tts = await _with_last_resort(plan, opened["tts"], stack)
    engines = Engines(stt=opened["stt"], llm=opened["llm"], tts=tts, identifier=opened.get("language"))
    assistant = plan.assistant.assistant(greeting, plan.interim)
    pipeline = Pipeline(assistant, engines, opened.get("vad") or EnergyVAD(), keep)
    with _as_config_error("the engines could not be warmed up"):
        await pipeline.warm_up()
    return pipeline


async def _open(choice: Choice, stack: AsyncExitStack) -> Any:
    started = anyio.current_time()
    with _as_config_error(f"{choice.kind} plugin {choice.provider.name} could not be opened"):
        engine = await stack.enter_async_context(choice.provider.open(choice.config))
    logger.info("%s: %s is ready after %.1f s", choice.kind, choice.provider.name, anyio.current_time() - started)
    return engine


async def _with_last_resort(plan: Plan, tts: TTS, stack: AsyncExitStack) -> TTS:
    """Add the plan's voice of last resort, if it has one that can be opened."""
    choice = plan.last_resort
    if choice is None:
        return tts
    try:
        fallback = await _open(choice, stack)
    except SipcoreError as error:
        logger.warning("%s cannot stand in for another voice: %s", choice.provider.name, error)
        return tts
    return Voices(NamedTTS(plan.choices["tts"].provider.name, tts), NamedTTS(choice.provider.name, fallback))


@contextmanager
def _as_config_error(problem: str) -> Generator[None]:
    """Whatever a plugin raises ends the start with a line of its own; what sipcore knows is quoted as it is."""
    try:
        yield
    except SipcoreError:
        raise
    except ExceptionGroup as group:
        raise ConfigError(f"{problem}: {'; '.join(map(repr, group.exceptions))}") from group
    except Exception as error:
        raise ConfigError(f"{problem}: {error or repr(error)}") from error


async def load_greeting(output_dir: Path) -> AudioFrame | None:
    """Read ``transcode/greeting.wav`` of any rate and format; what is played is kept in ``converted/``.

    Raises:
        ConfigError: it is there and cannot be read.
    """
    source = output_dir / "transcode" / "greeting.wav"
    if not source.exists():
        return None

    def convert() -> AudioFrame:
        frame = read_audio(source, CALL_RATE)
        converted = output_dir / "converted" / "greeting.wav"
        converted.parent.mkdir(parents=True, exist_ok=True)
        write_wav(converted, frame)
        return frame

    try:
        return await anyio.to_thread.run_sync(convert)
    except (OSError, SipcoreError) as error:
        raise ConfigError(f"OUTPUT_DIR: {source} cannot be used as greeting: {error}") from error
