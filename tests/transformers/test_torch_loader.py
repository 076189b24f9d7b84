"""A folder is loaded quietly and from this machine alone, or what is wrong with it is said."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from sipcore.plugins import Message, PluginError
from sipcore_llm_qwen.config import Config
from sipcore_llm_qwen.torch_loader import best_dtype, load_model
from sipcore_llm_qwen.transformers_engine import open_transformers


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A model that a test may spoil."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def reword(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_the_terminal_and_the_network_are_left_alone(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("it asked the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    model = load_model(folder, Config(slots=1, max_tokens=3, context=8192))
    model.write([Message("user", "please listen " * 400)], lambda _: True)
    model.close()
    assert capfd.readouterr() == ("", "")


def test_a_model_without_a_chat_template_is_refused(copy: Path) -> None:
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(PluginError, match="has no chat template: it is no model to talk with"):
        load_model(copy, Config())


def test_damaged_weights_are_named(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(PluginError, match=r"transformers cannot load .*copy: "):
        load_model(copy, Config())


def test_weights_that_are_missing_are_not_made_up(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(PluginError, match=r"lacks 1 of the model's weights, model\.layers\.1\.mlp\.up_proj\.weight"):
        load_model(copy, Config())


def test_a_kind_of_model_that_is_not_known_is_named(copy: Path) -> None:
    reword(copy / "config.json", lambda data: data.update(model_type="parrot"))
    with pytest.raises(PluginError, match=r"transformers cannot load .*parrot"):
        load_model(copy, Config())


def test_tied_weights_are_whole(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    reword(copy / "config.json", lambda data: data.update(tie_word_embeddings=True))
    load_model(copy, Config(slots=1)).close()


@pytest.mark.anyio
async def test_a_model_that_does_not_load_can_be_tried_again(copy: Path) -> None:
    (copy / "chat_template.jinja").rename(copy / "kept")
    async with open_transformers(Config(model=str(copy), load="first use", max_tokens=3)) as chat:
        with pytest.raises(PluginError, match="has no chat template"):
            async with chat.reply([Message("user", "Hello?")]):
                pytest.fail("it answers")
        (copy / "kept").rename(copy / "chat_template.jinja")
        async with chat.reply([Message("user", "Hello?")]) as deltas:
            assert [delta async for delta in deltas]


def test_half_an_installation_is_named_with_the_command(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "transformers").mkdir()
    (tmp_path / "transformers" / "__init__.py").write_text("raise OSError('libhalf.so: no such file')")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from pathlib import Path\n"
        "from sipcore_llm_qwen.config import Config\n"
        "from sipcore_llm_qwen.torch_loader import load_model\n"
        f"load_model(Path({str(folder)!r}), Config())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "sipcore.errors.PluginError: torch or transformers cannot be imported: libhalf.so: no such file. "
        "Try `pip install 'sipcore[transformers]'`"
    )


def test_numbers_are_as_small_as_the_hardware_computes_quickly() -> None:
    def card(*, bfloat16: bool) -> SimpleNamespace:
        cuda = SimpleNamespace(is_bf16_supported=lambda **_: bfloat16)
        return SimpleNamespace(cuda=cuda, bfloat16="bfloat16", float16="float16")

    assert best_dtype(card(bfloat16=True), "cuda") == "bfloat16"
    assert best_dtype(card(bfloat16=False), "cuda") == "float16"
    assert best_dtype(torch, "cpu") in {torch.float32, torch.bfloat16}
