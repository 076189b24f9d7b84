"""Opens the engines that an assistant needs and makes them a conversation."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
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
from sipcore.plugins.interfaces import Conversation, Provider
from sipcore.plugins.manager import PluginManager
from sipcore.voice.conversation import Pipeline
from sipcore.voice.echo import Echo
from sipcore.voice.energy_vad import EnergyVAD
from sipcore.voice.turn import Engines

logger = logging.getLogger(__name__)

CALL_RATE = 8000
PIPELINE: tuple[PluginKind, ...] = ("stt", "llm", "tts")


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
    """

    assistant: AssistantSettings
    choices: dict[PluginKind, Choice] = field(default_factory=dict[PluginKind, Choice])
    missing: list[PluginKind] = field(default_factory=list[PluginKind])

    @property
    def models(self) -> Sequence[str]:
        """The models that are needed and not on this machine."""
        return [name for choice in self.choices.values() for name in models.missing(choice.config)]


def plan(settings: Settings, manager: PluginManager) -> Plan:
    """Choose the engines of the first assistant.

    Raises:
        ConfigError: one is asked for that is not there, or its settings are wrong.
    """
    assistant = settings.assistant[0]
    wanted: dict[PluginKind, str] = {kind: getattr(assistant, kind) for kind in (*PIPELINE, "vad", "conversation")}
    result = Plan(assistant)
    chosen = choose(settings, manager, "conversation", wanted["conversation"]) if wanted["conversation"] else None
    if chosen is not None:
        result.choices["conversation"] = chosen
        return result
    for kind in (*PIPELINE, "vad"):
        choice = choose(settings, manager, kind, wanted[kind])
        if choice is not None:
            result.choices[kind] = choice
        elif kind in PIPELINE:
            result.missing.append(kind)
    if result.missing:
        result.choices.clear()
    return result


def choose(settings: Settings, manager: PluginManager, kind: PluginKind, wanted: str) -> Choice | None:
    """Pick the provider of one kind: the one asked for, or the only one there; None when there is none.

    Providers that are a fallback count only where there is no other.

    Raises:
        ConfigError: it is not there, there are several to choose from, or its settings are wrong.
    """
    there = manager.providers(kind)
    if wanted and wanted not in there:
        raise ConfigError(
            f'assistant.{kind} = "{wanted}": no such {kind} plugin is loaded (there: {", ".join(there) or "none"}). '
            f"Install it, or add it to --plugins; `sipcore plugins list` shows what is there."
        )
    own = [name for name, provider in there.items() if not provider.fallback] or list(there)
    if not wanted and len(own) > 1:
        raise ConfigError(f'assistant.{kind}: {", ".join(own)} are installed: name the one to use, {kind} = "…"')
    name = wanted or next(iter(own), "")
    if not name:
        return None
    return Choice(kind, there[name], settings.plugin_settings(kind, name, there[name].config))


async def open_conversation(plan: Plan, greeting: AudioFrame | None, stack: AsyncExitStack) -> Conversation:
    """Load the plan's engines, one after the other, on ``stack``.

    Raises:
        SipcoreError: one could not be loaded; the text says what to do.
    """
    opened: dict[str, Any] = {}
    for kind, choice in plan.choices.items():
        started = anyio.current_time()
        with _as_config_error(f"{kind} plugin {choice.provider.name} could not be opened"):
            opened[kind] = await stack.enter_async_context(choice.provider.open(choice.config))
        logger.info("%s: %s is ready after %.1f s", kind, choice.provider.name, anyio.current_time() - started)
    if "conversation" in opened:
        return opened["conversation"]
    if not opened:
        return Echo(greeting)
    engines = Engines(stt=opened["stt"], llm=opened["llm"], tts=opened["tts"])
    pipeline = Pipeline(plan.assistant.assistant(greeting), engines, opened.get("vad") or EnergyVAD())
    with _as_config_error("the engines could not be warmed up"):
        await pipeline.warm_up()
    return pipeline


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
