"""The manifest of models: what each is called, what it weighs, and where its files come from."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from sipcore.errors import PluginError

Kind: TypeAlias = Literal["stt", "tts", "llm", "vad", "turn", "other"]

MANIFEST = Path(__file__).with_name("models.toml")
_NAME = r"[A-Za-z0-9_][\w.-]*"
HUB_ID = re.compile(rf"(?P<repo>{_NAME}/{_NAME})(?::(?P<file>{_NAME}(?:/{_NAME})*))?")


@dataclass(frozen=True, slots=True)
class Part:
    """One file inside a package of the Python index, whole or a piece of the model's file.

    Args:
        package: an exact requirement, ``name==version``.
        path: the file's path inside the unpacked package.
        bytes: its size.
    """

    package: str
    path: str
    bytes: int


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model: its parts, in order, make the whole.

    Args:
        name: its name in the model's folder.
        bytes: its size.
        sha256: of the whole file, lower-case hexadecimal.
        parts: where it comes from.
    """

    name: str
    bytes: int
    sha256: str
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class HubSource:
    """A repository of a model hub; its own sizes and checksums are what its files are verified against.

    Args:
        repo: ``owner/name``.
        revision: a branch, tag or commit.
        files: their paths in the repository; a pattern with ``*`` takes what matches; empty takes all.
    """

    repo: str
    revision: str = "main"
    files: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Model:
    """A model by name: either files out of packages, each with its checksum, or a hub's repository.

    Args:
        name: what settings and ``sipcore models`` call it.
        kind: what it is for.
        bytes: its size on disk; for a hub source about that.
        licence: an SPDX name, or where it is stated.
        languages: BCP 47; empty when that does not apply.
        about: one line for a person.
        files: its files, when they come out of packages.
        downloads: how many bytes each package is to fetch, by requirement.
        hub: its repository, when it comes from a hub.
    """

    name: str
    kind: Kind
    bytes: int
    licence: str
    languages: Sequence[str] = ()
    about: str = ""
    files: Sequence[ModelFile] = ()
    downloads: Mapping[str, int] | None = None
    hub: HubSource | None = None

    @property
    def folder(self) -> str:
        """The name of its folder in the store."""
        return self.name.replace("/", "--").replace(":", "--")


@dataclass(frozen=True, slots=True)
class Manifest:
    """All models that have a name, and groups of them (``demo``, ``test``)."""

    models: Mapping[str, Model]
    groups: Mapping[str, Sequence[str]]

    def model(self, name: str) -> Model:
        """Return a model by name or by its hub id; another hub id (``owner/name``, ``owner/name:file``) makes one.

        Raises:
            PluginError: no model is called that.
        """
        found = self.models.get(name) or self._by_repository(name)
        if found is not None:
            return found
        hub = HUB_ID.fullmatch(name)
        if hub is None:
            raise PluginError(
                f"there is no model {name!r}: expected a hub id (owner/name) or one of {', '.join(sorted(self.models))}"
            )
        files = (hub["file"],) if hub["file"] else ()
        return Model(name, "other", 0, "stated on the hub", hub=HubSource(hub["repo"], files=files))

    def _by_repository(self, repo: str) -> Model | None:
        """A repository that holds many models (voices) is none of them."""
        found = [model for model in self.models.values() if model.hub is not None and model.hub.repo == repo]
        return found[0] if len(found) == 1 else None

    def expand(self, names: Sequence[str]) -> list[Model]:
        """Return the models that ``names`` mean, groups opened, each once and in order."""
        flat = [member for name in names for member in self.groups.get(name, (name,))]
        return [self.model(name) for name in dict.fromkeys(flat)]


@cache
def load_manifest(path: Path = MANIFEST) -> Manifest:
    """Read a manifest.

    Raises:
        PluginError: it says something that cannot be.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        packages: dict[str, int] = {entry["name"]: entry["bytes"] for entry in data.get("package", [])}
        models = {entry["name"]: _model(entry, packages) for entry in data["model"]}
        groups = {name: tuple(members) for name, members in data.get("groups", {}).items()}
    except (KeyError, TypeError, ValueError) as error:
        raise PluginError(f"{path} is no manifest of models: {error!r}") from error
    unknown = {member for members in groups.values() for member in members} - models.keys()
    if unknown:
        raise PluginError(f"{path}: its groups name models that it does not have: {', '.join(sorted(unknown))}")
    return Manifest(models, groups)


def _model(entry: Mapping[str, Any], packages: Mapping[str, int]) -> Model:
    files = tuple(_file(file) for file in entry.get("file", []))
    hub = _hub(entry["hub"]) if "hub" in entry else None
    if bool(files) == (hub is not None):
        raise ValueError(f"model {entry['name']} needs either files with checksums or a hub source")
    used = dict.fromkeys(part.package for file in files for part in file.parts)
    return Model(
        name=entry["name"],
        kind=entry["kind"],
        bytes=sum(file.bytes for file in files) or entry["bytes"],
        licence=entry["licence"],
        languages=tuple(entry.get("languages", [])),
        about=entry.get("about", ""),
        files=files,
        downloads={requirement: packages[requirement] for requirement in used},
        hub=hub,
    )


def _hub(entry: Mapping[str, Any]) -> HubSource:
    return HubSource(entry["repo"], entry.get("revision", "main"), tuple(entry["files"]))


def _file(entry: Mapping[str, Any]) -> ModelFile:
    parts = tuple(Part(**part) for part in entry["parts"])
    size = sum(part.bytes for part in parts)
    if len(entry["sha256"]) != 64:
        raise ValueError(f"file {entry['name']} has no sha256 of 64 digits")
    return ModelFile(entry["name"], size, entry["sha256"], parts)
