"""G.711: A-law and µ-law by tables, made from the Recommendation's formulas.

The µ-law encoder is the ITU's own (the G.191 software tools), which takes a negative sample's magnitude by one's
complement: a sweep of all 65,536 samples agrees with the ITU's vectors bit for bit. Encoders that negate instead
(Sun's, ``audioop``) differ in 508 negative samples, each of which lies exactly on a decision value.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sipcore.audio.codec import Codec

PCMU_SILENCE = 0xFF
"""The µ-law code of a zero sample."""
PCMA_SILENCE = 0xD5
"""The A-law code of a zero sample."""


def _segments(magnitudes: NDArray[np.int32], first: int) -> NDArray[np.int32]:
    """Return the chord of each magnitude: how many of the bounds ``first``, 2·first, 4·first … it reaches."""
    bounds = first * (1 << np.arange(7))
    return np.searchsorted(bounds, magnitudes, side="right").astype(np.int32)


def _ulaw_encoding() -> NDArray[np.uint8]:
    """G.711 §3.2 table 2: 14-bit magnitude plus 33, chord and step; all bits but the sign inverted."""
    samples = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    magnitudes = np.minimum((np.where(samples < 0, ~samples, samples) >> 2) + 33, 0x1FFF)
    chord = _segments(magnitudes, 0x40)
    step = magnitudes >> (chord + 1) & 0x0F
    code = (chord << 4 | step) ^ 0x7F
    return np.where(samples < 0, code, code | 0x80).astype(np.uint8)


def _alaw_encoding() -> NDArray[np.uint8]:
    """G.711 §3.2 table 1: 12-bit magnitude, chord and step; even bits inverted."""
    samples = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    magnitudes = np.where(samples < 0, ~samples, samples) >> 4
    chord = _segments(magnitudes, 0x10)
    step = np.where(chord > 0, magnitudes >> np.maximum(chord - 1, 0) & 0x0F, magnitudes)
    code = chord << 4 | step
    return (np.where(samples < 0, code, code | 0x80) ^ 0x55).astype(np.uint8)


def _ulaw_decoding() -> NDArray[np.int16]:
    codes = ~np.arange(256, dtype=np.uint8)
    chord = (codes >> 4 & 7).astype(np.int32)
    magnitudes = ((((codes & 0x0F).astype(np.int32) << 1) + 33 << chord) - 33) << 2
    return np.where(codes & 0x80, -magnitudes, magnitudes).astype(np.int16)


def _alaw_decoding() -> NDArray[np.int16]:
    codes = np.arange(256, dtype=np.uint8) ^ 0x55
    chord = (codes >> 4 & 7).astype(np.int32)
    step = (codes & 0x0F).astype(np.int32)
    magnitudes = np.where(chord > 0, (2 * step + 33) << np.maximum(chord - 1, 0), 2 * step + 1) << 3
    return np.where(codes & 0x80, magnitudes, -magnitudes).astype(np.int16)


PCMU_ENCODING = _ulaw_encoding()
"""µ-law code by sample seen as unsigned, shape (65536,)."""
PCMU_DECODING = _ulaw_decoding()
"""Sample by µ-law code, shape (256,)."""
PCMA_ENCODING = _alaw_encoding()
"""A-law code by sample seen as unsigned, shape (65536,)."""
PCMA_DECODING = _alaw_decoding()
"""Sample by A-law code, shape (256,)."""


class _TableEncoder:
    def __init__(self, table: NDArray[np.uint8]) -> None:
        self._table = table

    def encode(self, samples: NDArray[np.int16]) -> bytes:
        return self._table[samples.view(np.uint16)].tobytes()


class _TableDecoder:
    def __init__(self, table: NDArray[np.int16]) -> None:
        self._table = table

    def decode(self, payload: bytes) -> NDArray[np.int16]:
        return self._table[np.frombuffer(payload, np.uint8)]


def _codec(name: str, payload_type: int, encoding: NDArray[np.uint8], decoding: NDArray[np.int16]) -> Codec:
    return Codec(name, payload_type, 8000, 8000, lambda: _TableEncoder(encoding), lambda: _TableDecoder(decoding))


PCMU = _codec("PCMU", 0, PCMU_ENCODING, PCMU_DECODING)
"""µ-law, RFC 3551 §4.5.14."""
PCMA = _codec("PCMA", 8, PCMA_ENCODING, PCMA_DECODING)
"""A-law, RFC 3551 §4.5.14."""
