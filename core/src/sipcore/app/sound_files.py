"""The sound files that clients may have played: those of one folder."""

from __future__ import annotations

from pathlib import Path

import anyio.to_thread

from sipcore.audio.frame import AudioFrame
from sipcore.audio.wav import read_audio
from sipcore.errors import RemoteProtocolError, SipcoreError

LONGEST_SECONDS = 600.0


class SoundFiles:
    """Reads files below a folder, and nothing else.

    Args:
        folder: OUTPUT_DIR.
        sample_rate: of the calls.
    """

    def __init__(self, folder: Path, sample_rate: int) -> None:
        self._folder = folder
        self._sample_rate = sample_rate

    async def load(self, name: str) -> AudioFrame:
        """Read a file, whatever its rate and format.

        Raises:
            RemoteProtocolError: 403 for what lies elsewhere, 404 for what is not there, 415 for what cannot be played.
        """
        return await anyio.to_thread.run_sync(self._load, name)

    def _load(self, name: str) -> AudioFrame:
        path = self._find(name)
        try:
            frame = read_audio(path, self._sample_rate)
        except (OSError, SipcoreError) as error:
            raise RemoteProtocolError(f"{name!r} cannot be played: {error}", 415) from error
        if frame.duration > LONGEST_SECONDS:
            raise RemoteProtocolError(f"{name!r} is longer than {LONGEST_SECONDS:g} s", 413)
        return frame

    def _find(self, name: str) -> Path:
        root = self._folder.resolve()
        try:
            path = (root / name).resolve()
            is_there = path.is_file()
        except (OSError, RuntimeError, ValueError) as error:  # too long, not readable, links in a circle, a NUL
            raise RemoteProtocolError(f"{name[:100]!r} cannot be looked for in OUTPUT_DIR", 404) from error
        if not path.is_relative_to(root):
            raise RemoteProtocolError(f"{name!r} is not in OUTPUT_DIR", 403)
        if not is_there:
            raise RemoteProtocolError(f"there is no {name!r} in OUTPUT_DIR", 404)
        return path
