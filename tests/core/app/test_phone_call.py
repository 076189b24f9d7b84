"""``sipcore call`` and ``sipcore run`` as processes: errands, signals, and who does not answer."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SIPCORE = Path(sys.executable).with_name("sipcore")
HOST = "127.0.0.1"
PORT = 25362
URI = f"sip:echo@{HOST}:{PORT}"
SETTINGS = {
    "SIP_LOCAL_IP": HOST,
    "SIP_LOCAL_PORT": str(PORT),
    "RTP_PORT_START": "25400",
    "RTP_PORT_END": "25438",
    "WS_PORT": "25480",
}


class Program:
    """A command that runs in a folder of its own."""

    def __init__(self, folder, *arguments, **settings):
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.process = subprocess.Popen(
            [SIPCORE, *arguments],
            cwd=folder,
            env=kept | SETTINGS | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = ""

    def until(self, text):
        """Read on until a line holds ``text``."""
        for line in self.process.stdout:
            self.said += line
            if text in line:
                return
        raise AssertionError(self.said)

    def end(self, number=None):
        """Send a signal, if one is named, and wait; the exit status."""
        if number is not None:
            self.process.send_signal(number)
        self.said += self.process.communicate(timeout=15)[0]
        assert "Traceback" not in self.said, self.said
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Program(tmp_path_factory.mktemp("server"), "run", "--plugins", "") as program:
        program.until("Ctrl-C")
        yield program


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_hangs_up(server, tmp_path, number):
    with Program(tmp_path, "call", URI, "--duration", "30", "--json") as call:
        call.until("answered")
        assert call.end(number) == 0
        result = json.loads(call.said.splitlines()[-1])
    assert result["answered"] and result["ended"] == "bye" and result["seconds"] < 10
    server.until("call ended: hangup")


def test_digits_are_sent_before_it_hangs_up(server, tmp_path):
    with Program(tmp_path, "call", URI, "--dtmf", "1234", "--json") as call:
        assert call.end() == 0
        assert json.loads(call.said.splitlines()[-1])["seconds"] > 4 * 0.1
    server.until("call ended: hangup")


def test_a_recording_that_is_there_is_kept_and_nobody_is_called(tmp_path):
    (tmp_path / "mine.wav").write_text("mine")
    with Program(tmp_path, "call", URI, "--record", "mine.wav") as call:
        assert call.end() == 1
        assert "--record mine.wav: it exists already" in call.said and "calling" not in call.said
    assert (tmp_path / "mine.wav").read_text() == "mine"


@pytest.mark.parametrize("host", ["nobody.invalid", "[::1]"])
def test_a_host_without_an_address(tmp_path, host):
    with Program(tmp_path, "call", f"sip:bob@{host}", "--json") as call:
        assert call.end() == 1
        told, result = call.said.splitlines()
    assert "not answered: 503 the host" in told and "has no IPv4 address" in told
    assert json.loads(result)["status"] == 503


@pytest.fixture
def silent():
    """A URI where nobody ever answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind((HOST, 0))
        yield f"sip:bob@{HOST}:{deaf.getsockname()[1]}"


def test_who_does_not_answer_in_time_is_given_up(tmp_path, silent):
    with Program(tmp_path, "call", silent, "--timeout", "1", "--json") as call:
        assert call.end() == 1
        assert json.loads(call.said.splitlines()[-1])["status"] == 408


def test_a_signal_gives_up_who_has_not_answered(tmp_path, silent):
    with Program(tmp_path, "call", silent, "--json") as call:
        call.until("calling")
        assert call.end(signal.SIGINT) == 1
        assert json.loads(call.said.splitlines()[-1])["reason"] == "given up"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_server(tmp_path, number):
    with Program(tmp_path, "run", "--plugins", "", SIP_LOCAL_PORT=str(PORT + 1), WS_PORT=str(PORT + 2)) as program:
        program.until("Ctrl-C")
        assert program.end(number) == 0
        assert f"{number.name}: hanging up and stopping" in program.said


def test_a_server_at_every_address_says_where_it_is_reached_from_here(tmp_path):
    settings = {"SIP_LOCAL_PORT": str(PORT + 1), "WS_PORT": str(PORT + 2), "SIP_LOCAL_IP": "0.0.0.0"}
    with Program(tmp_path, "run", "--plugins", "", SIP_ADVERTISED_IP="192.0.2.7", **settings) as program:
        program.until("Ctrl-C")
        program.end(signal.SIGINT)
    assert f"Call it:       sip:assistant@192.0.2.7:{PORT + 1}" in program.said
    assert f"sipcore call sip:assistant@127.0.0.1:{PORT + 1} --play" in program.said
