"""A program follows the calls of `sipcore run`: it reads what is said, and has the assistant say something."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from phonelab import waves
from phonelab.baresip import Baresip
from phonelab.lab import Lab
from phonelab.server import Server
from phonelab.tap import Client
from phonelab.words import Listener, word_error_rate

SETTINGS = """
[[assistant]]
name = "shop"
greeting = "Hello, this is the garden shop."
prompt = "You are the phone assistant of a garden shop. Answer in one short sentence."
"""
ASKED = "Please hold the line, a colleague is coming."


def test_a_follower_reads_what_is_said_and_has_something_said(
    start: Callable[..., Server], lab: Lab, tmp_path: Path, models: Mapping[str, str], listener: Listener
):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "sipcore.toml").write_text(SETTINGS, encoding="utf-8")
    server = start(folder=folder, plugins="whisper,qwen,piper,silero", env=models)
    client = Client(lab, server.ws_port, "?v=2")
    client.send("SUBSCRIBE:*")
    question, words = waves.prompt("vm-invalidpassword")
    said = np.concatenate([waves.silence(5.0), question, waves.silence(60)])
    with Baresip(lab, tmp_path / "alice", said, dial=server.uri, seconds=90) as phone:
        call_id = client.wait_for("CALL_INFO:(.+?)##.*")[1]
        client.wait_for(rf'TRANSCRIPT:{call_id}##.*"assistant".*garden shop.*', 30)
        heard = json.loads(client.wait_for(rf'TRANSCRIPT:{call_id}##(.*"speaker":"caller".*"final":true.*)', 40)[1])
        turn = json.loads(client.wait_for(f"TURN:{call_id}##(.*)", 60)[1])
        client.send(f"SAY:{call_id}##{ASKED}")
        client.wait_for(rf'TRANSCRIPT:{call_id}##.*"assistant".*a colleague is coming.*', 40)
        client.send(f"HANGUP:{call_id}")
        refusal = client.wait_for(f"ERROR:(.*)##{call_id}")[1]
        phone.hang_up()
        client.wait_for(f"BYE:{call_id}")
    client.close()
    told = listener.write_down(phone.heard())
    print(f"understood {heard['text']!r} of {words!r}; the turn: {turn}\nthe phone heard: {told!r}; HANGUP: {refusal}")
    assert word_error_rate(words, heard["text"]) <= 0.2
    assert turn["said"] == heard["text"] and turn["heard"] and turn["timing_ms"]["first_packet"] > 0
    assert word_error_rate(ASKED, told[told.lower().rfind("please hold") :]) <= 0.3
    assert refusal.startswith("409 ")
