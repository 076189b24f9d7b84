"""Test tones, DTMF tones and silence, as int16 samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sipcore.errors import LocalProtocolError

_ROWS = (697, 770, 852, 941)
_COLUMNS = (1209, 1336, 1477, 1633)
_KEYS = ("123A", "456B", "789C", "*0#D")


def silence(seconds: float, sample_rate: int = 8000) -> NDArray[np.int16]:
    """Return silence, shape (seconds · sample_rate,)."""
    return np.zeros(round(seconds * sample_rate), np.int16)


def sine(frequency: float, seconds: float, sample_rate: int = 8000, *, level: float = -10.0) -> NDArray[np.int16]:
    """Return a sine of ``frequency`` Hz with its peak at ``level`` dB below full scale."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return _scaled(np.sin(2 * np.pi * frequency * time), level)


def dtmf(digit: str, seconds: float = 0.1, sample_rate: int = 8000, *, level: float = -10.0) -> NDArray[np.int16]:
    """Return the two tones of a key (ITU-T Q.23).

    Raises:
        LocalProtocolError: there is no such key.
    """
    for row, keys in zip(_ROWS, _KEYS, strict=True):
        column = keys.find(digit.upper())
        if column >= 0 and len(digit) == 1:
            time = np.arange(round(seconds * sample_rate)) / sample_rate
            pair = np.sin(2 * np.pi * row * time) + np.sin(2 * np.pi * _COLUMNS[column] * time)
            return _scaled(pair / 2, level)
    raise LocalProtocolError(f"{digit!r} is no key of a telephone: 0-9, *, #, A-D were expected")


def _scaled(wave: NDArray[np.float64], level: float) -> NDArray[np.int16]:
    return np.rint(wave * 32767 * 10 ** (level / 20)).astype(np.int16)
