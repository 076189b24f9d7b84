"""A model that cannot be used is named before the first call."""

from pathlib import Path

import pytest
from sipcore.plugins import ModelMissingError, PluginError, models
from sipcore_llm_qwen.config import Config
from sipcore_llm_qwen.weights import find_weights


def test_a_file_of_ones_own_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(b"GGUF and more")
    assert find_weights(str(path)) == path
    assert Config(model=str(path)).models() == ()


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
