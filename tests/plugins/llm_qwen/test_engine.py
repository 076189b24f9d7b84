"""The settings' engine is opened; what it lacks is said before the first call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sipcore.plugins import Message, ModelMissingError, PluginError
from sipcore_llm_qwen import hardware
from sipcore_llm_qwen.config import Config
from sipcore_llm_qwen.engine import open_qwen

SMALL = "smollm2-135m-instruct"

pytestmark = pytest.mark.anyio


async def test_a_gguf_is_run_by_llama_cpp_whatever_the_hardware(pulled: Callable[[str], Path]) -> None:
    pulled(SMALL)
    async with open_qwen(Config(model=SMALL, max_tokens=3)) as chat, chat.reply([Message("user", "Hello?")]) as deltas:
        assert [delta async for delta in deltas]


@pytest.mark.parametrize("load", ["start", "first use"])
async def test_libraries_that_are_missing_are_named_at_start(load: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "LIBRARIES", ("torch_that_is_not_here",))
    with pytest.raises(PluginError, match=r"torch_that_is_not_here: run `pip install 'sipcore\[transformers\]'`"):
        async with open_qwen(Config.model_validate({"engine": "transformers", "load": load})):
            pytest.fail("it opened")


async def test_qwen3_that_is_missing_is_named_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIPCORE_MODELS", str(tmp_path))
    monkeypatch.setattr(hardware, "LIBRARIES", ())
    with pytest.raises(ModelMissingError, match=r"sipcore models pull Qwen/Qwen3-1\.7B"):
        async with open_qwen(Config(engine="transformers")):
            pytest.fail("it opened")


async def test_a_folder_that_is_no_model_is_named_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "LIBRARIES", ())
    with pytest.raises(PluginError, match=r"has no config\.json, which transformers needs"):
        async with open_qwen(Config(engine="transformers", model=str(tmp_path), load="first use")):
            pytest.fail("it opened")
