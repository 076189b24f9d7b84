"""Sounds to play on calls, and the judge of what was heard."""

from __future__ import annotations

import csv
import itertools
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phonelab.lab import ROOT, SHARED

RATE = 8000
SPEECH = ROOT / "tests" / "vectors" / "speech"
Samples = NDArray[np.int16]


def voice(name: str, seconds: float = 5.8) -> Samples:
    """Somebody's voice, 8 kHz: ``alice`` or ``bob`` of the exams; without them babble that no other name has."""
    recorded = SHARED / "exams" / "interop" / f"{name}.wav"
    samples = read(recorded)[0] if recorded.exists() else babble(seed=sum(name.encode()), seconds=seconds)
    return samples[: round(seconds * RATE)]


def babble(seed: int, seconds: float) -> Samples:
    """Noise with the spectrum and the syllables of speech: no part of it is like another."""
    random = np.random.default_rng(seed)
    count = round(seconds * RATE)
    spectrum = np.fft.rfft(random.standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / RATE)
    shaped = np.fft.irfft(spectrum * np.where((hertz > 150) & (hertz < 3400), 1 / (1 + (hertz / 700) ** 2), 0), count)
    grid = np.arange(0, count + 1600, 1600)
    syllables = np.interp(np.arange(count), grid, random.uniform(0.2, 1, len(grid)))
    sound = shaped * syllables
    return (sound / np.abs(sound).max() * 20000).astype(np.int16)


def prompt(name: str) -> tuple[Samples, str]:
    """A spoken prompt, recorded by others, and its words."""
    with (SPEECH / "index.tsv").open(encoding="utf-8") as lines:
        words = {row["file"]: row["text"] for row in csv.DictReader(lines, delimiter="\t")}
    samples, rate = read(SPEECH / f"{name}.wav")
    assert rate == RATE
    return samples, words[f"{name}.wav"]


def silence(seconds: float) -> Samples:
    """Nothing."""
    return np.zeros(round(seconds * RATE), np.int16)


def write(path: Path, samples: Samples, rate: int = RATE) -> Path:
    """Write a mono WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def read(path: Path) -> tuple[Samples, int]:
    """Samples (a column a channel when there are several) and rate of a WAV file."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        channels = file.getnchannels()
        return (samples.reshape(-1, channels) if channels > 1 else samples), file.getframerate()


def seconds(path: Path) -> float:
    """How long a WAV file plays by its header."""
    with wave.open(str(path)) as file:
        return file.getnframes() / file.getframerate()


def loudness(samples: Samples) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(samples.astype(np.float64))))) if len(samples) else 0.0


