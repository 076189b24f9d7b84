"""The settings choose an engine and its model, and a model that does not fit is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from sipcore.plugins import PluginError, models
from sipcore_llm_qwen import config as settings
from sipcore_llm_qwen import hardware
from sipcore_llm_qwen.config import Config


@pytest.fixture(params=[True, False], ids=["gpu", "no gpu"])
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(settings, "suits_transformers", lambda: request.param)
    monkeypatch.setattr(hardware, "LIBRARIES", ())
    return request.param


def test_the_hardware_chooses_the_engine_and_its_model(gpu: bool) -> None:
    config = Config()
    assert config.chosen_engine() == ("transformers" if gpu else "llama.cpp")
    assert config.models() == (("Qwen/Qwen3-1.7B",) if gpu else ("qwen2.5-coder-0.5b-instruct",))


@pytest.mark.parametrize(
    ("model", "engine"), [("Qwen/Qwen3-1.7B", "transformers"), ("smollm2-135m-instruct", "llama.cpp")]
)
def test_a_model_that_is_named_chooses_its_engine(model: str, engine: str, gpu: bool) -> None:
    config = Config(model=model)
    assert config.chosen_engine() == engine
    assert config.models() == (model,)


def test_a_model_of_unknown_kind_is_left_to_the_hardware(gpu: bool) -> None:
    assert Config(model="owner/name").chosen_engine() == ("transformers" if gpu else "llama.cpp")


def test_an_engine_that_is_named_is_taken(gpu: bool) -> None:
    del gpu
    assert Config(engine="llama.cpp").models() == ("qwen2.5-coder-0.5b-instruct",)
    assert Config(engine="transformers").models() == ("Qwen/Qwen3-1.7B",)
    assert Config(engine="transformers", model="owner/name").models() == ("owner/name",)


def test_a_folder_of_ones_own_is_not_fetched(tmp_path: Path, gpu: bool) -> None:
    del gpu
    assert Config(model=str(tmp_path)).models() == ()


@pytest.mark.parametrize(
    ("engine", "model", "other"),
    [
        ("transformers", "/models/mine.gguf", "llama.cpp"),
        ("transformers", "qwen2.5-coder-0.5b-instruct", "llama.cpp"),
        ("transformers", "owner/name:mine.gguf", "llama.cpp"),
        ("llama.cpp", "Qwen/Qwen3-1.7B", "transformers"),
        ("llama.cpp", "/models/mine", "transformers"),
    ],
)
def test_a_model_for_the_other_engine_is_refused(engine: str, model: str, other: str) -> None:
    with pytest.raises(ValidationError, match=f'engine = "{engine}" cannot run it: .* for engine = "{other}"'):
        Config.model_validate({"engine": engine, "model": model})


def test_an_engine_that_does_not_exist_is_the_only_mistake_named() -> None:
    with pytest.raises(ValidationError, match="1 validation error"):
        Config.model_validate({"engine": "tensorflow", "model": "mine.gguf"})


def test_nothing_is_fetched_for_an_engine_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "LIBRARIES", ("no_torch",))
    with pytest.raises(PluginError, match=r"needs no_torch: run `pip install 'sipcore\[transformers\]'`"):
        models.missing(Config(engine="transformers"))


def test_qwen3_is_a_model_of_the_list() -> None:
    found = {model.name: model for model in models.list_models()}["Qwen/Qwen3-1.7B"]
    assert (found.kind, found.licence) == ("llm", "Apache-2.0")
    assert 3_000_000_000 < found.bytes < 5_000_000_000
