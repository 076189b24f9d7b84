"""Change of sample rate, streaming."""

from __future__ import annotations

from typing import Protocol, cast

import numpy as np
import samplerate
from numpy.typing import NDArray

from sipcore.errors import LocalProtocolError


class _Converter(Protocol):
    def process(
        self, input_data: NDArray[np.float32], ratio: float, *, end_of_input: bool = False
    ) -> NDArray[np.float32]: ...


class Resampler:
    """Converts one stream of mono samples to another rate (windowed sinc: ``samplerate`` sinc_fastest).

    Args:
        source_rate: samples a second that go in.
        target_rate: samples a second that come out.
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        if source_rate <= 0 or target_rate <= 0:
            raise LocalProtocolError(f"cannot resample from {source_rate} to {target_rate} samples a second")
        self.source_rate = source_rate
        self.target_rate = target_rate
        self._taken = 0
        self._made = 0
        self._converter = self._new()

    def process(self, samples: NDArray[np.int16], *, last: bool = False) -> NDArray[np.int16]:
        """Convert the next samples (int16, shape (n,)); a little stays inside until ``last``.

        With ``last`` the output is complete: its total is the input's times the ratio, rounded; a next call starts a
        new stream.
        """
        if self._converter is None:
            return samples
        scaled = samples.astype(np.float32) / np.float32(32768.0)
        made = self._converter.process(scaled, self.target_rate / self.source_rate, end_of_input=last)
        self._taken += len(samples)
        if last:
            made = self._exactly(made)
        self._made += len(made)
        if last:
            self._taken = self._made = 0
            self._converter = self._new()
        return np.clip(np.rint(made * np.float32(32768.0)), -32768, 32767).astype(np.int16)

    def _new(self) -> _Converter | None:
        if self.source_rate == self.target_rate:
            return None
        return cast("_Converter", samplerate.Resampler("sinc_fastest", channels=1))  # pyright: ignore[reportUnknownMemberType]

    def _exactly(self, made: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cut or fill the tail, so that no utterance grows or shrinks by the filter's edge."""
        wanted = max(0, round(self._taken * self.target_rate / self.source_rate) - self._made)
        return np.pad(made[:wanted], (0, max(0, wanted - len(made))))
