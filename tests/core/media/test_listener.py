"""A reader gets what was put in, in order; a slow one loses the oldest."""

import anyio
import pytest
from sipcore.media.listener import Listener

pytestmark = pytest.mark.anyio


async def test_what_waits_is_read_and_then_the_end_comes():
    listener = Listener[int](3, (1, 2))
    listener.put(3)
    listener.end()
    assert [item async for item in listener] == [1, 2, 3]


async def test_a_slow_reader_loses_the_oldest():
    listener = Listener[int](2)
    for item in range(5):
        listener.put(item)
    listener.end()
    assert [item async for item in listener] == [3, 4]


async def test_a_reader_waits_for_what_comes():
    listener, got = Listener[int](2), []

    async def read():
        got.extend([item async for item in listener])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await anyio.sleep(0.01)
        listener.put(1)
        await anyio.sleep(0.01)
        listener.end()
    assert got == [1]
