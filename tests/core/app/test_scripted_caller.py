"""A caller with a script, in virtual time."""

import anyio
import pytest
from sipcore.app.scripted_caller import NothingHeardError, ScriptedCaller, trim
from sipcore.audio.frame import AudioFrame
from sipcore.testing.clock import VirtualTimeLoop
from sipcore.testing.fakes import FakeCall, loud, quiet

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return ("asyncio", {"loop_factory": VirtualTimeLoop})


async def script(far_end, steps):
    """Let the caller take ``steps`` on a call whose far end says ``far_end``; what they gave."""
    caller = ScriptedCaller(FakeCall(far_end))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(caller.listen)
        try:
            return await steps(caller)
        except NothingHeardError as error:
            return str(error)
        finally:
            tasks.cancel_scope.cancel()


async def test_it_speaks_when_the_far_end_was_silent_for_long_enough():
    async def steps(caller):
        began = anyio.current_time()
        await caller.hear_out()
        return anyio.current_time() - began

    assert await script([quiet(1), loud(2), quiet(5)], steps) == pytest.approx(3.0 + 1.2, abs=0.05)


async def test_what_it_says_is_timed():
    async def steps(caller):
        began = anyio.current_time()
        spoken = await caller.say(loud(1.5))
        return spoken.start - began, spoken.end - began

    start, end = await script([quiet(5)], steps)
    assert start == pytest.approx(0.02, abs=0.01)
    assert end == pytest.approx(1.5, abs=0.01)


async def test_an_interruption_tells_how_long_the_far_end_went_on():
    async def steps(caller):
        await caller.hear_start()
        await anyio.sleep(1.0)
        return (await caller.interrupt(loud(1.0)))[1]

    assert await script([quiet(1), loud(1.4), quiet(5)], steps) == pytest.approx(0.4, abs=0.05)


async def test_a_far_end_that_says_nothing_is_told_of():
    assert "said nothing for 3 s" in await script([quiet(9)], lambda caller: caller.hear_start(3.0))


async def test_a_far_end_that_never_stops_is_told_of():
    assert "did not stop" in await script([loud(9)], lambda caller: caller.hear_out(longest=4.0))


async def test_a_far_end_that_hangs_up_is_told_of_at_once():
    async def steps(caller):
        try:
            await caller.hear_out()
        except NothingHeardError as error:
            return str(error), anyio.current_time() - began

    began = anyio.current_time()
    said, seconds = await script([quiet(2)], steps)
    assert said == "the far end hung up"
    assert seconds == pytest.approx(2.0, abs=0.1)


def test_silence_at_both_ends_is_cut():
    audio = AudioFrame(quiet(0.5).pcm + loud(1.0).pcm + quiet(0.3).pcm, 8000)
    assert trim(audio).duration == pytest.approx(1.0, abs=0.02)
    assert trim(quiet(1.0)).duration == 1.0
