"""Whisper for many calls: bounded, cancelled at once, and empty when it is closed."""

import threading
import time

import anyio
import pytest
from sipcore.plugins import AudioFrame, Speech, Transcript
from sipcore_stt_whisper import Config
from sipcore_stt_whisper.engine import Whisper, opened

pytestmark = pytest.mark.anyio
AUDIO = AudioFrame(b"\x00\x10" * 8000, 8000)


class Slow:
    """A transcriber that works for a while and counts who is at work."""

    def __init__(self) -> None:
        self.at_work = 0
        self.most = 0
        self.done = 0
        self.abandoned = 0
        self.lock = threading.Lock()

    def transcribe(self, samples, expected, abandoned) -> Transcript:
        with self.lock:
            self.at_work += 1
            self.most = max(self.most, self.at_work)
        for _ in range(10):
            time.sleep(0.01)
            if abandoned():
                self.abandoned += 1
                break
        with self.lock:
            self.at_work -= 1
            self.done += 1
        return Transcript(",".join(expected))


async def test_no_more_than_its_workers_compute(prompts):
    slow = Slow()
    engine = Whisper(slow, 2)
    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(engine.transcribe, Speech(AUDIO))
    assert (slow.most, slow.done) == (2, 6)


async def test_abandoned_work_keeps_its_slot_until_it_stops():
    slow = Slow()
    engine = Whisper(slow, 1)
    for _ in range(20):
        with anyio.move_on_after(0.005):
            await engine.transcribe(Speech(AUDIO))
    assert (await engine.transcribe(Speech(AUDIO, languages=("en",)))).text == "en"
    await engine.idle()
    assert slow.most == 1
    assert slow.abandoned >= 1
    assert slow.at_work == 0


async def test_a_cancelled_caller_does_not_wait():
    engine = Whisper(Slow(), 1)
    started = time.monotonic()
    with anyio.move_on_after(0.02):
        await engine.transcribe(Speech(AUDIO))
    assert time.monotonic() - started < 0.08
    await engine.idle()


async def test_closing_waits_for_the_threads_that_compute(pulled, prompts):
    pulled("tiny.en")
    async with opened(Config(model="tiny.en", device="cpu")) as engine:
        with anyio.move_on_after(0.01):
            await engine.transcribe(Speech(prompts["vm-newuser"].audio))
    assert not engine._slots.acquire(blocking=False), "every slot was collected"


async def test_it_is_warm_when_it_is_open(pulled, prompts):
    """The first caller waits no longer than the second."""
    pulled("tiny.en")
    spoken = Speech(prompts["conf-getpin"].audio)
    async with opened(Config(model="tiny.en", device="cpu")) as engine:
        times = []
        for _ in range(4):
            started = time.perf_counter()
            await engine.transcribe(spoken)
            times.append(time.perf_counter() - started)
    assert times[0] < 4 * min(times[1:]) + 0.2