def spoken_seconds(samples: Samples, rate: int = RATE, loud: float = 200.0) -> float:
    """How many seconds of it are louder than a quiet room, in blocks of 20 ms."""
    step = rate // 50
    blocks = samples[: len(samples) // step * step].reshape(-1, step).astype(np.float64)
    return float(np.count_nonzero(np.sqrt(np.mean(np.square(blocks), axis=1)) > loud)) / 50


# --- the judge --------------------------------------------------------------------------------------------------------

_QUIET = 150.0
_LOST_BELOW = 10.0
_DRIFT = 0.4
_STEP = 0.1
"""Seconds that a jitter buffer may move at once."""


@dataclass(frozen=True, slots=True)
class Heard:
    """How much of a sound arrived, in windows of half a second.

    Args:
        windows: those of the sound that are not silent.
        median: of their signal-to-noise ratios, dB; G.711's own limit is about 37.
        lowest: the worst.
        lost: windows below 10 dB: not there. One within which the sound slipped, all there on either side, is not lost.
        slips: how often the sound came earlier or later than before: a jitter buffer at work.
        lag: seconds from the start of what was heard to the start of the sound.
    """

    windows: int
    median: float
    lowest: float
    lost: int
    slips: int
    lag: float

    def __str__(self) -> str:
        return (
            f"{self.windows} windows: median {self.median:.1f} dB, lowest {self.lowest:.1f} dB, "
            f"{self.lost} lost, {self.slips} slips, lag {1000 * self.lag:.0f} ms"
        )


@dataclass(slots=True)
class _Window:
    """A window of the sound, where in the recording it is most likely, and how well it fits there."""

    start: int
    samples: NDArray[np.float64]
    lag: int = 0
    ratio: float = -99.0

    @property
    def there(self) -> bool:
        return self.ratio >= _LOST_BELOW


def compare(sent: Samples, heard: Samples, rate: int = RATE) -> Heard:
    """Find ``sent`` in ``heard``: a global lag first, then each window's own best lag within 400 ms of it."""
    sound, recording = sent.astype(np.float64), heard.astype(np.float64)
    lag = _global_lag(sound, recording)
    width = rate // 2
    windows = [_Window(start, sound[start : start + width]) for start in range(0, len(sound) - width + 1, width)]
    windows = [window for window in windows if np.sqrt(np.mean(np.square(window.samples))) >= _QUIET]
    for window in windows:
        _place(window, recording, lag, round(_DRIFT * rate))
    there = [window for window in windows if window.there]
    ratios = [window.ratio for window in windows]
    return Heard(
        windows=len(windows),
        median=float(np.median(ratios)) if ratios else -99.0,
        lowest=min(ratios, default=-99.0),
        lost=sum(not window.there and not _slipped(window, there, recording, rate) for window in windows),
        slips=sum(abs(b.lag - a.lag) > 2 for a, b in itertools.pairwise(there)),
        lag=lag / rate,
    )


def _global_lag(sound: NDArray[np.float64], recording: NDArray[np.float64]) -> int:
    size = 1 << (len(sound) + len(recording) - 1).bit_length()
    likeness = np.fft.irfft(np.fft.rfft(recording, size) * np.conj(np.fft.rfft(sound, size)), size)
    lag = int(np.argmax(likeness))
    return lag if lag < size // 2 else lag - size


def _place(window: _Window, recording: NDArray[np.float64], lag: int, reach: int) -> None:
    width = len(window.samples)
    first = max(0, window.start + lag - reach)
    stretch = recording[first : window.start + lag + reach + width]
    if len(stretch) < width:
        return
    energy = np.sqrt(np.convolve(np.square(stretch), np.ones(width), "valid")) + 1e-9
    best = int(np.argmax(np.correlate(stretch, window.samples, "valid") / energy))
    window.lag = first + best - window.start
    window.ratio = _signal_to_noise(window.samples, stretch[best : best + width])


def _slipped(window: _Window, there: list[_Window], recording: NDArray[np.float64], rate: int) -> bool:
    """Whether a window begins at the lag of the one before and ends at that of the one after, but for the step."""
    before = max((other for other in there if other.start < window.start), key=lambda other: other.start, default=None)
    after = min((other for other in there if other.start > window.start), key=lambda other: other.start, default=None)
    if before is None or after is None or not 2 < abs(after.lag - before.lag) <= _STEP * rate:
        return False
    width, step = len(window.samples), abs(after.lag - before.lag)
    early = recording[window.start + before.lag :][:width]
    late = recording[window.start + after.lag :][:width]
    if min(len(early), len(late)) < width:
        return False
    for cut in range(0, width - step, rate // 800):
        kept = np.r_[0:cut, cut + step : width]
        joined = np.concatenate([early[:cut], late[cut + step :]])
        if _signal_to_noise(window.samples[kept], joined) > 2 * _LOST_BELOW:
            return True
    return False


def _signal_to_noise(sound: NDArray[np.float64], heard: NDArray[np.float64]) -> float:
    gain = np.dot(sound, heard) / (np.dot(sound, sound) + 1e-9)
    noise = heard - gain * sound
    return float(10 * np.log10((np.dot(gain * sound, gain * sound) + 1e-9) / (np.dot(noise, noise) + 1e-9)))
