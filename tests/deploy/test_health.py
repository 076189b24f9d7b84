"""deploy/docker/health.py, as a container runs it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

HEALTH = Path(__file__).parents[2] / "deploy" / "docker" / "health.py"


@contextmanager
def _server(host: str, status: int) -> Generator[int]:
    """Answer ``/healthz`` with ``status``, all else with 404; the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    with Server((host, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _health(folder: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    environment = {"PATH": os.environ["PATH"], "SIP_LOCAL_IP": "127.0.0.1", "WS_TOKEN": "not-asked-for", **variables}
    command = [sys.executable, str(HEALTH), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("listens", "says"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "localhost"),
        ("127.0.0.1", "0.0.0.0"),
        ("::1", "::"),
        ("127.0.0.2", "127.0.0.2"),
    ],
)
def test_a_server_that_answers_is_healthy_wherever_it_listens(tmp_path: Path, listens: str, says: str) -> None:
    with _server(listens, 200) as port:
        assert _health(tmp_path, "http", WS_HOST=says, WS_PORT=str(port)) == (0, "")


def test_the_port_may_stand_in_the_settings_file(tmp_path: Path) -> None:
    with _server("127.0.0.1", 200) as port:
        (tmp_path / "sipcore.toml").write_text(f"WS_PORT = {port}\n")
        assert _health(tmp_path, "http") == (0, "")


def test_a_server_that_is_unwell_is_not_healthy(tmp_path: Path) -> None:
    with _server("127.0.0.1", 500) as port:
        assert _health(tmp_path, "http", WS_PORT=str(port)) == (1, "/healthz answers 500\n")


def test_no_server_is_not_healthy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    status, text = _health(tmp_path, "http", WS_PORT=str(port))
    assert status == 1 and text.startswith("/healthz does not answer: ") and "Traceback" not in text


def test_wrong_settings_are_told(tmp_path: Path) -> None:
    status, text = _health(tmp_path, "http", WS_PORT="many")
    assert status == 1 and "WS_PORT" in text and "Traceback" not in text


@pytest.mark.parametrize(("age", "status"), [(0, 0), (15, 0), (60, 1)])
def test_a_call_center_is_healthy_while_its_heart_beats(tmp_path: Path, age: int, status: int) -> None:
    heartbeat = tmp_path / "heartbeat"
    heartbeat.touch()
    then = time.time() - age
    os.utime(heartbeat, (then, then))
    assert _health(tmp_path, "heartbeat", str(heartbeat))[0] == status


def test_a_call_center_that_never_connected_is_not_healthy(tmp_path: Path) -> None:
    status, text = _health(tmp_path, "heartbeat", str(tmp_path / "none"))
    assert status == 1 and "not connected yet" in text


def test_a_wrong_command_line_is_told(tmp_path: Path) -> None:
    assert _health(tmp_path, "hart") == (1, "expected: http, or heartbeat FILE\n")
