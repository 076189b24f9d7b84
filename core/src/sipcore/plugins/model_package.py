"""Fetching a package of the Python index, with the client that this environment has, and taking files out of it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sipcore.errors import PluginError
from sipcore.plugins.model_store import tree_bytes

POLL = 0.2
TRIES = 3
FINAL = ("No matching distribution", "no version of", "not found in the package registry", "Invalid requirement")

CLIENT_DEFAULTS: Mapping[str, str] = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "PIP_PROGRESS_BAR": "off",
    "PIP_RETRIES": "5",
    "PIP_RESUME_RETRIES": "5",
    "UV_NO_PROGRESS": "1",
}
"""Defaults for the clients; one that does not know a name ignores it, and what the user set holds."""


def fetch_package(requirement: str, into: Path, progress: Callable[[int], None]) -> Path:
    """Fetch one package, without its dependencies and without running any of its code.

    Args:
        requirement: ``name==version``.
        into: an empty folder to work in; it grows as bytes come.
        progress: is told every 0.2 s how many bytes are there.

    Returns:
        The wheel, or a folder that holds what was in it.

    Raises:
        PluginError: the client is missing or it could not fetch the package.
    """
    command = client_command(requirement, into)
    complaint = ""
    for _ in range(TRIES):
        complaint = _run(command, into, progress)
        if not complaint:
            wheels = sorted((into / "got").glob("*.whl"))
            return wheels[0] if wheels else into / "got"
        if any(sign in complaint for sign in FINAL):
            break
    raise PluginError(f"package {requirement} could not be fetched: {_error_of(complaint)}")


def client_command(requirement: str, into: Path) -> Sequence[str]:
    """Return the command line that fetches a package: pip's where it is installed, else uv's.

    Raises:
        PluginError: neither is there.
    """
    got = str(into / "got")
    if importlib.util.find_spec("pip") is not None:
        wanted = ("--no-deps", "--only-binary=:all:", "--no-cache-dir", "--dest", got)
        return (sys.executable, "-m", "pip", "download", *wanted, requirement)
    uv = os.environ.get("UV") or shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv:
        wanted = ("--no-deps", "--only-binary", ":all:", "--cache-dir", str(into / "cache"), "--target", got)
        return (uv, "pip", "install", "--python", sys.executable, *wanted, requirement)
    raise PluginError(
        f"neither pip nor uv is here to fetch {requirement}: "
        f"run `{Path(sys.executable).name} -m ensurepip`, or install uv"
    )


@contextmanager
def open_member(package: Path, path: str) -> Generator[IO[bytes]]:
    """Open one file of a wheel or of an unpacked folder.

    Raises:
        PluginError: it is not in there.
    """
    try:
        if package.is_dir():
            with (package / path).open("rb") as file:
                yield file
            return
        with zipfile.ZipFile(package) as wheel, wheel.open(path) as file:
            yield file
    except (KeyError, FileNotFoundError, zipfile.BadZipFile) as error:
        raise PluginError(
            f"{package.name} has no file {path}: it is not the package that the manifest means"
        ) from error


def _run(command: Sequence[str], into: Path, progress: Callable[[int], None]) -> str:
    """Run a client; return what it complained about, ``""`` when it did its work."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    environment = {**CLIENT_DEFAULTS, **os.environ, "TMPDIR": str(into)}
    with (into / "log").open("w+") as log:
        client = subprocess.Popen(  # noqa: S603 - no shell, and the command is `client_command`'s own
            command, cwd=into, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            while _still_runs(client):
                progress(tree_bytes(into))
        finally:
            client.kill()
            client.wait()
        log.seek(0)
        said = log.read().strip()
    return "" if client.returncode == 0 else said or f"{command[0]} ended with status {client.returncode}"


def _still_runs(client: subprocess.Popen[bytes]) -> bool:
    try:
        client.wait(POLL)
    except subprocess.TimeoutExpired:
        return True
    return False


def _error_of(complaint: str) -> str:
    """Return a client's error on one line: pip ends with it, uv begins with it and explains below."""
    lines = complaint.splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith(("ERROR", "error"))]
    text = " ".join(" ".join(lines[errors[-1] if errors else -1 :]).split())
    return textwrap.shorten(text, 300, placeholder="…")
