"""A reply that also calls functions is spoken like any other: what is no text makes no sound."""

from collections.abc import AsyncIterator

import pytest
from sipcore.plugins import Delta, ToolCall, TranscriptMade, TurnFinished
from sipcore.testing.clock import VirtualTimeLoop
from sipcore.testing.fakes import FakeCall, FakeLLM, FakeSTT, FakeTTS, FakeVAD, loud, quiet
from sipcore.voice.assistant import Assistant
from sipcore.voice.conversation import Pipeline
from sipcore.voice.turn import Engines

pytestmark = pytest.mark.anyio
CALL = Delta(tool_call=ToolCall("call_1", "weather", "{}"))


@pytest.fixture
def anyio_backend():
    return ("asyncio", {"loop_factory": VirtualTimeLoop})


class CallingLLM(FakeLLM):
    """Calls a function before, within and after every word."""

    async def _words(self, reply) -> AsyncIterator[Delta]:
        yield CALL
        yield Delta()
        async for delta in super()._words(reply):
            yield delta
            yield CALL


async def said(*replies):
    call, tts = FakeCall([quiet(1), loud(1), quiet(5)]), FakeTTS()
    engines = Engines(FakeSTT(["question"]), CallingLLM(list(replies)), tts)
    await Pipeline(Assistant(prompt="P"), engines, FakeVAD()).converse(call)
    (turn,) = [event for event in call.events if isinstance(event, TurnFinished)]
    heard = [event.transcript.text for event in call.events if isinstance(event, TranscriptMade)]
    return heard, tts.spoken, turn


async def test_a_call_of_a_function_within_a_reply_is_not_heard():
    heard, spoken, turn = await said("One moment, please.")
    assert heard == ["question", "One moment, please."]
    assert "".join(spoken).replace(" ", "") == "Onemoment,please."
    assert turn.timing.first_token is not None and turn.timing.first_packet is not None


async def test_a_reply_that_only_calls_a_function_is_silence_and_no_failure():
    heard, spoken, turn = await said("")
    assert heard == ["question"]
    assert spoken == []
    assert (turn.said, turn.heard, turn.timing.first_token) == ("question", "", None)
