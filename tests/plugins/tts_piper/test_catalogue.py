"""The right voice for a language, or a message that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from sipcore.plugins import ModelMissingError, PluginError, Voice, models
from sipcore_tts_piper.catalogue import Catalogue

JOE = "en_US-joe-medium"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty model store."""
    folder = tmp_path / "store"
    monkeypatch.setenv("SIPCORE_MODELS", str(folder))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder of voices."""
    return tmp_path / "voices"


def put(folder: Path, language: str, name: str) -> Path:
    path = folder / language / f"{name}.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.with_name(f"{path.name}.json").touch()
    return path


def install(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> None:
    """Let the model store hold these voices, each in a folder of its own."""
    folders = {path.stem: path.parent for path in paths}
    monkeypatch.setattr(models, "find", folders.__getitem__)


def test_a_voice_copied_into_its_languages_folder_is_found(folder: Path) -> None:
    german = put(folder, "de", "thorsten")
    british, american, any_english = put(folder, "en_GB", "alba"), put(folder, "en-us", "joe"), put(folder, "en", "kim")
    catalogue = Catalogue(folder, {})
    assert catalogue.find(Voice("de")) == german
    assert catalogue.find(Voice("de-AT")) == german
    assert catalogue.find(Voice("en-GB")) == british
    assert catalogue.find(Voice("EN_us")) == american
    assert catalogue.find(Voice("en")) == any_english
    assert catalogue.find(Voice("en-AU")) == any_english
    assert catalogue.needed(["de", "en-GB"]) == ()


def test_any_variety_of_a_language_is_better_than_none(folder: Path) -> None:
    british = put(folder, "en_GB", "alba")
    assert Catalogue(folder, {}).find(Voice("en-US")) == british


def test_the_first_voice_by_name_is_the_languages_own(folder: Path) -> None:
    put(folder, "de", "thorsten")
    eva = put(folder, "de", "eva")
    assert Catalogue(folder, {}).find(Voice("de")) == eva
    assert Catalogue(folder, {"de": "thorsten"}).find(Voice("de")).stem == "thorsten"
    assert Catalogue(folder, {"de": "thorsten"}).find(Voice("de-AT")).stem == "thorsten"
    assert Catalogue(folder, {"de": "thorsten"}).find(Voice("de", "eva")) == eva


def test_a_voice_may_be_named_by_its_path(folder: Path, tmp_path: Path) -> None:
    path = put(tmp_path, "elsewhere", "me")
    catalogue = Catalogue(folder, {"en": str(path)})
    assert catalogue.find(Voice("en")) == path
    assert catalogue.needed(["en"]) == ()
    with pytest.raises(PluginError, match=r"there is no voice at .*nobody\.onnx"):
        Catalogue(folder, {"en": str(tmp_path / "nobody.onnx")}).find(Voice("en"))


def test_a_voice_may_speak_another_folders_language(folder: Path) -> None:
    path = put(folder, "en", "joe")
    assert Catalogue(folder, {"fr": "joe"}).find(Voice("fr")) == path


def test_the_model_store_comes_last(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = put(tmp_path / "store", "x", JOE)
    install(monkeypatch, stored)
    catalogue = Catalogue(folder, {})
    assert catalogue.find(Voice("en")) == stored
    assert catalogue.find(Voice("en-AU")) == stored
    assert catalogue.needed(["en", "en-AU", "de", "xx"]) == (JOE, "de_DE-thorsten-medium")
    own = put(folder, "en", "joe")
    assert catalogue.find(Voice("en")) == own


@pytest.mark.usefixtures("store")
def test_a_missing_model_is_named_with_the_command_that_fetches_it(folder: Path) -> None:
    with pytest.raises(ModelMissingError, match=f"sipcore models pull {JOE}"):
        Catalogue(folder, {}).find(Voice("en"))


@pytest.mark.usefixtures("store")
def test_an_unknown_voice_is_named(folder: Path) -> None:
    with pytest.raises(PluginError, match="no voice is called 'nobody'"):
        Catalogue(folder, {}).find(Voice("en", "nobody"))


def test_a_language_without_a_voice_is_named_with_where_to_put_one(folder: Path) -> None:
    with pytest.raises(PluginError, match=r"no voice for language 'xx': put a Piper voice at .*voices/xx/NAME\.onnx"):
        Catalogue(folder, {}).find(Voice("xx"))


def test_a_voice_without_its_settings_is_refused(folder: Path) -> None:
    put(folder, "de", "eva").with_name("eva.onnx.json").unlink()
    with pytest.raises(PluginError, match=r"put its eva\.onnx\.json beside it"):
        Catalogue(folder, {}).find(Voice("de"))


def test_a_model_that_is_no_voice_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "find", lambda _: tmp_path)
    with pytest.raises(PluginError, match="model qwen holds no Piper voice"):
        Catalogue(folder, {}).find(Voice("en", "qwen"))


def test_a_language_cannot_lead_out_of_the_folder(folder: Path) -> None:
    put(folder.parent, "secret", "voice")
    folder.mkdir()
    with pytest.raises(PluginError, match="no voice for language"):
        Catalogue(folder, {}).find(Voice("../secret"))
