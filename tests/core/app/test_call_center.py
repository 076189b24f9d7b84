"""app/call_center.py: conversations on calls that a server hands over."""

import logging

import anyio
import pytest
from sipcore.app.call_center import CallCenter
from sipcore.client import connect
from sipcore.voice.echo import Echo

from ..conftest import pitch, tone  # noqa: TID252

pytestmark = pytest.mark.anyio


class Talk:
    """A conversation by the function that it is made of."""

    def __init__(self, converse):
        self.converse = converse


async def hear(call, into):
    async with call.audio() as frames:
        await call.play(tone(500, 1.0))
        async for frame in frames:
            into.extend(frame.pcm)
            if pitch(into) == 500:
                break
    await call.hang_up()


async def test_it_takes_calls_one_after_the_other_and_talks(desk, caplog):
    caplog.set_level(logging.INFO)
    async with desk() as here, connect(here.url) as client, anyio.create_task_group() as tasks:
        ready = []
        tasks.start_soon(CallCenter(client, Echo()).run, lambda: ready.append(True))
        for _ in range(2):
            await here.call(lambda call: hear(call, bytearray()))
        assert here.ended == ["bye", "bye"]
        assert ready == [True]
        await here.settled(lambda: caplog.text.count("call ended: hangup") >= 4)
        tasks.cancel_scope.cancel()
    assert caplog.text.count("took the call from sip:phone@") == 2


async def test_more_calls_than_it_may_take_are_left_to_others(desk, caplog):
    caplog.set_level(logging.INFO)
    async with desk() as here, connect(here.url) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(CallCenter(client, Echo(), most=1).run)
        async with here.phone.dial(here.uri):
            await here.call()
            assert here.ended[0].status == 480
        tasks.cancel_scope.cancel()
    assert "is left to others: 1 are up" in caplog.text


async def test_a_conversation_that_fails_hangs_up_and_the_next_call_is_taken(desk, caplog):
    async def fail(call):
        raise RuntimeError("broken")

    async with desk() as here, connect(here.url) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(CallCenter(client, Talk(fail)).run)
        for _ in range(2):
            await here.call()
        assert here.ended == ["hangup", "hangup"]
        tasks.cancel_scope.cancel()
    assert caplog.text.count("the conversation failed: hanging up") == 2


async def test_a_call_that_another_was_quicker_to_take_is_not_missed(desk, caplog):
    caplog.set_level(logging.INFO)
    async with (
        desk() as here,
        connect(here.url) as one,
        connect(here.url) as other,
        anyio.create_task_group() as tasks,
    ):
        for client in (one, other):
            tasks.start_soon(CallCenter(client, Echo()).run)
        await here.call(lambda call: hear(call, bytearray()))
        await here.settled(lambda: "not taken: the call is over" in caplog.text)
        tasks.cancel_scope.cancel()


async def test_the_call_of_one_that_is_gone_is_taken_over_by_another(desk, caplog):
    caplog.set_level(logging.INFO)
    async with desk() as here, anyio.create_task_group() as tasks:
        heard = bytearray()
        tasks.start_soon(here.call, lambda call: hear(call, heard))
        async with here.client("?v=2") as first:
            call_id = (await first.until("RING_ANS:")).rpartition("##")[2]
            await first.send(f"CALL_ANS:{call_id}")
            await first.until("CALL_ANS:")
        async with connect(here.url) as client, anyio.create_task_group() as center:
            center.start_soon(CallCenter(client, Talk(greet)).run)
            await here.settled(lambda: here.ended == ["bye"])
            center.cancel_scope.cancel()
    assert "which another call centre held before" in caplog.text


async def greet(call):
    await call.play(tone(500, 2.0))
    await call.wait_over()
