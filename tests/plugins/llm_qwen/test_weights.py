"""A model that cannot be used is named before the first call."""

from pathlib import Path

import pytest
from sipcore.plugins import ModelMissingError, PluginError, models
from sipcore_llm_qwen.config import Config
from sipcore_llm_qwen.weights import engine_for, find_folder, find_weights


def test_a_file_of_ones_own_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(b"GGUF and more")
    assert find_weights(str(path)) == path
    assert Config(model=str(path)).models() == ()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What transformers would take for a model, by its files."""
    for name in ("config.json", "tokenizer.json", "model-00001-of-00002.safetensors"):
        (tmp_path / name).touch()
    return tmp_path


def test_a_folder_of_ones_own_is_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_folder(str(folder)) == folder
    monkeypatch.chdir(folder.parent)
    assert find_folder(f"./{folder.name}").resolve() == folder
    monkeypatch.setenv("HOME", str(folder.parent))
    assert find_folder(f"~/{folder.name}") == folder


def test_a_folder_of_the_store_is_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "find", lambda _: folder)
    assert find_folder("Qwen/Qwen3-1.7B") == folder


def test_qwen3_that_is_not_here_is_named_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIPCORE_MODELS", str(tmp_path))
    with pytest.raises(ModelMissingError, match=r"run `sipcore models pull Qwen/Qwen3-1\.7B`"):
        find_folder("Qwen/Qwen3-1.7B")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model-00001-of-00002.safetensors"])
def test_a_folder_that_is_no_model_is_refused(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(
        PluginError, match=r"has no (config\.json|tokenizer\.json|\*\.safetensors), which transformers needs\.$"
    ):
        find_folder(str(folder))
    with pytest.raises(PluginError, match="there is no folder"):
        find_folder(str(folder / "nothing"))


def test_a_model_for_the_other_engine_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "find", lambda _: folder)
    with pytest.raises(PluginError, match=r'which llama\.cpp needs\. Is it for engine = "transformers"\?'):
        find_weights("owner/name")
    (folder / "model-00001-of-00002.safetensors").rename(folder / "model.gguf")
    with pytest.raises(PluginError, match=r'Name its \.gguf file itself for engine = "llama\.cpp"'):
        find_folder("owner/name")


@pytest.mark.parametrize(
    ("model", "engine"),
    [
        ("mine.gguf", "llama.cpp"),
        ("/models/mine.gguf", "llama.cpp"),
        ("/models/mine", "transformers"),
        ("./mine", "transformers"),
        ("~/mine", "transformers"),
        ("Qwen/Qwen3-1.7B", "transformers"),
        ("Qwen/Qwen3-1.7B-GGUF", "llama.cpp"),
        ("smollm2-135m-instruct", "llama.cpp"),
        ("owner/name:some-q4.gguf", "llama.cpp"),
        ("owner/name-GGUF", "llama.cpp"),
        ("owner/name", None),
        ("quen", None),
    ],
)
def test_a_models_name_tells_its_engine(model: str, engine: str | None) -> None:
    assert engine_for(model) == engine


def test_a_model_of_the_store_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("a-00002-of-00002.gguf", "a-00001-of-00002.gguf"):
        (tmp_path / part).write_bytes(b"GGUF")
    monkeypatch.setattr(models, "find", lambda _: tmp_path)
    assert find_weights("qwen").name == "a-00001-of-00002.gguf"
    assert Config(model="qwen").models() == ("qwen",)
    assert Config(model="owner/name:file.gguf").models() == ("owner/name:file.gguf",)


def test_a_model_that_is_not_here_is_named_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIPCORE_MODELS", str(tmp_path))
    with pytest.raises(ModelMissingError, match=r"sipcore models pull qwen2\.5-coder-0\.5b-instruct"):
        find_weights("qwen2.5-coder-0.5b-instruct")
    with pytest.raises(PluginError, match="there is no model 'quen'"):
        find_weights("quen")
    with pytest.raises(PluginError, match=r"there is no file .*mine\.gguf"):
        find_weights(str(tmp_path / "mine.gguf"))


def test_a_file_that_is_no_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "find", lambda _: tmp_path)
    with pytest.raises(PluginError, match=r"whisper has no \.gguf file"):
        find_weights("whisper")
    (tmp_path / "page.gguf").write_bytes(b"<html>")
    with pytest.raises(PluginError, match="is no GGUF file, or it is damaged"):
        find_weights("page")
