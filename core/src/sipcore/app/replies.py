"""What callers heard of each reply, kept as WAV files."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from sipcore.audio.frame import AudioFrame
from sipcore.audio.wav import write_wav
from sipcore.call.recording import reply_path
from sipcore.plugins.interfaces import CallInfo

logger = logging.getLogger(__name__)

WAITING = 100
"""Replies that may wait to be written: a slow disk costs replies, not memory."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a caller heard of one reply: the call, the reply's number in it from 1 on, when it was over, the audio."""

    info: CallInfo
    number: int
    ended: datetime
    audio: AudioFrame


class ReplyKeeper:
    """Writes replies in a thread, one after the other. A failure is told once; the next success ends it.

    Args:
        folder: where to; made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._failing = False
        streams = anyio.create_memory_object_stream[Reply](WAITING)
        self._queue: MemoryObjectSendStream[Reply] = streams[0]
        self._waiting: MemoryObjectReceiveStream[Reply] = streams[1]

    def keep(self, info: CallInfo, number: int, audio: AudioFrame) -> None:
        """Keep one reply; returns at once."""
        try:
            self._queue.send_nowait(Reply(info, number, datetime.now().astimezone(), audio))
        except anyio.WouldBlock:
            self._fail(f"{WAITING} replies wait for a slow disk")

    async def run(self) -> None:
        """Write until the queue is closed and empty."""
        with self._waiting:
            async for reply in self._waiting:
                try:
                    await anyio.to_thread.run_sync(self._write, reply)
                    self._failing = False
                except OSError as error:
                    self._fail(str(error))

    def close(self) -> None:
        """Take no more."""
        self._queue.close()

    def _write(self, reply: Reply) -> None:
        path = reply_path(self._folder, reply.info, reply.number, reply.ended)
        write_wav(path, reply.audio)

    def _fail(self, problem: str) -> None:
        if not self._failing:
            logger.error("a reply is not kept, and no further one until this is mended: %s", problem)
        self._failing = True


@asynccontextmanager
async def open_keeper(folder: Path) -> AsyncGenerator[ReplyKeeper, None]:
    """Keep replies in ``folder`` until the block is left; those that wait are written then."""
    keeper = ReplyKeeper(folder)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.run)
        try:
            yield keeper
        finally:
            keeper.close()
