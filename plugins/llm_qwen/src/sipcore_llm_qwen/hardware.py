"""Whether transformers can run here, found out without importing torch, which takes seconds."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from sipcore.plugins import PluginError

LIBRARIES = ("torch", "transformers")
DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
INSTALL = "pip install 'sipcore[transformers]'"


def suits_transformers() -> bool:
    """Whether torch is installed with CUDA, transformers too, and a CUDA GPU may be used."""
    return not missing_libraries() and is_built_for_cuda() and count_gpus() > 0


def require_libraries() -> None:
    """Check that what ``engine = "transformers"`` imports is installed.

    Raises:
        PluginError: it is not; the text names the command that installs it.
    """
    missing = missing_libraries()
    if missing:
        raise PluginError(f'[llm.qwen] engine = "transformers" needs {" and ".join(missing)}: run `{INSTALL}`')


def missing_libraries() -> list[str]:
    """Return what is not installed of what the engine imports."""
    return [name for name in LIBRARIES if find_spec(name) is None]


def is_built_for_cuda() -> bool:
    """Whether the torch that is installed can use a CUDA GPU: its file ``version.py`` says so."""
    torch = find_spec("torch")
    if torch is None or torch.origin is None:
        return False
    spec = spec_from_file_location("torch_version", Path(torch.origin).with_name("version.py"))
    if spec is None or spec.loader is None:
        return False
    version = module_from_spec(spec)
    try:
        spec.loader.exec_module(version)
    except OSError:
        return False
    return bool(getattr(version, "cuda", None))


def count_gpus(load: Callable[[str], Any] = ctypes.CDLL) -> int:
    """Ask the driver how many CUDA GPUs this process may use; none without a driver.

    Args:
        load: opens a shared library by its name.
    """
    count = ctypes.c_int(0)
    try:
        driver = load(DRIVER)
        usable = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    except (OSError, AttributeError):
        return 0
    return count.value if usable else 0
