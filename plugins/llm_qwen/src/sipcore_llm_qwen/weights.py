"""Where the model's file is."""

from __future__ import annotations

from pathlib import Path

from sipcore.plugins import PluginError, models

MAGIC = b"GGUF"
"""The first bytes of every GGUF file."""


def is_path(model: str) -> bool:
    """Whether a setting names a file rather than a model of the store."""
    return model.endswith(".gguf") and ":" not in model


def find_weights(model: str) -> Path:
    """Return the GGUF file of ``model``: a path, or the name of a model of the store.

    Raises:
        ModelMissingError: it is not on this machine; the text names the command that fetches it.
        PluginError: there is no such file, or it is no GGUF.
    """
    path = Path(model).expanduser() if is_path(model) else _in_folder(models.find(model), model)
    if not path.is_file():
        raise PluginError(f"[llm.qwen] model: there is no file {path}")
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise PluginError(f"[llm.qwen] model: {path} is no GGUF file, or it is damaged")
    return path


def _in_folder(folder: Path, model: str) -> Path:
    """Return a model's file; of a model in many parts the first, from which the engine finds the others."""
    files = sorted(folder.rglob("*.gguf"))
    if not files:
        raise PluginError(f"[llm.qwen] model: {model} has no .gguf file, which llama.cpp needs")
    return files[0]
