"""A voice's files, where a test wants them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

JOE = "en_US-joe-medium"


@pytest.fixture
def put_voice(pulled: Callable[[str], Path]) -> Callable[[Path, str], Path]:
    """Return what puts a real voice under another name into a folder."""
    source = pulled(JOE)

    def put(folder: Path, name: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for ending in ("onnx", "onnx.json"):
            (folder / f"{name}.{ending}").symlink_to(source / f"{JOE}.{ending}")
        return folder / f"{name}.onnx"

    return put
