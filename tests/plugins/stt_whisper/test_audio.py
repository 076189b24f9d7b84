"""A call's audio as Whisper wants it."""

import numpy as np
import pytest
from sipcore.plugins import AudioFrame
from sipcore_stt_whisper.audio import for_whisper


def tone(seconds: float, rate: int, amplitude: float) -> AudioFrame:
    wave = amplitude * 32767 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    return AudioFrame.from_samples(wave.astype(np.int16), rate)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000])
def test_any_rate_becomes_16_khz_with_the_same_length_and_level(rate):
    samples = for_whisper(tone(1.0, rate, 0.5))
    assert samples.dtype == np.float32
    assert samples.shape == (16000,)
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.03)
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.argmax(spectrum) == 440


@pytest.mark.parametrize(
    ("audio", "why"),
    [
        (AudioFrame(b"", 8000), "nothing"),
        (tone(0.09, 8000, 0.5), "too short for a word"),
        (tone(2.0, 8000, 0.0), "silence"),
        (tone(2.0, 8000, 0.0009), "fainter than -60 dBFS"),
    ],
)
def test_what_cannot_hold_a_word_becomes_nothing(audio, why):
    assert len(for_whisper(audio)) == 0, why


def test_one_short_sound_in_silence_is_kept():
    quiet = np.zeros(16000, np.int16)
    quiet[8000:8800] = tone(0.1, 8000, 0.1).samples
    assert len(for_whisper(AudioFrame.from_samples(quiet, 8000))) == 32000
