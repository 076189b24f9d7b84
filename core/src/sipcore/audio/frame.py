"""One stretch of PCM audio."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sipcore.errors import LocalProtocolError


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """A stretch of mono audio: 16-bit signed little-endian PCM.

    Args:
        pcm: the samples' bytes, two a sample, any length (20 ms on a call: 320 bytes at 8 kHz).
        sample_rate: samples a second.
    """

    pcm: bytes
    sample_rate: int

    def __post_init__(self) -> None:
        if len(self.pcm) % 2:
            raise LocalProtocolError(f"{len(self.pcm)} bytes are no 16-bit samples: an even number was expected")
        if self.sample_rate <= 0:
            raise LocalProtocolError(f"a sample rate of {self.sample_rate} is not possible")

    @classmethod
    def from_samples(cls, samples: NDArray[np.int16], sample_rate: int) -> AudioFrame:
        """Make a frame of int16 samples."""
        return cls(samples.astype("<i2", copy=False).tobytes(), sample_rate)

    @property
    def samples(self) -> NDArray[np.int16]:
        """The samples as int16, shape (n,); read-only, not copied."""
        return np.frombuffer(self.pcm, dtype="<i2")

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.pcm) / 2 / self.sample_rate
