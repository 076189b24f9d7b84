"""The core's own voice activity detector."""

import numpy as np
import pytest
from sipcore.voice.energy_vad import EnergyVAD

NOISE = np.random.default_rng(1)


def frames(seconds, level):
    """White noise of a root mean square of ``level``, in the detector's frames."""
    return [NOISE.normal(0, level, 256).astype(np.int16) for _ in range(round(seconds * 8000 / 256))]


def probabilities(*stretches):
    detector = EnergyVAD().detector()
    return [[detector.probability(frame) for frame in stretch] for stretch in stretches]


def test_silence_is_no_speech():
    (silent,) = probabilities([np.zeros(256, np.int16)] * 50)
    assert max(silent) < 0.1


@pytest.mark.parametrize("noise", [5, 100, 600])
def test_speech_stands_out_of_the_noise_from_the_start(noise):
    before, speech, after = probabilities(frames(1, noise), frames(2, max(noise * 8, 1200)), frames(1, noise))
    assert max(before) < 0.3
    assert min(speech) > 0.9
    assert max(after) < 0.35


def test_who_speaks_in_the_first_moment_is_heard_after_the_first_pause():
    _, pause, speech = probabilities(frames(0.5, 3000), frames(0.1, 30), frames(1, 3000))
    assert max(pause) < 0.3
    assert min(speech) > 0.9


def test_noise_that_grows_is_got_used_to():
    _, louder = probabilities(frames(1, 100), frames(20, 400))
    assert louder[0] > 0.5
    assert max(louder[-20:]) < 0.35
