"""A call's audio as Whisper wants it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sipcore.plugins import AudioFrame, Resampler

RATE = 16000
SHORTEST = 0.1
BLOCK = RATE // 20
FAINTEST = 10 ** (-60 / 20)


def for_whisper(audio: AudioFrame) -> NDArray[np.float32]:
    """Return audio as float32 in -1 to 1 at 16 kHz, shape (n,); empty when it is too short or too faint for a word.

    Less than 0.1 s holds no word. Nor does audio that never rises over -60 dBFS for 50 ms: telephone speech is some
    30 dB louder, and on silence Whisper invents text.
    """
    if audio.duration < SHORTEST:
        return np.zeros(0, np.float32)
    wide = Resampler(audio.sample_rate, RATE).process(audio.samples, last=True)
    samples = wide.astype(np.float32) / np.float32(32768)
    whole = len(samples) - len(samples) % BLOCK
    loudness = np.sqrt(np.mean(samples[:whole].reshape(-1, BLOCK) ** 2, axis=1))
    return samples if loudness.max() > FAINTEST else np.zeros(0, np.float32)
