"""A phone of ours holds, resumes and transfers sipp and baresip."""

import sys
from pathlib import Path

import numpy as np
import pytest
from phonelab import waves
from phonelab.baresip import Baresip
from phonelab.lab import LOOPBACK, ROOT, Lab
from phonelab.program import Program
from phonelab.sipp import SippPhone

ERRAND = ROOT / "tests" / "interop" / "phonelab" / "errand.py"
CAROL = f"transfer sip:carol@{LOOPBACK}"


class Errand(Program):
    """A phone of ours, and what it is to do on its call."""

    def __init__(self, lab: Lab, folder: Path, target: str, *steps: str) -> None:
        folder.mkdir(parents=True)
        super().__init__(lab, [sys.executable, str(ERRAND), target, *steps], folder, "errand")


@pytest.mark.parametrize(
    ("scenario", "steps", "expected"),
    [
        ("hold", ["hold", "wait 0.5", "resume"], ["hold: done", "wait 0.5: done", "resume: done"]),
        ("hold_refused", ["hold"], ["hold: 488 Not Acceptable Here"]),
        ("hold_glare", ["hold"], ["hold: done"]),
        ("refer", [CAROL], [f"{CAROL}: done"]),
        ("refer_refused", [CAROL], [f"{CAROL}: 603 Decline"]),
    ],
)
def test_sipp_is_held_and_transferred(lab: Lab, tmp_path: Path, scenario: str, steps: list[str], expected: list[str]):
    with SippPhone(lab, tmp_path / "sipp", scenario) as far:
        with Errand(lab, tmp_path / "phone", far.uri, *steps) as phone:
            status = phone.wait_end(30)
        far_status = far.wait_end(10)
    print(phone.log, far.errors)
    assert (status, far_status) == (0, 0), far.log
    assert phone.log.splitlines() == expected


def test_what_waited_is_heard_both_ways_after_resume(lab: Lab, tmp_path: Path, alice: waves.Samples):
    voice = alice[: 4 * waves.RATE]
    said = waves.write(tmp_path / "hello.wav", voice)
    steps = ["hold", f"queue {said}", "record heard.wav", "wait 1.5", "resume", "wait 6"]
    with SippPhone(lab, tmp_path / "sipp", "hold") as far:
        with Errand(lab, tmp_path / "phone", far.uri, *steps) as phone:
            status = phone.wait_end(30)
        assert far.wait_end(10) == 0, far.errors
    heard = waves.read(tmp_path / "phone" / "heard.wav")[0]
    back, held = waves.compare(voice, heard), waves.spoken_seconds(heard[: round(1.4 * waves.RATE)])
    print(f"sent back: {back}\nsent back while held: {held:.1f} s\n{phone.log}")
    assert status == 0, phone.log
    assert phone.log.count("done") == len(steps), phone.log
    assert held == 0.0
    assert back.median >= 35 and back.lost == 0


def test_baresip_is_silent_while_held_and_talks_when_resumed(lab: Lab, tmp_path: Path, bob: waves.Samples):
    steps = ["wait 1", "hold", "wait 0.3", "record heard.wav", "wait 1.5", "resume", "wait 6.5"]
    says = np.concatenate([bob, bob, bob, waves.silence(20)])
    with Baresip(lab, tmp_path / "bob", says, "bob", answers=True) as callee:
        callee.wait_ready()
        with Errand(lab, tmp_path / "phone", callee.uri, *steps) as phone:
            status = phone.wait_end(30)
        callee.wait_call_over(2)
        callee.quit()
    sound = waves.read(tmp_path / "phone" / "heard.wav")[0]
    cut = round(1.4 * waves.RATE)
    held, heard = waves.spoken_seconds(sound[:cut]), waves.spoken_seconds(sound[cut:])
    print(f"we heard {held:.1f} s of it while it was held, {heard:.1f} s after\n{phone.log}")
    assert status == 0, phone.log
    assert phone.log.count("done") == len(steps), phone.log
    assert (held, callee.log.count("got re-INVITE (SDP Offer)")) == (0.0, 2)
    assert heard >= 4


def test_baresip_calls_whom_it_is_transferred_to(lab: Lab, tmp_path: Path, alice: waves.Samples, bob: waves.Samples):
    carol_says = np.concatenate([alice, waves.silence(20)])
    bob_says = np.concatenate([bob, waves.silence(20)])
    with (
        Baresip(lab, tmp_path / "carol", carol_says, "carol", answers=True) as carol,
        Baresip(lab, tmp_path / "bob", bob_says, "bob", answers=True) as callee,
    ):
        carol.wait_ready()
        callee.wait_ready()
        with Errand(lab, tmp_path / "phone", callee.uri, f"transfer {carol.uri}") as phone:
            status = phone.wait_end(30)
        print(phone.log, callee.log[-3000:])
        assert status == 0, phone.log
        assert "done" in phone.log
        carol.wait_established()
        callee.quit()
        carol.quit()
