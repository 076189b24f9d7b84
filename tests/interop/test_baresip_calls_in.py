"""baresip calls us: what it hears is what was played, what is recorded is what it said."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from phonelab import waves
from phonelab.baresip import Baresip
from phonelab.lab import Lab
from phonelab.server import Server

G711_GOOD = 35.0


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
def test_greeting_and_recording_are_heard_whole(
    start: Callable[..., Server],
    lab: Lab,
    tmp_path: Path,
    greeting: Path,
    alice: waves.Samples,
    bob: waves.Samples,
    codec: str,
):
    server = start(greeting=greeting)
    said = np.concatenate([alice, waves.silence(2.5)])
    with Baresip(lab, tmp_path / "alice", said, dial=server.uri, codecs=f"{codec}/8000/1") as phone:
        phone.wait_established()
        phone.wait_call_over(15)
        phone.quit()
    server.wait_calls_over(1)
    ours = waves.compare(bob, phone.heard())
    theirs = waves.compare(alice, waves.read(server.wavs()[0])[0])
    print(f"{codec}: baresip heard: {ours}\n{codec}: we recorded: {theirs}")
    assert f"Set audio decoder: {codec}" in phone.log
    assert ours.median >= G711_GOOD and ours.lost == 0 and ours.slips <= 1
    assert theirs.median >= G711_GOOD and theirs.lost == 0 and theirs.slips <= 1


def test_the_echo_says_back_what_baresip_says(
    start: Callable[..., Server], lab: Lab, tmp_path: Path, alice: waves.Samples
):
    server = start()
    said = np.concatenate([alice, waves.silence(1.5)])
    with Baresip(lab, tmp_path / "alice", said, dial=server.uri) as phone:
        phone.wait_call_over(15)
        phone.quit()
    heard = waves.compare(alice, phone.heard())
    print(f"echo: {heard}")
    assert heard.median >= 35 and heard.lost == 0 and heard.slips <= 2, "two jitter buffers, and our loop between them"


def test_baresip_hangs_up_and_the_call_is_over_at_once(
    start: Callable[..., Server], lab: Lab, tmp_path: Path, alice: waves.Samples, greeting: Path
):
    server = start(greeting=greeting)
    with Baresip(lab, tmp_path / "alice", alice, dial=server.uri) as phone:
        phone.wait_established()
        phone.hang_up()
    server.wait_for("call ended: hangup", 1)


def test_we_hang_up_when_the_server_stops(start: Callable[..., Server], lab: Lab, tmp_path: Path, alice: waves.Samples):
    server = start()
    with Baresip(lab, tmp_path / "alice", alice, dial=server.uri) as phone:
        phone.wait_established()
        server.stop()
        phone.wait_call_over(2)
        phone.quit()
