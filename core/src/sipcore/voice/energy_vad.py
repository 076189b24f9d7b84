"""The core's own voice activity detector, for a call without any plugin: loudness over an adapting noise floor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

QUIETEST = 60.0
"""Root mean square of 16-bit samples under which nothing is speech: about -55 dB of full scale."""


class EnergyDetector:
    """Speech is what is 9 dB above the noise.

    The first frame is taken for noise; after it, the noise floor falls at once and rises by 1 dB a second.
    """

    sample_rate = 8000
    frame_samples = 256

    def __init__(self) -> None:
        self._floor = float("inf")

    def probability(self, frame: NDArray[np.int16]) -> float:
        """0.5 at 9 dB over the noise floor; 6 dB more or less are certainty."""
        level = float(np.sqrt(np.mean(np.square(frame, dtype=np.float64))))
        rise = 10 ** (1 / 20 * self.frame_samples / self.sample_rate)
        self._floor = max(QUIETEST, min(level, self._floor * rise))
        over = 20 * np.log10(max(level, 1.0) / self._floor)
        return float(np.clip(0.5 + (over - 9.0) / 12.0, 0.0, 1.0))


class EnergyVAD:
    """Voice activity by loudness."""

    def detector(self) -> EnergyDetector:
        """Make a detector for one call."""
        return EnergyDetector()
