"""Finding and loading a Whisper model, with errors that say what to do."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from sipcore.plugins import PluginError, find_model

from sipcore_stt_whisper import Config

NEEDED = ("model.bin", "config.json", "tokenizer.json")


def folder_of(model: str) -> Path:
    """Return the folder of a model: a path of the user's own, or where `find_model` has it.

    Raises:
        ModelMissingError: it is not on this machine; the text names the command that fetches it.
        PluginError: the folder is no CTranslate2 model.
    """
    own = Path(model).expanduser()
    folder = own if own.is_dir() else find_model(model)
    absent = [name for name in NEEDED if not (folder / name).is_file()]
    if absent:
        raise PluginError(f"{folder} is no Whisper model for CTranslate2: it has no {', '.join(absent)}")
    return folder


def load(config: Config, threads: int) -> Any:
    """Load a ``faster_whisper.WhisperModel``. Never fetches anything.

    Raises:
        ModelMissingError: it is not on this machine.
        PluginError: it cannot run with these settings here.
    """
    folder = folder_of(config.model)
    device = config.device
    if device == "auto":
        device = "cuda" if importlib.import_module("ctranslate2").get_cuda_device_count() else "cpu"
    compute_type = config.compute_type
    if compute_type == "auto":
        compute_type = "float16" if device == "cuda" else "int8"
    try:
        return importlib.import_module("faster_whisper").WhisperModel(
            str(folder),
            device=device,
            compute_type=compute_type,
            cpu_threads=threads,
            num_workers=config.num_workers,
            local_files_only=True,
        )
    except (RuntimeError, ValueError) as error:
        raise PluginError(
            f"Whisper model {config.model} cannot run on {device} with compute_type {compute_type}: {error}"
        ) from error
