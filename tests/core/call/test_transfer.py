"""call/transfer.py: the far end is asked to call someone else."""

import anyio
import pytest
from sipcore.errors import CallEndedError, CallFailedError

pytestmark = pytest.mark.anyio
TARGET = "sip:carol@127.0.0.1:5099"


async def notify(far, line, state="active;expires=60"):
    """Tell of the call that was asked for; the status of the answer."""
    extra = f"Event: refer\r\nSubscription-State: {state}\r\nContent-Type: message/sipfrag\r\n"
    await far.send("NOTIFY", f"SIP/2.0 {line}\r\n", extra)
    return (await far.response()).status


async def attempt(call, outcomes, target=TARGET):
    try:
        outcomes.append(await call.transfer(target))
    except (CallFailedError, CallEndedError) as error:
        outcomes.append(error)


async def test_a_transfer_returns_when_the_target_answered(scripted):
    async with scripted() as (call, far), anyio.create_task_group() as tasks:
        outcomes = []
        tasks.start_soon(attempt, call, outcomes)
        refer = await far.receive("REFER")
        assert refer.headers.get("Refer-To") == f"<{TARGET}>"
        await far.answer(refer, "202 Accepted")
        assert await notify(far, "100 Trying") == 200
        assert await notify(far, "180 Ringing") == 200
        assert outcomes == []
        assert await notify(far, "200 OK", "terminated;reason=noresource") == 200
        await anyio.wait_all_tasks_blocked()
        assert outcomes == [None]
        assert not call.over
        assert await notify(far, "200 OK") == 481


async def test_a_far_end_that_transfers_nobody(scripted):
    async with scripted() as (call, far):
        outcomes = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attempt, call, outcomes)
            await far.answer(await far.receive("REFER"), "603 Decline")
        assert [(error.status, error.reason) for error in outcomes] == [(603, "Decline")]
        assert not call.over


async def test_a_target_that_is_busy(scripted):
    async with scripted() as (call, far):
        outcomes = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attempt, call, outcomes)
            await far.answer(await far.receive("REFER"), "202 Accepted")
            assert await notify(far, "486 Busy Here", "terminated") == 200
        assert [(error.status, error.reason) for error in outcomes] == [(486, "Busy Here")]
        assert not call.over


async def test_a_phone_of_ours_transfers_nobody(talk):
    async with talk() as (call, other, _):
        for side in (call, other):
            with pytest.raises(CallFailedError, match="405"):
                await side.transfer(TARGET)
            assert not side.over


async def test_one_transfer_at_a_time(scripted):
    async with scripted() as (call, far):
        outcomes = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attempt, call, outcomes)
            refer = await far.receive("REFER")
            with pytest.raises(CallFailedError, match="491 another transfer"):
                await call.transfer(TARGET)
            await far.answer(refer, "603 Decline")


@pytest.mark.parametrize("target", ["carol", "tel:+4912345", "sip:", "sip:carol@example.org>\r\nEvil: 1"])
async def test_a_target_that_nobody_can_call(scripted, target):
    async with scripted() as (call, _):
        with pytest.raises(CallFailedError, match=r"400 .* was expected"):
            await call.transfer(target)
        assert not call.over


async def test_a_far_end_that_hangs_up_instead(scripted):
    async with scripted() as (call, far):
        outcomes = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attempt, call, outcomes)
            await far.answer(await far.receive("REFER"), "202 Accepted")
            await far.send("BYE")
        assert isinstance(outcomes[0], CallEndedError)
        with pytest.raises(CallEndedError):
            await call.transfer(TARGET)
