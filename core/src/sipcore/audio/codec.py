"""What a codec is: a record. The engine imports a plugin's factories by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Encoder(Protocol):
    """An encoder's state for one stream."""

    def encode(self, samples: NDArray[np.int16]) -> bytes:
        """Encode one frame of samples (int16, shape (n,))."""
        ...


class Decoder(Protocol):
    """A decoder's state for one stream."""

    def decode(self, payload: bytes) -> NDArray[np.int16]:
        """Decode one packet's payload to samples (int16, shape (n,))."""
        ...


@dataclass(frozen=True, slots=True)
class Codec:
    """A codec as the SDP and the media engine see it.

    Args:
        name: its encoding name in ``rtpmap``: ``PCMU``.
        payload_type: the static payload type (RFC 3551 §6), or None for a dynamic one.
        clock_rate: RTP timestamp units a second.
        sample_rate: samples a second of its PCM.
        encoder: makes an encoder for one stream.
        decoder: makes a decoder for one stream.
    """

    name: str
    payload_type: int | None
    clock_rate: int
    sample_rate: int
    encoder: Callable[[], Encoder]
    decoder: Callable[[], Decoder]
