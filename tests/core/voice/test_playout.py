"""Which of the text the caller heard."""

import pytest
from sipcore.plugins import Voice
from sipcore.testing.clock import VirtualTimeLoop
from sipcore.testing.fakes import FakeCall, FakeTTS
from sipcore.voice.patience import Patience
from sipcore.voice.playout import Playout, Spoken

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return ("asyncio", {"loop_factory": VirtualTimeLoop})


@pytest.mark.parametrize(
    ("position", "heard"),
    [(0.0, ""), (1.0, ""), (1.1, ""), (1.9, "one two"), (3.0, "one two three four"), (9.0, "one two three four")],
)
async def test_words_count_from_their_middle(position, heard):
    assert Spoken("one two three four", 1.0, 3.0).heard(position) == heard


async def test_pieces_are_heard_in_order():
    call = FakeCall([])
    playout = Playout(call, FakeTTS(seconds=0.1), Voice(), Patience(5.0))
    await playout.say("Yes.")
    await playout.say("Yes.")
    assert playout.heard(0.0) == ""
    assert playout.heard(0.4) == "Yes."
    assert playout.heard(0.8) == "Yes. Yes."


async def test_finish_waits_until_all_was_heard():
    call = FakeCall([])
    playout = Playout(call, FakeTTS(seconds=0.1), Voice(), Patience(5.0))
    await playout.finish()
    await playout.say("0123456789")
    await playout.finish()
    assert call.heard == pytest.approx(1.0)
