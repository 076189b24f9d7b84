"""The folder of models on this machine: what is complete there, and one writer at a time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sipcore.errors import PluginError
from sipcore.plugins.model_manifest import Model

RECORD = ".sipcore.json"
CHUNK = 1 << 20


def store_folder() -> Path:
    """Return the folder of models: ``SIPCORE_MODELS``, or ``sipcore/models`` in the user's XDG cache."""
    own = os.environ.get("SIPCORE_MODELS")
    if own:
        return Path(own).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "sipcore" / "models"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What a file of an installed model must be: its size, and its sha256 or ``""`` where nobody states one."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """One model's place in the store.

    A model is built in a staging folder and moved to its own by one rename, so that it is there whole or not at all.
    """

    root: Path
    model: Model

    @property
    def path(self) -> Path:
        """Where its files are once it is installed."""
        return self.root / self.model.folder

    @property
    def staging(self) -> Path:
        """Where it is being built; what is there survives an interruption."""
        return self.root / f".{self.model.folder}.part"

    def expected(self) -> Mapping[str, FileRecord]:
        """Return what its files must be: as the manifest says, or for a hub's model as the hub said when it came.

        Raises:
            PluginError: its record is damaged.
        """
        if self.model.files:
            return {file.name: FileRecord(file.bytes, file.sha256) for file in self.model.files}
        try:
            text = (self.path / RECORD).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return {}
        try:
            stored = cast("dict[str, dict[str, object]]", json.loads(text))
            return {n: FileRecord(int(str(f["bytes"])), str(f["sha256"])) for n, f in stored.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PluginError(
                f"{self.path / RECORD} is damaged ({error}): delete {self.path} and pull it again"
            ) from error

    def is_installed(self) -> bool:
        """Whether all its files are there with their right sizes (their contents are `check_file`'s matter)."""
        expected = self.expected()
        return bool(expected) and all(_size(self.path / name) == file.bytes for name, file in expected.items())

    def install(self, files: Mapping[str, FileRecord]) -> None:
        """Move the staging folder, whose files were all verified, to its final place."""
        record = {name: {"bytes": file.bytes, "sha256": file.sha256} for name, file in files.items()}
        (self.staging / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
        if self.path.exists():
            shutil.rmtree(self.path)
        self.staging.rename(self.path)

    @contextmanager
    def locked(self, waiting: Callable[[], None]) -> Generator[None]:
        """Hold the model for writing; while another process does, ``waiting`` is called every 0.2 s."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / f".{self.model.folder}.lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    waiting()
                    time.sleep(0.2)
            yield


def check_file(path: Path, expected: FileRecord) -> str:
    """Return what is wrong with a file, in a few words; ``""`` when nothing is."""
    size = _size(path)
    if size is None:
        return "is missing"
    if size != expected.bytes:
        return f"has {size} bytes, expected {expected.bytes}"
    if expected.sha256 and sha256(path) != expected.sha256:
        return f"has another content than the manifest says (sha256 {expected.sha256[:12]}… was expected)"
    return ""


def sha256(path: Path) -> str:
    """Return a file's sha256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_bytes(folder: Path) -> int:
    """Return how many bytes the files below ``folder`` hold; a file that vanishes meanwhile counts nothing."""
    total = 0
    for path, _, names in os.walk(folder):
        total += sum(_size(Path(path) / name) or 0 for name in names)
    return total


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
