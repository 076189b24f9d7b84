"""Where the model's files are, and which engine they are for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from sipcore.plugins import PluginError, models
from sipcore.plugins.model_manifest import Model, load_manifest

Engine: TypeAlias = Literal["llama.cpp", "transformers"]

MAGIC = b"GGUF"
"""The first bytes of every GGUF file."""


def is_path(model: str) -> bool:
    """Whether a setting names a file or a folder rather than a model of the store."""
    return _is_file(model) or _is_folder(model)


def engine_for(model: str) -> Engine | None:
    """Return the engine that can run ``model``; None when that shows only once its files are here."""
    if _is_folder(model):
        return "transformers"
    known = None if _is_file(model) else _in_manifest(model)
    files = [model] if known is None else known.hub.files if known.hub else [file.name for file in known.files]
    if any(file.endswith(".gguf") for file in files) or model.lower().endswith("-gguf"):
        return "llama.cpp"
    return "transformers" if any(file.endswith(".safetensors") for file in files) else None


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


def find_folder(model: str) -> Path:
    """Return the folder of ``model`` as transformers reads it: a path, or the name of a model of the store.

    Raises:
        ModelMissingError: it is not on this machine; the text names the command that fetches it.
        PluginError: there is no such folder, or it holds no model of that kind.
    """
    folder = Path(model).expanduser() if is_path(model) else models.find(model)
    if not folder.is_dir():
        raise PluginError(f"[llm.qwen] model: there is no folder {folder}")
    for pattern in ("config.json", "tokenizer.json", "*.safetensors"):
        if not any(folder.glob(pattern)):
            other = ' Name its .gguf file itself for engine = "llama.cpp".' if any(folder.glob("*.gguf")) else ""
            raise PluginError(f"[llm.qwen] model: {folder} has no {pattern}, which transformers needs.{other}")
    return folder


def _in_folder(folder: Path, model: str) -> Path:
    """Return a model's file; of a model in many parts the first, from which the engine finds the others."""
    files = sorted(folder.rglob("*.gguf"))
    if not files:
        other = ' Is it for engine = "transformers"?' if any(folder.glob("*.safetensors")) else ""
        raise PluginError(f"[llm.qwen] model: {model} has no .gguf file, which llama.cpp needs.{other}")
    return files[0]


def _is_file(model: str) -> bool:
    return model.endswith(".gguf") and ":" not in model


def _is_folder(model: str) -> bool:
    """Tell a folder by its first sign: ``owner/name`` is a hub id, whatever there is beside the program."""
    return not _is_file(model) and (model.startswith(("./", "../", "~")) or Path(model).is_absolute())


def _in_manifest(model: str) -> Model | None:
    try:
        return load_manifest().model(model)
    except PluginError:  # whoever looks for it will say so
        return None
