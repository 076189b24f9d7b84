"""The manifest of models."""

import hashlib
import re
from pathlib import Path

import pytest
from sipcore.plugins import PluginError
from sipcore.plugins.model_manifest import MANIFEST, HubSource, load_manifest

FILE = f"""
[[package]]
name = "a==1"
bytes = 9
[[model]]
name = "m"
kind = "llm"
licence = "MIT"
[[model.file]]
name = "x"
sha256 = "{"0" * 64}"
parts = [{{ package = "a==1", path = "a/x", bytes = 4 }}]
"""


def load(tmp_path: Path, text: str):
    path = tmp_path / "models.toml"
    path.write_text(text)
    return load_manifest.__wrapped__(path)


def test_a_model_of_packages_is_as_big_as_its_files(tmp_path):
    model = load(tmp_path, FILE).model("m")
    assert (model.bytes, model.downloads, model.folder) == (4, {"a==1": 9}, "m")


def test_a_hub_id_that_the_manifest_does_not_have_makes_a_model(tmp_path):
    manifest = load(tmp_path, FILE)
    assert manifest.model("owner/name").hub == HubSource("owner/name")
    one = manifest.model("owner/name:folder/file.gguf")
    assert one.hub == HubSource("owner/name", files=("folder/file.gguf",))
    assert one.folder == "owner--name--folder--file.gguf"


@pytest.mark.parametrize("name", ["nothing", "", "a/b/c", "../x", "a/..", "/etc", "./a", "a/b:../c", "a/b:/c", "a b/c"])
def test_any_other_name_is_refused(tmp_path, name):
    with pytest.raises(PluginError, match=rf"there is no model {name!r}: expected a hub id .owner/name. or one of m"):
        load(tmp_path, FILE).model(name)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "KeyError"),
        ("not toml", "TOMLDecodeError"),
        (FILE.replace("0" * 64, "0"), "no sha256 of 64 digits"),
        (FILE.replace('kind = "llm"', ""), "KeyError.*kind"),
        (FILE.replace('name = "a==1"', 'name = "b==1"'), "KeyError.*a==1"),
        (FILE.partition("[[model.file")[0] + "bytes = 1", "needs either files with checksums or a hub source"),
        (FILE.replace("[[model.file]]", '[model.hub]\nrepo = "a/b"\nfiles = []\n[[model.file]]'), "needs either"),
        (FILE + '[groups]\ng = ["n"]', "its groups name models that it does not have: n"),
    ],
)
def test_a_manifest_that_cannot_be_is_refused(tmp_path, text, problem):
    with pytest.raises(PluginError, match=problem):
        load(tmp_path, text)


def test_a_group_opens_to_its_models_once_each():
    demo = [model.name for model in load_manifest().expand(["demo", "silero-vad", "base"])]
    assert demo == ["tiny.en", "en_US-joe-medium", "silero-vad", "qwen2.5-coder-0.5b-instruct", "base"]


def test_a_repository_finds_the_model_that_is_made_of_it():
    manifest = load_manifest()
    assert manifest.model("Systran/faster-whisper-small").name == "small"
    assert manifest.model("rhasspy/piper-voices").kind == "other", "many voices: not one of them"


def test_the_shipped_manifest_is_complete():
    manifest = load_manifest()
    assert set(manifest.groups) == {"demo", "test"}
    for model in manifest.models.values():
        assert model.kind in {"stt", "tts", "llm", "vad"}
        assert model.licence
        assert model.about
        assert model.bytes > 1_000_000
        assert all(re.fullmatch(r"[\w.-]+==[\w.]+", requirement) for requirement in model.downloads or {})
        assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in model.files)
    assert len({model.folder for model in manifest.models.values()}) == len(manifest.models)


def test_the_manifest_names_no_host_and_is_linked_from_voices():
    assert "://" not in MANIFEST.read_text()
    link = Path(__file__).parents[3] / "voices" / "models.toml"
    assert hashlib.sha256(link.read_bytes()).digest() == hashlib.sha256(MANIFEST.read_bytes()).digest()
