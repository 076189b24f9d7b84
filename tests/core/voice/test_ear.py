"""Real transcripts come before interim ones."""

import anyio
import pytest
from sipcore.plugins import Speech
from sipcore.testing.clock import VirtualTimeLoop
from sipcore.testing.fakes import FakeSTT, loud
from sipcore.voice.ear import Ear

pytestmark = pytest.mark.anyio
SPEECH = Speech(loud(1))


@pytest.fixture
def anyio_backend():
    return ("asyncio", {"loop_factory": VirtualTimeLoop})


async def test_an_interim_transcript_is_made_while_nothing_else_is():
    assert (await Ear(FakeSTT(["half"])).overhear(SPEECH)).text == "half"


async def test_a_real_one_abandons_an_interim_one_and_does_not_wait_for_it():
    ear = Ear(FakeSTT(["text"], delay=1.0))
    got = []

    async def overhear():
        got.append(await ear.overhear(SPEECH))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(overhear)
        await anyio.sleep(0.5)
        await ear.transcribe(SPEECH)
        assert anyio.current_time() == pytest.approx(1.5)
    assert got == [None]


async def test_at_most_one_interim_transcript_is_made_and_none_beside_a_real_one():
    stt = FakeSTT(["text"], delay=1.0)
    ear = Ear(stt)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ear.overhear, SPEECH)
        await anyio.sleep(0.1)
        assert await ear.overhear(SPEECH) is None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ear.transcribe, SPEECH)
        await anyio.sleep(0.1)
        assert await ear.overhear(SPEECH) is None
    assert len(stt.heard) == 2
