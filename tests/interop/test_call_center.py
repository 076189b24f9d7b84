"""`sipcore serve` and call centres that share its calls: programs of their own, real phones."""

import re
import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from phonelab import waves
from phonelab.baresip import Baresip
from phonelab.call_center import CallCenter
from phonelab.lab import Lab
from phonelab.program import wait_until
from phonelab.server import Server
from phonelab.words import Listener, word_error_rate

APOLOGY = "Sorry, something went wrong. Please say that again."
SETTINGS = """
[sip]
max_calls = {most}
[[assistant]]
name = "shop"
greeting = "Hello, this is the garden shop. How can I help you?"
prompt = "You are the phone assistant of a garden shop. Answer in one short sentence."
"""


def test_a_phone_talks_to_a_call_centre_in_another_program(
    start: Callable[..., Server], lab: Lab, tmp_path: Path, alice: waves.Samples
):
    server = start(serve=True)
    with CallCenter(lab, tmp_path / "center", server.url) as center:
        center.wait_ready()
        said = np.concatenate([waves.silence(1.0), alice, waves.silence(2.0)])
        with Baresip(lab, tmp_path / "alice", said, dial=server.uri) as phone:
            phone.wait_call_over(20)
            phone.quit()
        heard = waves.compare(alice, phone.heard())
        server.wait_calls_over(1)
        center.wait_for("call ended: hangup")
        assert center.terminate() == 0
    print(f"said, through the echo in another program, and heard: {heard}")
    assert heard.median >= 35 and heard.lost == 0 and heard.slips <= 1


def test_a_call_centre_that_is_killed_leaves_its_call_to_the_other_which_apologises(
    start: Callable[..., Server], lab: Lab, tmp_path: Path, models: Mapping[str, str], listener: Listener
):
    server = start(serve=True)
    with ExitStack() as stack:

        def center(name: str, most: int) -> CallCenter:
            folder = tmp_path / name
            folder.mkdir()
            (folder / "sipcore.toml").write_text(SETTINGS.format(most=most), encoding="utf-8")
            made = CallCenter(lab, folder, server.url, "whisper,qwen,piper,silero", models)
            return stack.enter_context(made).wait_ready()

        def caller(name: str) -> Baresip:
            phone = Baresip(lab, tmp_path / f"{name}-phone", waves.silence(90), name, dial=server.uri, seconds=120)
            return stack.enter_context(phone).wait_established(20)

        one = center("one", most=1)
        alice = caller("alice")
        one.wait_for("assistant: Hello, this is the garden shop", 30)
        two = center("two", most=0)
        bob = caller("bob")
        two.wait_for("assistant: Hello, this is the garden shop", 30)
        assert (one.took, two.took) == (1, 1)
        one.process.send_signal(signal.SIGKILL)
        two.wait_for("which another call centre held before", 20)
        two.wait_for("assistant: Sorry, something went wrong", 30)
        assert not server.lines("call ended")
        alice.hang_up()
        bob.hang_up()
        server.wait_calls_over(2)
        words = listener.write_down(alice.heard())
        print(f"the caller whose call centre was killed heard: {words!r}")
        assert "garden shop" in words.lower()
        assert word_error_rate(APOLOGY, words[words.lower().find("sorry") :]) <= 0.3
        assert two.terminate() == 0


def test_a_call_that_nobody_takes_over_ends(start: Callable[..., Server], lab: Lab, tmp_path: Path):
    server = start(serve=True, env={"WS_OWNER_TIMEOUT": "2"})
    with CallCenter(lab, tmp_path / "center", server.url) as center:
        center.wait_ready()
        with Baresip(lab, tmp_path / "alice", waves.silence(30), dial=server.uri) as phone:
            phone.wait_established()
            center.wait_for("took the call")
            center.process.send_signal(signal.SIGKILL)
            phone.wait_call_over(15)
    server.wait_for("call ended: nobody takes the call over")


def test_both_programs_write_their_log_files_and_say_that_they_are_alive(
    start: Callable[..., Server], lab: Lab, tmp_path: Path
):
    server = start(serve=True, env={"SIP_LOG_FILE": "logs/sip_server.log"})
    env, heartbeat = {"CALL_CENTER_LOG_FILE": "call_center.log"}, tmp_path / "alive"
    with CallCenter(lab, tmp_path / "center", server.url, env=env, options=("--heartbeat", str(heartbeat))) as center:
        center.wait_ready()
        wait_until(heartbeat.exists, 10, "the heartbeat")
        assert center.terminate() == 0
    server.wait_for("WebSocket client 1 is gone")
    form = re.compile(r"\[(INFO|WARNING)\] - \d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - .+ - \w+\.py:\d+")
    for file in (server.log_file.parent / "logs" / "sip_server.log", tmp_path / "center" / "call_center.log"):
        lines = wait_until(lambda file=file: file.read_text(encoding="utf-8").splitlines(), 5, str(file))
        assert [line for line in lines if not form.fullmatch(line)] == []
