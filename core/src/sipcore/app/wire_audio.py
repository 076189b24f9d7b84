"""The audio of RTP messages: 16-bit PCM at 8 kHz, or the octets of G.711, as a connection asked for."""

from __future__ import annotations

import numpy as np

from sipcore.audio.frame import AudioFrame
from sipcore.audio.g711 import PCMA_DECODING, PCMA_ENCODING, PCMU_DECODING, PCMU_ENCODING
from sipcore.errors import RemoteProtocolError
from sipcore.net.websocket import AudioFormat

RATE = 8000
_ENCODING = {"pcmu": PCMU_ENCODING, "pcma": PCMA_ENCODING}
_DECODING = {"pcmu": PCMU_DECODING, "pcma": PCMA_DECODING}


def to_wire(frame: AudioFrame, audio_format: AudioFormat) -> bytes:
    """Return a frame's octets."""
    if audio_format == "pcm":
        return frame.pcm
    return _ENCODING[audio_format][frame.samples.view(np.uint16)].tobytes()


def from_wire(audio: bytes, audio_format: AudioFormat) -> AudioFrame:
    """Return the audio of a message.

    Raises:
        RemoteProtocolError: 400 for half a sample, 413 for more than a second.
    """
    if audio_format != "pcm":
        audio = _DECODING[audio_format][np.frombuffer(audio, np.uint8)].astype("<i2").tobytes()
    if len(audio) % 2:
        raise RemoteProtocolError(f"{len(audio)} octets are no 16-bit samples: an even number was expected")
    if len(audio) > 2 * RATE:
        raise RemoteProtocolError("at most a second of audio was expected", 413)
    return AudioFrame(audio, RATE)
