"""The judge of what was heard is right: what is lost counts as lost, what a jitter buffer moved does not."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from phonelab import waves
from phonelab.lab import SHARED

SOUND = waves.babble(seed=1, seconds=5.0)
COARSE = (SOUND // 64 * 64).astype(np.int16)
CUTS = [8000, 12100, 14000, 15000, 16250, 19900, 23999]


def left_out(at: int) -> waves.Samples:
    return np.concatenate([COARSE[:at], COARSE[at + 160 :], np.zeros(160, np.int16)])


def added(at: int) -> waves.Samples:
    return np.concatenate([COARSE[:at], np.zeros(160, np.int16), COARSE[at:]])


def silent(start: int, count: int) -> waves.Samples:
    heard = COARSE.copy()
    heard[start : start + count] = 0
    return heard


@pytest.mark.parametrize("delay", [0, 40, 8000])
def test_a_whole_sound(delay: int):
    heard = waves.compare(SOUND, np.concatenate([np.zeros(delay, np.int16), COARSE]))
    assert (heard.windows, heard.lost, heard.slips) == (10, 0, 0)
    assert heard.median > 35 and heard.lag == pytest.approx(delay / waves.RATE)


@pytest.mark.parametrize("at", CUTS)
@pytest.mark.parametrize("change", [left_out, added])
def test_a_step_of_a_jitter_buffer_is_one_slip_and_no_loss(change: Callable[[int], waves.Samples], at: int):
    heard = waves.compare(SOUND, change(at))
    assert (heard.lost, heard.slips) == (0, 1)


@pytest.mark.parametrize(
    ("start", "count", "lost"), [(13000, 2000, 1), (12000, 4000, 1), (14000, 4000, 2), (20000, 20000, 5)]
)
def test_silence_in_its_place_is_lost(start: int, count: int, lost: int):
    assert waves.compare(SOUND, silent(start, count)).lost == lost


def test_a_step_with_a_hole_is_lost():
    heard = added(14000)
    heard[15000:16000] = 0
    assert waves.compare(SOUND, heard).lost == 1


def test_another_sound_is_lost():
    heard = waves.compare(SOUND, waves.babble(seed=2, seconds=5.0))
    assert heard.lost == heard.windows == 10


def test_nothing():
    assert waves.compare(SOUND, waves.silence(1)).lost == 10


def test_it_agrees_with_the_exams_own_judge(tmp_path: Path):
    judge = SHARED / "exams" / "interop" / "cmpwav.py"
    if not judge.exists():
        return
    sent, heard = waves.write(tmp_path / "sent.wav", SOUND), waves.write(tmp_path / "heard.wav", silent(14500, 2000))
    said = subprocess.run(
        [sys.executable, judge, sent, heard], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    ours = waves.compare(SOUND, silent(14500, 2000))
    assert f"windows={ours.windows} median_snr_db={ours.median:.1f} min_snr_db={ours.lowest:.1f} " in said
    assert f"slips={ours.slips} lost={ours.lost} " in said
