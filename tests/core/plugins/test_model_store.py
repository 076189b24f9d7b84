"""The store of models on this machine."""

import multiprocessing
import time
from pathlib import Path

import pytest
from sipcore.plugins import PluginError
from sipcore.plugins.model_manifest import HubSource, Model, ModelFile
from sipcore.plugins.model_store import RECORD, FileRecord, ModelFolder, check_file, sha256, store_folder, tree_bytes

HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


def folder(root: Path) -> ModelFolder:
    return ModelFolder(root, Model("m", "llm", 5, "MIT", files=(ModelFile("x", 5, HELLO, ()),)))


def hub_folder(root: Path) -> ModelFolder:
    return ModelFolder(root, Model("a/m", "llm", 5, "MIT", hub=HubSource("a/m")))


def test_the_store_is_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("SIPCORE_MODELS", "~/weights")
    assert store_folder() == Path.home() / "weights"
    monkeypatch.delenv("SIPCORE_MODELS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert store_folder() == tmp_path / "sipcore" / "models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert store_folder() == Path.home() / ".cache" / "sipcore" / "models"


def test_a_model_is_installed_when_its_files_have_their_sizes(tmp_path):
    place = folder(tmp_path)
    assert not place.is_installed()
    place.path.mkdir()
    (place.path / "x").write_bytes(b"hell")
    assert not place.is_installed()
    (place.path / "x").write_bytes(b"hello")
    assert place.is_installed()


@pytest.mark.parametrize("make", [folder, hub_folder])
def test_installing_replaces_what_was_there(tmp_path, make):
    place = make(tmp_path)
    place.path.mkdir(parents=True)
    (place.path / "old").write_text("old")
    place.staging.mkdir()
    (place.staging / "x").write_bytes(b"hello")
    place.install({"x": FileRecord(5, HELLO)})
    assert place.is_installed()
    assert place.expected() == {"x": FileRecord(5, HELLO)}
    assert not (place.path / "old").exists()
    assert not place.staging.exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"x": 1}', '{"x": {"bytes": "?", "sha256": ""}}', '{"x": {"bytes": 1}}'])
def test_a_damaged_record_says_what_to_do(tmp_path, text):
    place = hub_folder(tmp_path)
    place.path.mkdir()
    (place.path / RECORD).write_text(text)
    with pytest.raises(PluginError, match=r"is damaged .*: delete .* and pull it again"):
        place.is_installed()


def test_what_is_wrong_with_a_file(tmp_path):
    path = tmp_path / "x"
    assert check_file(path, FileRecord(5, HELLO)) == "is missing"
    path.write_bytes(b"hell")
    assert check_file(path, FileRecord(5, HELLO)) == "has 4 bytes, expected 5"
    path.write_bytes(b"hallo")
    assert "another content" in check_file(path, FileRecord(5, HELLO))
    assert not check_file(path, FileRecord(5, "")), "nobody stated a checksum: its size is all there is"
    path.write_bytes(b"hello")
    assert not check_file(path, FileRecord(5, HELLO))
    assert sha256(path) == HELLO


def test_the_bytes_of_a_tree(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"12345")
    (tmp_path / "gone").symlink_to("nowhere")
    assert tree_bytes(tmp_path) == 5


def _hold(root: Path, held, release) -> None:
    with folder(root).locked(lambda: None):
        held.set()
        release.wait(10)


def test_one_process_at_a_time_writes(tmp_path):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, held, release))
    other.start()
    assert held.wait(20)
    waited = []

    def waiting() -> None:
        waited.append(time.monotonic())
        release.set()

    with folder(tmp_path).locked(waiting):
        pass
    other.join(10)
    assert waited
    assert other.exitcode == 0
