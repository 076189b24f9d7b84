"""Starting and stopping an engine: as a process, or as a thread of this one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import anyio

from sipcore.media.engine import Engine, EngineShape
from sipcore.media.ring import Arena, create

STOP_SECONDS = 10.0
"""How long an engine may take to end: its recordings are written out."""


@dataclass(frozen=True, slots=True)
class RunningEngine:
    """An engine that runs: our end of its pipe, our view of its memory.

    Args:
        pipe: a connected stream socket; closing it ends the engine.
        arena: the shared memory.
        pid: the process; None for a thread.
    """

    pipe: socket.socket
    arena: Arena
    pid: int | None


def run_engine(shape: EngineShape, mode: Literal["process", "thread"]) -> AbstractAsyncContextManager[RunningEngine]:
    """Start an engine; leaving the block closes its pipe and waits for its end."""
    return _process(shape) if mode == "process" else _thread(shape)


@asynccontextmanager
async def _process(shape: EngineShape) -> AsyncGenerator[RunningEngine, None]:
    ours, theirs = socket.socketpair()
    memory = create(shape.arena)
    try:
        arena = Arena(memory, shape.arena)
        command = [sys.executable, "-P", "-m", "sipcore.media", str(theirs.fileno()), str(memory), *shape.arguments()]
        process = await anyio.open_process(
            command,
            stdin=subprocess.DEVNULL,
            stdout=None,
            stderr=None,
            pass_fds=(theirs.fileno(), memory),
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
        os.close(memory)
    try:
        yield RunningEngine(ours, arena, process.pid)
    finally:
        ours.close()
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(STOP_SECONDS) as waiting:
                await process.wait()
            if waiting.cancelled_caught:
                process.kill()
                await process.wait()


@asynccontextmanager
async def _thread(shape: EngineShape) -> AsyncGenerator[RunningEngine, None]:
    ours, theirs = socket.socketpair()
    memory = create(shape.arena)
    try:
        arena = Arena(memory, shape.arena)
        engine = Engine(shape, Arena(memory, shape.arena), theirs)
    except BaseException:
        ours.close()
        theirs.close()
        raise
    finally:
        os.close(memory)
    thread = threading.Thread(target=engine.run, name="media engine", daemon=True)
    thread.start()
    try:
        yield RunningEngine(ours, arena, None)
    finally:
        ours.close()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(thread.join, STOP_SECONDS)
