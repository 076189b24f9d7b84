"""Fetching a repository of the model hub, through the hub's own client library."""

from __future__ import annotations

import fnmatch
import importlib
import os
import posixpath
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sipcore.errors import PluginError
from sipcore.plugins.model_manifest import HubSource
from sipcore.plugins.model_store import FileRecord, tree_bytes

POLL = 0.2


@dataclass(frozen=True, slots=True)
class HubSnapshot:
    """What a repository holds at one commit.

    Args:
        repo: ``owner/name``.
        commit: its full hash.
        files: path in the repository → what the hub states about it.
    """

    repo: str
    commit: str
    files: Mapping[str, FileRecord]

    @property
    def total(self) -> int:
        """How many bytes its files have."""
        return sum(file.bytes for file in self.files.values())

    @property
    def prefix(self) -> str:
        """The folder that all its files are in, which a model's own folder leaves out."""
        folder = posixpath.commonpath([posixpath.dirname(name) for name in self.files])
        return f"{folder}/" if folder else ""


def look_up(source: HubSource) -> HubSnapshot:
    """Ask the hub for the wanted files of a repository, their sizes and checksums.

    Raises:
        PluginError: the client library is missing, the hub cannot be reached, or it has no such thing.
    """
    hub = _library(source.repo)
    try:
        info = hub.HfApi(endpoint=_endpoint()).model_info(source.repo, revision=source.revision, files_metadata=True)
    except Exception as error:
        raise PluginError(f"the hub gave no {source.repo}: {_first_line(error)}") from error
    stated = {str(file.rfilename): _stated(file) for file in info.siblings or ()}
    wanted = {name: stated[name] for name in stated if _is_wanted(name, source.files)}
    absent = [name for name in source.files if not fnmatch.filter(wanted, name)]
    if absent or not wanted:
        raise PluginError(f"{source.repo} on the hub has no {', '.join(absent) or 'files'}")
    return HubSnapshot(source.repo, str(info.sha), wanted)


def fetch(snapshot: HubSnapshot, into: Path, progress: Callable[[int], None]) -> None:
    """Fetch a snapshot's files below ``into``, going on where an earlier attempt stopped.

    Args:
        snapshot: what to fetch.
        into: a folder; a second call with the same goes on in it.
        progress: is told every 0.2 s how many bytes are there.

    Raises:
        PluginError: a file could not be fetched.
    """
    hub = _library(snapshot.repo)
    failures: list[Exception] = []

    def download() -> None:
        try:
            for name in snapshot.files:
                hub.hf_hub_download(snapshot.repo, name, revision=snapshot.commit, local_dir=into, endpoint=_endpoint())
        except Exception as error:
            failures.append(error)

    worker = threading.Thread(target=download, name=f"pull {snapshot.repo}", daemon=True)
    worker.start()
    while worker.is_alive():
        worker.join(POLL)
        progress(tree_bytes(into))
    if failures:
        raise PluginError(f"{snapshot.repo} could not be fetched: {_first_line(failures[0])}") from failures[0]


def _library(repo: str) -> Any:
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise PluginError(f"fetching {repo} needs the hub's client: pip install huggingface-hub") from error


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _stated(file: Any) -> FileRecord:
    return FileRecord(int(file.size or 0), str(file.lfs.sha256) if file.lfs else "")


def _is_wanted(name: str, patterns: Sequence[str]) -> bool:
    if name.startswith((".", "/")) or ".." in name.split("/"):
        return False
    if not patterns:
        return True
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
