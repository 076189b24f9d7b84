"""``sipcore demo --json``: one call, held once, looked at from all sides."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phonelab import waves
from phonelab.lab import SIPCORE
from phonelab.program import environment

STEPS = ("transcript", "first_token", "first_audio", "first_packet")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Any, Path, str]:
    """Its exit status, its last line as JSON, where it ran, what else it printed."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [SIPCORE, "demo", "--json"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    print(done.stderr[-3000:], done.stdout, sep="\n")
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), folder, done.stderr


def test_it_works(demo):
    status, report, _, _ = demo
    assert status == 0 and report["ok"] is True


def test_the_json_line_has_the_shape_that_is_promised(demo):
    _, report, _, _ = demo
    assert set(report) == {"ok", "turns", "word_error_rate", "barge_in_ms", "recording"}
    for turn in report["turns"]:
        assert set(turn) == {"said", "understood", "reply", "latency_ms"} and set(turn["latency_ms"]) == set(STEPS)
    assert set(report["recording"]) == {"path", "seconds"}


def test_the_caller_asked_twice_interrupted_once_and_was_answered_each_time(demo):
    _, report, _, _ = demo
    assert len(report["turns"]) >= 3
    for turn in report["turns"]:
        assert turn["said"] and turn["understood"] and turn["reply"]


def test_the_times_are_measured_and_in_order(demo):
    _, report, _, _ = demo
    for turn in report["turns"]:
        times = [turn["latency_ms"][step] for step in STEPS]
        print(times)
        assert times == sorted(times) and times[0] > 0 and times[-1] < 20_000
    assert len({turn["latency_ms"]["first_packet"] for turn in report["turns"]}) > 1, "measured, never made up"


def test_the_caller_was_understood(demo):
    _, report, _, _ = demo
    assert 0 <= report["word_error_rate"] <= 0.25


def test_the_interruption_silenced_the_assistant(demo):
    _, report, _, _ = demo
    assert 0 < report["barge_in_ms"] < 2000


def test_the_recording_is_stereo_whole_and_as_long_as_it_says(demo):
    _, report, folder, _ = demo
    path = Path(report["recording"]["path"])
    samples, rate = waves.read(path)
    length = len(samples) / rate
    print(f"{path.name}: {length:.2f} s, caller {waves.spoken_seconds(samples[:, 0]):.1f} s of speech, "
          f"assistant {waves.spoken_seconds(samples[:, 1]):.1f} s")  # fmt: skip
    assert path.parent == folder / "recording"
    assert samples.shape[1] == 2 and rate == 8000
    assert length == pytest.approx(report["recording"]["seconds"], abs=0.05)
    assert length > 10
    caller, assistant = samples[:, 0], samples[:, 1]
    assert waves.spoken_seconds(caller) > 3 and waves.spoken_seconds(assistant) > 4
    assert abs(np.corrcoef(caller.astype(float), assistant.astype(float))[0, 1]) < 0.2, "two sides, not one twice"


def test_it_shows_the_transcript_while_it_goes_on(demo):
    _, report, _, shown = demo
    for turn in report["turns"]:
        assert turn["said"] in shown and turn["understood"] in shown
