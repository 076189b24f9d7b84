"""The echo assistant."""

import pytest
from sipcore.testing.clock import VirtualTimeLoop
from sipcore.testing.fakes import FakeCall, loud, quiet
from sipcore.voice.echo import Echo

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return ("asyncio", {"loop_factory": VirtualTimeLoop})


class Listening(FakeCall):
    """A call that keeps what was played on it."""

    def __init__(self, script):
        super().__init__(script)
        self.pcm = b""

    async def play(self, audio):
        self.pcm += audio.pcm
        return await super().play(audio)


async def test_callers_hear_themselves():
    call = Listening([quiet(0.5), loud(0.5)])
    await Echo().converse(call)
    assert call.pcm == quiet(0.5).pcm + loud(0.5).pcm


async def test_the_greeting_comes_first():
    call = Listening([loud(0.2)])
    await Echo(quiet(1.0)).converse(call)
    assert call.pcm == quiet(1.0).pcm + loud(0.2).pcm
