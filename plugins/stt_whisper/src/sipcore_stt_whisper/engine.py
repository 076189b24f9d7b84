"""Whisper as an engine for many calls: blocking work in threads, bounded, and dropped when nobody waits for it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

import anyio
import anyio.to_thread
from sipcore.plugins import Speech, Transcript
from sipcore.plugins.threads import stand_back

from sipcore_stt_whisper import Config
from sipcore_stt_whisper.audio import for_whisper
from sipcore_stt_whisper.loading import load
from sipcore_stt_whisper.transcriber import Transcriber

MOST_THREADS = 4


class Whisper:
    """Speech to text for all calls, ``workers`` utterances at a time.

    A cancelled transcription lets its caller go at once. The thread that has it looks up between two steps of the
    model, about every 50 ms, and stops; until then it keeps its slot, so that no more than ``workers`` ever compute.
    """

    def __init__(self, transcriber: Transcriber, workers: int) -> None:
        self._transcriber = transcriber
        self._workers = workers
        self._slots = threading.BoundedSemaphore(workers)
        self._limiter = anyio.CapacityLimiter(workers)

    async def transcribe(self, speech: Speech) -> Transcript:
        """Transcribe one utterance; cancelling abandons it."""
        abandoned = threading.Event()

        def work() -> Transcript:
            with self._slots:
                return self._transcriber.transcribe(for_whisper(speech.audio), speech.languages, abandoned.is_set)

        try:
            return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._limiter)
        finally:
            abandoned.set()

    async def idle(self) -> None:
        """Wait until no thread uses the model any more."""

        def all_slots() -> None:
            for _ in range(self._workers):
                self._slots.acquire()

        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(all_slots)


def threads_for(config: Config) -> int:
    """Return the threads of each worker: as set, or the cores but one shared among the workers, four each at most.

    Threads of one worker wait for each other: one that must share its core holds up the others. So a core stays free.
    """
    cores = len(os.sched_getaffinity(0))
    return config.cpu_threads or max(1, min(MOST_THREADS, (cores - 1) // config.num_workers))


@asynccontextmanager
async def opened(config: Config) -> AsyncGenerator[Whisper, None]:
    """Load, warm up, and on the way out wait for the threads that still compute."""

    def warm() -> Transcriber:
        transcriber = Transcriber(load(config, threads_for(config)), config)
        transcriber.warm_up()
        return transcriber

    # A thread of its own: those of the engine, which it starts, inherit its priority.
    with ThreadPoolExecutor(1, "whisper-load", initializer=partial(stand_back, config.nice)) as loader:
        engine = Whisper(await asyncio.wrap_future(loader.submit(warm)), config.num_workers)
    try:
        yield engine
    finally:
        await engine.idle()
