"""What the machine has is found out quickly, without torch, and said clearly."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import pytest
from sipcore.plugins import PluginError
from sipcore_llm_qwen import hardware
from sipcore_llm_qwen.hardware import (
    count_gpus,
    is_built_for_cuda,
    missing_libraries,
    require_libraries,
    suits_transformers,
)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that comes before the real ones; torch and transformers stop whoever imports them."""
    for name in ("torch", "transformers"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        package = tmp_path / name
        package.mkdir()
        (package / "__init__.py").write_text("raise AssertionError('it was imported')")
    (tmp_path / "torch" / "version.py").write_text("cuda: str | None = '12.8'")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


class Driver:
    """A GPU driver, as far as it is asked. There is none on the machines that run the tests."""

    def __init__(self, gpus: int, status: int = 0) -> None:
        self.gpus = gpus
        self.status = status

    def cuInit(self, flags: int) -> int:
        assert flags == 0
        return self.status

    def cuDeviceGetCount(self, count: Any) -> int:
        ctypes.cast(count, ctypes.POINTER(ctypes.c_int))[0] = self.gpus
        return 0


def test_a_build_for_cuda_is_known_by_its_version(site: Path) -> None:
    assert is_built_for_cuda()
    (site / "torch" / "version.py").write_text("cuda: str | None = None")
    assert not is_built_for_cuda()
    (site / "torch" / "version.py").unlink()
    assert not is_built_for_cuda()


def test_a_namespace_left_by_an_uninstall_is_no_torch(site: Path) -> None:
    (site / "torch" / "__init__.py").unlink()
    assert not is_built_for_cuda()


def test_gpus_are_counted_by_the_driver() -> None:
    assert count_gpus(lambda _: Driver(2)) == 2
    assert count_gpus(lambda _: Driver(0)) == 0
    assert count_gpus(lambda _: Driver(2, status=100)) == 0
    assert count_gpus(lambda _: object()) == 0


def test_a_machine_without_a_driver_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "DRIVER", "libno-such-driver.so.1")
    assert count_gpus() == 0


def test_transformers_suits_a_machine_that_has_it_all(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "count_gpus", lambda: 1)
    assert suits_transformers()
    monkeypatch.setattr(hardware, "count_gpus", lambda: 0)
    assert not suits_transformers()


def test_what_is_not_installed_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "LIBRARIES", ("no_torch", "anyio", "no_transformers"))
    assert missing_libraries() == ["no_torch", "no_transformers"]
    with pytest.raises(
        PluginError, match=r"needs no_torch and no_transformers: run `pip install 'sipcore\[transformers\]'`"
    ):
        require_libraries()
    assert not suits_transformers()
    monkeypatch.setattr(hardware, "LIBRARIES", ("anyio",))
    require_libraries()
