"""The SIP side of a call, as its events tell it."""

from functools import partial

import anyio
import pytest
from sipcore.call.leg import Leg
from sipcore.errors import CallEndedError, CallFailedError
from sipcore.net.udp import SipEndpoint
from sipcore.sip.events import InvitationCancelled, SessionEnded, SessionRejected
from sipcore.testing.clock import VirtualTimeLoop

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return ("asyncio", {"loop_factory": VirtualTimeLoop})


async def after(seconds, action):
    await anyio.sleep(seconds)
    action()


async def test_a_refused_call_fails_with_its_status():
    leg = Leg("s", SipEndpoint(("127.0.0.1", 0)))
    leg.on_event(SessionRejected("s", 486, "Busy Here", None))
    with pytest.raises(CallFailedError, match="486 Busy Here"):
        await leg.wait_answered()


async def test_a_cancelled_call_ends_while_it_is_waited_for():
    leg = Leg("s", SipEndpoint(("127.0.0.1", 0)))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(after, 1.0, lambda: leg.on_event(InvitationCancelled("s", "")))
        with pytest.raises(CallEndedError, match="cancelled"):
            await leg.wait_answered()
    assert anyio.current_time() == pytest.approx(1.0)


async def test_the_first_reason_counts_and_the_end_is_told_once():
    ends = []
    leg = Leg("s", SipEndpoint(("127.0.0.1", 0)))
    leg.on_end = lambda: ends.append(1)
    leg.on_event(SessionEnded("s", "hangup", None))
    leg.end("bye")
    assert (leg.reason, ends) == ("hangup", [1])
    assert await leg.wait_over() == "hangup"


async def test_ringing_ends_early_when_the_caller_gives_up():
    leg = Leg("s", SipEndpoint(("127.0.0.1", 0)))
    await leg.while_up(partial(anyio.sleep, 0.5))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(after, 1.0, lambda: leg.end("cancelled"))
        with pytest.raises(CallEndedError):
            await leg.while_up(partial(anyio.sleep, 60))
    assert anyio.current_time() == pytest.approx(1.5)
