"""Resampler: the same sound at another rate, however it is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sipcore.audio.resample import Resampler
from sipcore.audio.tones import sine
from sipcore.errors import LocalProtocolError


def convert(samples: np.ndarray, source: int, target: int, block: int) -> np.ndarray:
    resampler = Resampler(source, target)
    starts = range(0, max(1, len(samples)), block)
    blocks = [resampler.process(samples[at : at + block], last=at + block >= len(samples)) for at in starts]
    return np.concatenate(blocks)


@pytest.mark.parametrize(("source", "target"), [(22050, 8000), (8000, 16000), (24000, 8000), (44100, 8000)])
def test_a_tone_stays_a_tone_of_the_same_length(source: int, target: int) -> None:
    got = convert(sine(440, 1.0, source), source, target, 320)
    wanted = sine(440, 1.0, target)

    assert len(got) == len(wanted)
    middle = slice(200, -200)
    noise = got[middle].astype(float) - wanted[middle]
    assert 10 * np.log10(np.mean(wanted[middle].astype(float) ** 2) / np.mean(noise**2)) > 50


@given(st.integers(0, 3000), st.integers(1, 700), st.sampled_from([(22050, 8000), (8000, 16000), (8000, 8000)]))
@settings(max_examples=30, deadline=None)
def test_the_length_is_exact_however_the_stream_is_cut(count: int, block: int, rates: tuple[int, int]) -> None:
    source, target = rates
    assert len(convert(sine(440, 1.0, source)[:count], source, target, block)) == round(count * target / source)


def test_a_resampler_serves_one_utterance_after_another() -> None:
    resampler = Resampler(16000, 8000)
    first = resampler.process(sine(440, 0.1, 16000), last=True)
    second = resampler.process(sine(440, 0.1, 16000), last=True)

    assert (first == second).all()


def test_it_holds_back_at_most_one_frame() -> None:
    resampler = Resampler(22050, 8000)
    assert len(resampler.process(sine(440, 0.1, 22050))) >= 800 - 160


def test_full_scale_is_clipped_and_does_not_wrap() -> None:
    square = np.where(np.arange(1600) // 40 % 2, 32767, -32768).astype(np.int16)
    got = convert(square, 8000, 16000, 160)
    assert (np.abs(got[1005:1035].astype(int)) > 20000).all()


def test_the_same_rate_changes_nothing() -> None:
    samples = sine(440, 0.1)
    assert (Resampler(8000, 8000).process(samples) == samples).all()


def test_a_rate_must_be_positive() -> None:
    with pytest.raises(LocalProtocolError):
        Resampler(0, 8000)
