"""Loading a folder of safetensors: on the GPU if there is one, else on the CPU."""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path
from typing import Any

from sipcore.plugins import Message, PluginError

from sipcore_llm_qwen.config import Config
from sipcore_llm_qwen.cores import compute_threads
from sipcore_llm_qwen.hardware import INSTALL
from sipcore_llm_qwen.torch_errors import as_error
from sipcore_llm_qwen.torch_model import TorchModel
from sipcore_llm_qwen.torch_prompt import Prompts

log = logging.getLogger(__name__)


def load_model(folder: Path, config: Config) -> TorchModel:
    """Load a model and let it read its first prompt: the settings' prefix, if they have one. Takes seconds.

    Nothing is fetched: what is not in ``folder`` is missing.

    Raises:
        PluginError: torch or transformers cannot be imported, or cannot load it.
    """
    torch, transformers = _libraries()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = best_dtype(torch, device)
    try:
        tokenizer = _load_tokenizer(transformers, folder)
        weights = _load_weights(transformers, folder, dtype).to(device).eval()
    except PluginError:
        raise
    except Exception as error:  # each kind of file fails in its own way
        raise as_error(error, f"transformers cannot load {folder}") from error
    log.info("%s computes on %s with %s", folder.name, device, dtype)
    threads = config.threads or compute_threads()
    model = TorchModel(torch, transformers, weights, Prompts(tokenizer), config, threads)
    try:
        model.read([Message("system", config.prefix)] if config.prefix else [], lambda: True)
    except BaseException:
        model.close()
        raise
    return model


def best_dtype(torch: Any, device: str) -> Any:
    """Return the numbers to compute with: of 16 bits where the hardware has them, else of 32.

    Measured on a CPU with AVX2 and no bfloat16: it reads a prompt 7 times as slowly as float32.

    Args:
        torch: the library.
        device: ``cuda`` or ``cpu``.
    """
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    fast = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if fast else torch.float32


def _libraries() -> tuple[Any, Any]:
    try:
        torch, transformers = import_module("torch"), import_module("transformers")
    except Exception as error:  # half an installation fails in any way
        raise PluginError(f"torch or transformers cannot be imported: {error}. Try `{INSTALL}`") from error
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    transformers.logging.disable_progress_bar()
    return torch, transformers


def _load_tokenizer(transformers: Any, folder: Path) -> Any:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if not tokenizer.chat_template:
        raise PluginError(
            f"{folder} has no chat template: it is no model to talk with; take one that is tuned for chat"
        )
    return tokenizer


def _load_weights(transformers: Any, folder: Path, dtype: Any) -> Any:
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, local_files_only=True, use_safetensors=True, output_loading_info=True
    )
    if report["missing_keys"]:
        absent = sorted(report["missing_keys"])
        raise PluginError(f"{folder} lacks {len(absent)} of the model's weights, {absent[0]} for one: is it whole?")
    return model
