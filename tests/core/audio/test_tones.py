"""Tones."""

import numpy as np
import pytest
from sipcore.audio.tones import dtmf, silence, sine
from sipcore.errors import LocalProtocolError


def peaks(samples: np.ndarray, count: int) -> list[float]:
    spectrum = np.abs(np.fft.rfft(samples))
    return sorted(np.argsort(spectrum)[-count:] * 8000 / len(samples))


def test_a_sine_has_its_frequency_and_level() -> None:
    samples = sine(1000, 1.0, level=-20)

    assert peaks(samples, 1) == [1000]
    assert np.abs(samples).max() == pytest.approx(3277, abs=2)


@pytest.mark.parametrize(
    ("digit", "pair"), [("1", [697, 1209]), ("#", [941, 1477]), ("d", [941, 1633]), ("0", [941, 1336])]
)
def test_a_key_has_its_two_tones(digit: str, pair: list[int]) -> None:
    assert peaks(dtmf(digit, 1.0), 2) == pair


@pytest.mark.parametrize("digit", ["x", "", "12"])
def test_there_are_sixteen_keys(digit: str) -> None:
    with pytest.raises(LocalProtocolError):
        dtmf(digit)


def test_silence_is_silent() -> None:
    assert silence(0.5, 16000).tolist() == [0] * 8000
