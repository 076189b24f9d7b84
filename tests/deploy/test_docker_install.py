"""The Dockerfile's Python steps, carried out in an empty folder: what they install is what the containers run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from .dockerfile import Rehearsal, ancestors, stages

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy" / "docker" / "Dockerfile").read_text(encoding="utf-8")
PROJECTS = [tomllib.loads(path.read_text("utf-8"))["project"] for path in ROOT.glob("plugins/*/pyproject.toml")]
PLUGINS = {name for project in PROJECTS for name in project.get("entry-points", {}).get("sipcore", {})}
Installed = Callable[..., subprocess.CompletedProcess[str]]


def _install(root: Path, stage: str, arguments: Mapping[str, str]) -> Installed:
    """Carry out the steps of a stage; a function that runs what they installed."""
    chain = ancestors(stages(DOCKERFILE), stage)
    Rehearsal(root, ROOT, sys.executable).perform(chain, dict(arguments))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        program, *rest = words
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(root), "TERM": "dumb"}
        command = [str(root / "opt" / "sipcore" / "bin" / program), *rest]
        return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="module")
def sip_server(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return _install(tmp_path_factory.mktemp("sip-server"), "sip-server-venv", {})


@pytest.fixture(scope="module")
def call_center(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return _install(tmp_path_factory.mktemp("call-center"), "call-center-venv", {})


def test_the_sip_server_is_the_core_alone_and_starts(sip_server: Installed) -> None:
    version = sip_server("sipcore", "--version")
    assert version.returncode == 0 and re.match(r"sipcore \d", version.stdout), version.stderr
    listed = sip_server("sipcore", "plugins", "list", "--json")
    assert listed.returncode == 0 and "No plugin is installed" not in listed.stderr
    assert [plugin["name"] for plugin in json.loads(listed.stdout)] == []
    for name in ("torch", "onnxruntime", "faster_whisper", "openai"):
        assert sip_server("python", "-c", f"import {name}").returncode != 0


def test_every_plugin_loads_in_the_call_center(call_center: Installed) -> None:
    listed = call_center("sipcore", "plugins", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    found = {plugin["name"]: plugin for plugin in json.loads(listed.stdout)}
    assert found.keys() == PLUGINS
    assert [plugin for plugin in found.values() if plugin["status"] != "loaded"] == []


@pytest.mark.parametrize("image", ["sip_server", "call_center"])
def test_no_installer_and_no_compiler_come_along(image: str, request: pytest.FixtureRequest) -> None:
    run: Installed = request.getfixturevalue(image)
    assert run("python", "-c", "import pip").returncode != 0
    assert run("python", "-c", "import hatchling").returncode != 0


def test_our_own_distributions_come_from_the_workspace(call_center: Installed) -> None:
    script = (
        "import json; from importlib.metadata import distributions as d; "
        "print(json.dumps({x.name: json.loads(x.read_text('direct_url.json') or '{}').get('url', '') for x in d()}))"
    )
    urls: dict[str, str] = json.loads(call_center("python", "-c", script).stdout)
    ours = {name: url for name, url in urls.items() if name.startswith("sipcore")}
    assert ours.keys() == {"sipcore", *(project["name"] for project in PROJECTS)}
    assert all(url.startswith("file:") and os.sep + "wheels" + os.sep in url for url in ours.values()), ours
