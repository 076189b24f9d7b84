"""How much of the machine the model may take."""

from __future__ import annotations

import math
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")
CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def compute_threads(allowed: set[int] | None = None, cpus: Path = CPUS, limit: Path = CGROUP_LIMIT) -> int:
    """Return how many threads should compute: the physical cores we may use, less one for the rest of the program.

    Two cores are both taken: half as fast an answer is worse than a media engine that goes first by its priority.

    Args:
        allowed: the logical CPUs we may run on; by default the operating system is asked.
        cpus: where Linux says which of them are one core.
        limit: where a container's share of CPU time stands (cgroup v2).
    """
    if allowed is None:
        allowed = os.sched_getaffinity(0) if sys.platform == "linux" else set(range(os.cpu_count() or 1))
    cores = len({_core(cpu, cpus) for cpu in allowed})
    cores = min(cores, _share(limit, cores))
    return cores - 1 if cores > 2 else max(cores, 1)


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


def stand_back(nice: int) -> None:
    """Give this thread, and those that it starts, a lower priority. Linux alone counts it by thread.

    It cannot be undone without privileges: call it in a thread that does nothing else.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
