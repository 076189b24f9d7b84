"""Recordings as files: their names, their repair after a crash, their removal when they are old."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from sipcore.audio.wav import repair
from sipcore.errors import MediaError
from sipcore.plugins.interfaces import CallInfo

LOW_SPACE = 500_000_000
"""Bytes: with less left it is time to warn. One caller's audio takes 58 MB an hour."""
STALE_RESERVATION = 60.0
"""Seconds after which a reserved name that nothing was written to counts as left by a crash."""

_OURS = re.compile(r"\d{8}-\d{6}_(incoming|outgoing)_[A-Za-z0-9+.-]{1,32}_[0-9a-f]{6}\.wav")
_REPLY = re.compile(r"\d{8}-\d{6}_[0-9a-f]{6}_\d{1,6}\.wav")
_USER = re.compile(r"(?:.*<)?(?:(?:sips?|tel):)?([^@<>;?]*)", re.DOTALL | re.IGNORECASE)
_UNSAFE = re.compile(r"[^A-Za-z0-9+.-]+")


def recording_path(folder: Path, info: CallInfo, started: datetime) -> Path:
    """Reserve a new recording's name by making an empty file, mode 0600, which nobody else then gets.

    Such as ``20261123-101500_incoming_alice_ab12cd.wav``: when, which way, who is at the other end, and a tag of the
    Call-ID. Nothing a peer sends can make it leave ``folder``, whose missing parts are made.

    Raises:
        OSError: the folder or the file cannot be made: no rights, a full disk …
    """
    party = info.caller if info.direction == "incoming" else info.callee
    start = f"{started:%Y%m%d-%H%M%S}_{info.direction}_{_safe_user(party)}"
    return _reserve(folder, f"{start}_{{}}.wav", info)


def reply_path(folder: Path, info: CallInfo, number: int, ended: datetime) -> Path:
    """Reserve the name of the ``number``-th reply of a call, like `recording_path`: ``20261123-101500_ab12cd_1.wav``.

    The tag is the same as in the name of the call's recording.

    Raises:
        OSError: the folder or the file cannot be made.
    """
    return _reserve(folder, f"{ended:%Y%m%d-%H%M%S}_{{}}_{number}.wav", info)


def _reserve(folder: Path, name: str, info: CallInfo) -> Path:
    """Make an empty file, mode 0600; where another has the name, the tag is made up."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    tag = hashlib.sha256(info.call_id.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    while True:
        path = folder / name.format(tag)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            return path
        tag = secrets.token_hex(3)


def _safe_user(party: str) -> str:
    """The user part of a URI or a number, as part of a file's name: 1 to 32 harmless characters."""
    found = _USER.match(party)
    user = _UNSAFE.sub("-", found.group(1) if found else "").strip("-.")[:32].strip("-.")
    return user or "anonymous"


def repair_recordings(folder: Path) -> list[Path]:
    """Make the header of every recording in ``folder`` true to its length, after a crash. Twice does no more.

    Reserved names that nothing was ever written to are removed. What cannot be read or is no WAV stays as it is.

    Returns:
        the files that were repaired.
    """
    return [path for path in _recordings(folder) if not _removed_as_empty(path) and _repaired(path)]


def _removed_as_empty(path: Path) -> bool:
    """A fresh one stays: another program may have reserved it just now."""
    found = path.lstat()
    return not found.st_size and time.time() - found.st_mtime > STALE_RESERVATION and _removed(path)


def _repaired(path: Path) -> bool:
    with suppress(OSError, MediaError):
        return repair(path)
    return False


def remove_old(folder: Path, days: int, now: datetime) -> list[Path]:
    """Remove recordings and replies last written more than ``days`` before ``now``; 0 keeps them for ever.

    Only plain files of `recording_path`'s or `reply_path`'s form are touched.

    Returns:
        the files that were removed.
    """
    if days <= 0:
        return []
    oldest = (now - timedelta(days=days)).timestamp()
    found = [*_recordings(folder), *_recordings(folder, _REPLY)]
    return [path for path in found if _written(path) < oldest and _removed(path)]


def _written(path: Path) -> float:
    """When a file was last written; one that is gone meanwhile counts as new."""
    with suppress(FileNotFoundError):
        return path.lstat().st_mtime
    return float("inf")


def _removed(path: Path) -> bool:
    with suppress(OSError):
        path.unlink()
        return True
    return False


def _recordings(folder: Path, form: re.Pattern[str] = _OURS) -> Iterator[Path]:
    with suppress(FileNotFoundError, NotADirectoryError):
        for path in sorted(folder.iterdir()):
            if form.fullmatch(path.name) and stat.S_ISREG(path.lstat().st_mode):
                yield path


def free_bytes(folder: Path) -> int:
    """Bytes that may still be written below ``folder``, which need not exist yet."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    return shutil.disk_usage(existing).free
