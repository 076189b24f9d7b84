"""The media engine as a process of its own; `process.py` starts it and passes two descriptors on."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import socket
import sys

from sipcore.media.engine import Engine, EngineShape
from sipcore.media.ring import Arena

NICE = -10
PRIORITY = 1


def main(arguments: list[str]) -> None:
    """Run an engine until the server's end of the pipe closes.

    SIGINT and SIGTERM go to the whole group; how long the calls still live is the server's decision.

    Args:
        arguments: the descriptors of pipe and memory, then `EngineShape.arguments`.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _take_files()
    pipe, memory = int(arguments[0]), int(arguments[1])
    shape = EngineShape.from_arguments(arguments[2:])
    arena = Arena(memory, shape.arena)
    os.close(memory)
    engine = Engine(shape, arena, socket.socket(fileno=pipe))
    _take_priority()
    gc.collect()
    gc.freeze()
    engine.run()


def _take_files() -> None:
    """A call has three sockets and a recording: take all descriptors that we may."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _take_priority() -> None:
    """Go before other processes where the system lets us: a packet has its time, a reply has not."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY))
        return
    with contextlib.suppress(OSError):
        os.nice(NICE)


if __name__ == "__main__":
    main(sys.argv[1:])
