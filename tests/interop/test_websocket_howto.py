"""docs/howto/websocket.md, followed to the letter: its programs, as they stand there, with real phones."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from phonelab import waves
from phonelab.baresip import Baresip
from phonelab.lab import LOOPBACK, ROOT, Lab
from phonelab.program import Program
from phonelab.server import Server

PAGE = (ROOT / "docs" / "howto" / "websocket.md").read_text(encoding="utf-8")
ANSWERS, CALLS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PORT = "8080"
"""As the page has it; in the laboratory nobody else uses it."""


@pytest.fixture
def program(lab: Lab, tmp_path: Path, bob: waves.Samples) -> Callable[[str], Program]:
    """Make one of the page's programs, with its hello.wav."""

    def make(text: str) -> Program:
        folder = tmp_path / "program"
        folder.mkdir()
        waves.write(folder / "hello.wav", bob)
        (folder / "program.py").write_text(text, encoding="utf-8")
        return Program(lab, [sys.executable, "-u", "program.py"], folder, "program")

    return make


def test_the_program_that_answers(
    start: Callable[..., Server], lab: Lab, tmp_path: Path, program: Callable[[str], Program], bob: waves.Samples
):
    server = start(serve=True, env={"WS_PORT": PORT})
    with program(ANSWERS):
        server.wait_for("WebSocket client 1 connected")
        with Baresip(lab, tmp_path / "alice", waves.silence(15), dial=server.uri) as phone:
            phone.wait_call_over(15)
            phone.quit()
    heard = waves.compare(bob, phone.heard())
    print(f"the caller heard hello.wav: {heard}")
    assert heard.median >= 35 and heard.lost == 0 and heard.slips <= 1


def test_the_program_that_calls(
    start: Callable[..., Server], lab: Lab, tmp_path: Path, program: Callable[[str], Program], bob: waves.Samples
):
    with Baresip(lab, tmp_path / "bob", waves.silence(15), user="bob", answers=True) as phone:
        phone.wait_ready()
        remote = {"SIP_SERVER_IP": LOOPBACK, "SIP_TRANSFER_PORT": str(phone.sip_port), "CALL_ALLOW": "bob"}
        start(serve=True, env={"WS_PORT": PORT, **remote})
        with program(CALLS) as caller:
            assert caller.wait_end(20) == 0, caller.log
        phone.wait_call_over(10)
        phone.quit()
    heard = waves.compare(bob, phone.heard())
    print(f"who was called heard hello.wav: {heard}")
    assert heard.median >= 35 and heard.lost == 0 and heard.slips <= 1


def test_what_is_asked_whether_it_is_well(start: Callable[..., Server], lab: Lab):
    server = start(serve=True)
    for page, text in (("healthz", "alive"), ("readyz", "ready"), ("metrics", "sipcore_calls_active 0.0")):
        code = (
            f"import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:{server.ws_port}/{page}').read())"
        )
        with Program(lab, [sys.executable, "-c", code], server.log_file.parent, page) as probe:
            assert probe.wait_end(10) == 0, probe.log
        assert text in probe.log
