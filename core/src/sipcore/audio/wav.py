"""Audio files: read what libsndfile knows, write WAV, repair what a crash cut."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import soundfile
from numpy.typing import NDArray

from sipcore.audio import riff
from sipcore.audio.frame import AudioFrame
from sipcore.audio.resample import Resampler
from sipcore.errors import MediaError


def read_audio(source: Path | BinaryIO, sample_rate: int) -> AudioFrame:
    """Read a file (WAV, FLAC, Ogg, MP3 …) as mono audio at ``sample_rate``.

    Channels are averaged; another rate is resampled.

    Raises:
        MediaError: the file is not there, is no audio, or holds nothing.
    """
    name = str(source) if isinstance(source, Path) else str(getattr(source, "name", "the stream"))
    try:
        data, rate = soundfile.read(source, dtype="float32", always_2d=True)
    except (OSError, RuntimeError, TypeError) as error:
        raise MediaError(f"{name} cannot be read as audio ({error}): a WAV, FLAC or Ogg file was expected") from error
    samples = cast("NDArray[np.float32]", data)
    if not len(samples):
        raise MediaError(f"{name} holds no audio: a file with at least one sample was expected")
    mono = np.rint(np.clip(32768 * samples.mean(axis=1, dtype=np.float64), -32768, 32767)).astype(np.int16)
    return AudioFrame.from_samples(Resampler(int(rate), sample_rate).process(mono, last=True), sample_rate)


def write_wav(path: Path, audio: AudioFrame) -> None:
    """Write a frame as a mono 16-bit WAV file, over what is there."""
    path.write_bytes(riff.header(len(audio.pcm), audio.sample_rate, channels=1) + audio.pcm)


def repair(path: Path) -> bool:
    """Make a WAV file's header true again after a crash (`riff.repair`); True if something had to change.

    Raises:
        MediaError: it is no WAV file, or it ends before its samples.
    """
    with path.open("r+b") as file:
        return riff.repair(file)
