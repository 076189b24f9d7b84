"""Finding plugins and loading them: what is installed, what was asked for, and what broke."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, TypeAlias, cast, overload

import pluggy

from sipcore.errors import PluginError
from sipcore.plugins import hookspecs
from sipcore.plugins.interfaces import (
    API_VERSION,
    LLM,
    STT,
    TTS,
    VAD,
    CallObserver,
    Conversation,
    LanguageIdentifier,
    Provider,
)

log = logging.getLogger(__name__)

ProviderKind: TypeAlias = Literal["stt", "tts", "llm", "vad", "language", "conversation", "call_observer"]
Status: TypeAlias = Literal["loaded", "off", "failed"]

GROUP = "sipcore"
KINDS: tuple[ProviderKind, ...] = ("stt", "tts", "llm", "vad", "language", "conversation", "call_observer")


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """An installed plugin, and what became of it.

    Args:
        name: its entry point's name, ``stt_whisper``.
        kind: what it provides, ``stt``; more than one are joined by commas.
        distribution: the package that it came in; ``sipcore`` itself for what is built in.
        version: that package's version.
        api: the plugin API that it was written for, ``1.0``; empty until it is loaded.
        status: ``loaded``, ``off`` (not asked for) or ``failed``.
        problem: why it failed, in one line.
    """

    name: str
    kind: str
    distribution: str
    version: str
    api: str = ""
    status: Status = "off"
    problem: str = ""

    def __str__(self) -> str:
        """Name it as a person would look for it."""
        return f"{self.name} ({self.distribution} {self.version})"


class PluginManager:
    """The plugins of this environment. Nothing is imported until `load`.

    Args:
        entries: where to look; the installed distributions' entry points of group ``sipcore`` when None.
    """

    def __init__(self, entries: Iterable[EntryPoint] | None = None) -> None:
        self._pluggy = _hook_manager()
        self._entries: dict[str, EntryPoint] = {}
        self._plugins: dict[str, PluginInfo] = {}
        self._providers: dict[str, dict[str, Provider[Any, Any]]] = {kind: {} for kind in KINDS}
        self._owners: dict[tuple[str, str], str] = {}
        for entry in sorted(entry_points(group=GROUP) if entries is None else entries, key=lambda entry: entry.name):
            info = _describe(entry)
            known = self._plugins.get(entry.name)
            if known is not None and str(known) != str(info):
                log.warning("plugin %s is not loaded: %s has that name too", info, known)
                continue
            self._entries[entry.name] = entry
            self._plugins[entry.name] = info

    def load(self, wanted: Sequence[str] | None = None) -> None:
        """Import plugins and gather what they provide.

        A plugin that fails is reported in `plugins` and the rest go on, unless it was asked for by name.

        Args:
            wanted: entry names (``llm_openai``) or their unambiguous suffix (``openai``); None loads every one.

        Raises:
            PluginError: one that was asked for is not installed, ambiguous, or fails.
        """
        names = list(self._entries) if wanted is None else [self._entry_name(name) for name in wanted]
        for name in dict.fromkeys(names):
            info = self._plugins[name]
            if info.status == "loaded":
                continue
            try:
                self._add(self._entries[name].load(), info)
            except (Exception, SystemExit) as error:
                if wanted is not None:
                    raise PluginError(_refusal(info, error)) from error
                self._plugins[name] = replace(info, status="failed", problem=one_line(error))
                log.warning("plugin %s is not loaded: %s", info, one_line(error))

    def register(self, plugin: object, name: str, *, distribution: str = "sipcore", version: str = "") -> None:
        """Add a plugin that is no entry point: what the program itself has built in, or a test's.

        Raises:
            PluginError: its hooks are not right, or one of its providers' names is taken.
        """
        self._add(plugin, PluginInfo(name, _kind_of_name(name), distribution, version))

    def plugins(self) -> list[PluginInfo]:
        """Return every plugin that is installed or was registered, by name."""
        return [self._plugins[name] for name in sorted(self._plugins)]

    @overload
    def providers(self, kind: Literal["stt"]) -> Mapping[str, Provider[Any, STT]]: ...
    @overload
    def providers(self, kind: Literal["tts"]) -> Mapping[str, Provider[Any, TTS]]: ...
    @overload
    def providers(self, kind: Literal["llm"]) -> Mapping[str, Provider[Any, LLM]]: ...
    @overload
    def providers(self, kind: Literal["vad"]) -> Mapping[str, Provider[Any, VAD]]: ...
    @overload
    def providers(self, kind: Literal["language"]) -> Mapping[str, Provider[Any, LanguageIdentifier]]: ...
    @overload
    def providers(self, kind: Literal["conversation"]) -> Mapping[str, Provider[Any, Conversation]]: ...
    @overload
    def providers(self, kind: Literal["call_observer"]) -> Mapping[str, Provider[Any, CallObserver]]: ...
    def providers(self, kind: ProviderKind) -> Mapping[str, Provider[Any, Any]]:
        """Return the providers of a kind by name, those of the core first, then in the order of their plugins."""
        return dict(self._providers[kind])

    @overload
    def provider(self, kind: Literal["stt"], name: str) -> Provider[Any, STT]: ...
    @overload
    def provider(self, kind: Literal["tts"], name: str) -> Provider[Any, TTS]: ...
    @overload
    def provider(self, kind: Literal["llm"], name: str) -> Provider[Any, LLM]: ...
    @overload
    def provider(self, kind: Literal["vad"], name: str) -> Provider[Any, VAD]: ...
    @overload
    def provider(self, kind: Literal["language"], name: str) -> Provider[Any, LanguageIdentifier]: ...
    @overload
    def provider(self, kind: Literal["conversation"], name: str) -> Provider[Any, Conversation]: ...
    @overload
    def provider(self, kind: Literal["call_observer"], name: str) -> Provider[Any, CallObserver]: ...
    def provider(self, kind: ProviderKind, name: str) -> Provider[Any, Any]:
        """Return one provider.

        Raises:
            PluginError: no loaded plugin provides it; the text says what there is and what failed.
        """
        found = self._providers[kind].get(name)
        if found is None:
            raise PluginError(self._absence(kind, name))
        return found

    def _add(self, plugin: object, info: PluginInfo) -> None:
        trial = _hook_manager()
        trial.register(plugin)
        trial.check_pending()
        if not trial.get_hookcallers(plugin):
            raise PluginError("it has no hook: expected a function with @hookimpl, such as sipcore_llm")
        provided = [(kind, _checked(result, info)) for kind, result in _results(trial)]
        for kind, provider in provided:
            owner = self._owners.get((kind, provider.name))
            if owner is not None:
                raise PluginError(f"its {kind} provider {provider.name!r} has the name of one of plugin {owner}")
        self._pluggy.register(plugin, info.name)
        for kind, provider in provided:
            self._providers[kind][provider.name] = provider
            self._owners[kind, provider.name] = info.name
        kinds = dict.fromkeys(kind for kind, _ in provided)
        api = max((provider.api for _, provider in provided), default=API_VERSION)
        self._plugins[info.name] = replace(
            info, kind=", ".join(kinds) or info.kind, api=_version(api), status="loaded", problem=""
        )

    def _entry_name(self, wanted: str) -> str:
        if wanted in self._entries:
            return wanted
        matches = [name for name in self._entries if name.endswith(f"_{wanted}")] if wanted else []
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise PluginError(f"plugin {wanted!r} may be {' or '.join(matches)}: give the whole name")
        suffixes = [name.partition("_")[2] for name in self._entries]
        close = difflib.get_close_matches(wanted, [*self._entries, *suffixes], 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        installed = ", ".join(self._entries) or "none"
        raise PluginError(f"plugin {wanted!r} is not installed.{hint} Installed: {installed}")

    def _absence(self, kind: ProviderKind, name: str) -> str:
        text = f"no plugin provides {kind} {name!r}; there is {', '.join(self._providers[kind]) or 'none'}"
        for info in self._plugins.values():
            if info.name == f"{kind}_{name}" and info.status == "failed":
                return f"{text}. Plugin {info} failed: {info.problem}"
            if info.name == f"{kind}_{name}":
                return f"{text}. Plugin {info} is installed but off: add {name} to --plugins"
        return f"{text}. Try: pip install 'sipcore[{name}]'"


def one_line(error: BaseException) -> str:
    """Return an error as one line: its first line, with its type when it is not one of ours."""
    lines = str(error).strip().splitlines() or [""]
    return lines[0] if isinstance(error, PluginError) else f"{type(error).__name__}: {lines[0]}"


def _hook_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def _describe(entry: EntryPoint) -> PluginInfo:
    name, version = (entry.dist.name, entry.dist.version) if entry.dist is not None else ("?", "?")
    return PluginInfo(entry.name, _kind_of_name(entry.name), name, version)


def _kind_of_name(name: str) -> str:
    """A plugin is named after its kind; one that is not says its kind when it is loaded."""
    return next((kind for kind in KINDS if name.startswith(f"{kind}_")), "")


def _results(trial: pluggy.PluginManager) -> list[tuple[ProviderKind, object]]:
    found: list[tuple[ProviderKind, object]] = []
    for kind in KINDS:
        hook = cast("Callable[[], list[object]]", getattr(trial.hook, f"sipcore_{kind}"))
        found.extend((kind, result) for result in hook())
    return found


def _checked(result: object, info: PluginInfo) -> Provider[Any, Any]:
    if not isinstance(result, Provider):
        raise PluginError(f"its hook returned {type(result).__name__}, expected a Provider")
    provider = cast("Provider[Any, Any]", result)
    if provider.api[0] != API_VERSION[0]:
        raise PluginError(
            f"{info.distribution} {info.version} was written for plugin API {_version(provider.api)}, and this sipcore "
            f"has {_version(API_VERSION)}: install a release of it for API {API_VERSION[0]}"
        )
    return provider


def _version(api: tuple[int, int]) -> str:
    return f"{api[0]}.{api[1]}"


def _refusal(info: PluginInfo, error: BaseException) -> str:
    fix = f"leave {info.name} out of --plugins"
    if isinstance(error, ImportError):
        fix = f"run `pip install --force-reinstall {info.distribution}`, or {fix}"
    return f"plugin {info} cannot be loaded: {one_line(error)}. To fix it {fix}"
