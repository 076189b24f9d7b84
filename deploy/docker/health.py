"""Health checks of the containers: health.py http | health.py heartbeat FILE. Status 0: healthy; 1: not, and why."""

import http.client
import sys
import time
from ipaddress import ip_address
from pathlib import Path

from sipcore.app.config import load_settings
from sipcore.errors import SipcoreError

OLDEST_HEARTBEAT = 20.0
"""Seconds; the call centre touches its file every 5 s while it is connected."""
PATIENCE = 4.0
"""Seconds that an answer may take."""


def http_problem() -> str:
    """Say what is wrong with the server's ``/healthz``; empty: nothing."""
    try:
        settings = load_settings()
        host, port = _reachable(settings.ws_host), settings.ws_port
        connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException, SipcoreError) as error:
        return f"/healthz does not answer: {error}"
    return "" if status == 200 else f"/healthz answers {status}"


def heartbeat_problem(file: Path) -> str:
    """Say what is wrong with the age of a heartbeat's file; empty: nothing."""
    try:
        age = time.time() - file.stat().st_mtime
    except OSError:
        return f"there is no {file}: not connected yet"
    return "" if age <= OLDEST_HEARTBEAT else f"{file} is {age:.0f} s old: not connected"


def _reachable(host: str) -> str:
    """Where a server that listens on ``host`` is reached from here."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


def main(arguments: list[str]) -> int:
    """Check what the command line names."""
    match arguments:
        case ["http"]:
            problem = http_problem()
        case ["heartbeat", file]:
            problem = heartbeat_problem(Path(file))
        case _:
            problem = "expected: http, or heartbeat FILE"
    if problem:
        sys.stderr.write(f"{problem}\n")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
