"""How much of the machine the model may take."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")
CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def compute_threads(allowed: set[int] | None = None, cpus: Path = CPUS, limit: Path = CGROUP_LIMIT) -> int:
    """Return how many threads should compute: the physical cores we may use, less one for the rest of the program.

    Of two cores one is left free: llama.cpp's threads wait for each other after every step, and one that must share
    its core with speech recognition or the voice holds up the other. Measured on two busy cores: 3 to 7 tokens a second
    with two threads, 37 to 50 with one (SmolLM2).

    Args:
        allowed: the logical CPUs we may run on; by default the operating system is asked.
        cpus: where Linux says which of them are one core.
        limit: where a container's share of CPU time stands (cgroup v2).
    """
    if allowed is None:
        allowed = os.sched_getaffinity(0) if sys.platform == "linux" else set(range(os.cpu_count() or 1))
    cores = len({_core(cpu, cpus) for cpu in allowed})
    cores = min(cores, _share(limit, cores))
    return max(1, cores - 1)


def _core(cpu: int, cpus: Path) -> str:
    try:
        return (cpus / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)


def _share(limit: Path, cores: int) -> int:
    try:
        quota, period = limit.read_text().split()[:2]
        return cores if quota == "max" else max(1, math.floor(int(quota) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        return cores
