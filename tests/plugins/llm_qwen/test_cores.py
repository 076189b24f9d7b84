"""The model takes what the machine has, and leaves room for the call itself."""

from pathlib import Path

import pytest
from sipcore_llm_qwen.cores import compute_threads


def machine(folder: Path, siblings: list[str]) -> Path:
    for cpu, text in enumerate(siblings):
        place = folder / f"cpu{cpu}" / "topology"
        place.mkdir(parents=True)
        (place / "thread_siblings_list").write_text(text + "\n")
    return folder


@pytest.mark.parametrize(
    ("siblings", "threads"),
    [
        (["0"], 1),
        (["0", "1"], 1),
        (["0-1", "0-1"], 1),
        (["0,4", "1,5", "2,6", "3,7"] * 2, 3),
        ([str(n) for n in range(16)], 15),
    ],
)
def test_physical_cores_count(tmp_path: Path, siblings: list[str], threads: int) -> None:
    cpus = machine(tmp_path, siblings)
    assert compute_threads(set(range(len(siblings))), cpus, tmp_path / "none") == threads


def test_cpus_that_say_nothing_are_cores(tmp_path: Path) -> None:
    assert compute_threads({0, 1, 2, 3}, tmp_path, tmp_path / "none") == 3


@pytest.mark.parametrize(
    ("share", "threads"), [("200000 100000", 1), ("150000 100000", 1), ("max 100000", 7), ("?", 7), ("1 0", 7)]
)
def test_a_containers_share_is_kept(tmp_path: Path, share: str, threads: int) -> None:
    limit = tmp_path / "cpu.max"
    limit.write_text(share + "\n")
    assert compute_threads(set(range(8)), tmp_path, limit) == threads


def test_this_machine_has_at_least_one() -> None:
    assert compute_threads() >= 1
