"""app/gateway.py, app/attended_call.py and call/bridge.py: hold, transfer, joined calls, listening and whispering."""

import json
from contextlib import asynccontextmanager

import anyio
import pytest

from ..call.conftest import Scripted  # noqa: TID252
from ..conftest import PATIENCE, pitch, tone  # noqa: TID252

pytestmark = pytest.mark.anyio


class Caller:
    """One of the phones: what it hears."""

    def __init__(self):
        self.heard = bytearray()
        self.call = None

    async def hold(self, call):
        self.call = call
        async with call.audio() as frames:
            async for frame in frames:
                self.heard += frame.pcm


@pytest.fixture
def talk(desk):
    """A client that holds calls: ``async with talk(2) as (here, client, ids, callers)``."""

    @asynccontextmanager
    async def talking(count=2, **overrides):
        async with desk(**overrides) as here, here.client("?v=2") as client, anyio.create_task_group() as tasks:
            ids, callers = [], [Caller() for _ in range(count)]
            for caller in callers:
                tasks.start_soon(here.call, caller.hold)
                call_id = (await client.until("RING_ANS:")).rpartition("##")[2]
                await client.send(f"CALL_ANS:{call_id}")
                await client.until("CALL_ANS:")
                await here.settled(lambda caller=caller: caller.call is not None)
                ids.append(call_id)
            with anyio.fail_after(60):
                yield here, client, ids, callers
            tasks.cancel_scope.cancel()

    return talking


async def info(client, call_id, **wanted):
    """Wait for CALL_INFO that says so."""
    while True:
        data = json.loads((await client.until(f"CALL_INFO:{call_id}##")).partition("##")[2])
        if wanted.items() <= data.items():
            return data


async def heard_now(here, caller, frequency):
    """Wait until a caller hears a tone, from now on."""
    caller.heard.clear()
    await here.settled(lambda: pitch(caller.heard) == frequency)


# --- hold and transfer


async def test_hold_and_resume_are_told_and_what_is_queued_waits(talk):
    async with talk(1) as (here, client, (call_id,), (caller,)):
        await client.send(f"HOLD:{call_id}")
        await info(client, call_id, on_hold=True)
        await client.send_audio(call_id, tone(440, 0.5).pcm)
        await anyio.sleep(0.3)
        assert pitch(caller.heard) == 0
        await client.send(f"RESUME:{call_id}")
        await info(client, call_id, on_hold=False)
        await here.settled(lambda: pitch(caller.heard) == 440)


async def test_a_transfer_that_cannot_be_is_answered_with_its_status(talk):
    async with talk(1) as (here, client, (call_id,), (caller,)):
        await client.send(f"TRANSFER:{call_id}##nonsense")
        assert (await client.until("TRANSFER:")).startswith(f"TRANSFER:{call_id}##400 ")
        await client.send(f"TRANSFER:{call_id}##sip:carol@127.0.0.1:9")
        status = (await client.until("TRANSFER:")).partition("##")[2]
        assert status[:1] in "456"
        await client.send_audio(call_id, tone(440, 0.5).pcm)
        await here.settled(lambda: pitch(caller.heard) == 440)


@asynccontextmanager
async def scripted(desk):
    """A call that a client placed to a phone that the test scripts."""
    async with desk() as here, await anyio.create_udp_socket(local_host="127.0.0.1") as udp:
        far = Scripted(udp)
        async with here.client("?v=2") as client:
            await client.send(f"CALL:sip:s@127.0.0.1:{far.port}")
            await far.answer(await far.receive("INVITE"), "200 OK", far.sdp())
            yield client, (await client.until("CALL_ANS:")).partition(":")[2], far


async def test_a_transfer_that_succeeds_is_answered_with_200(desk):
    async with scripted(desk) as (client, call_id, far):
        await client.send(f"TRANSFER:{call_id}##sip:carol@127.0.0.1:5099")
        await far.answer(await far.receive("REFER"), "202 Accepted")
        state = "Event: refer\r\nSubscription-State: terminated;reason=noresource\r\nContent-Type: message/sipfrag\r\n"
        await far.send("NOTIFY", "SIP/2.0 200 OK\r\n", state)
        assert await client.until("TRANSFER:") == f"TRANSFER:{call_id}##200 OK"


async def test_a_hold_that_is_refused_is_told_and_the_call_goes_on(desk):
    async with scripted(desk) as (client, call_id, far):
        await client.send(f"HOLD:{call_id}")
        await far.answer(await far.receive("INVITE"), "488 Not Acceptable Here")
        refused = f"ERROR:488 the far end refuses: Not Acceptable Here##{call_id}"
        assert await client.until("ERROR:") == refused
        await client.send(f"MARK:{call_id}##up")
        await client.until("MARK:")


async def test_digits_that_the_far_end_cannot_take_are_refused(desk):
    async with scripted(desk) as (client, call_id, _):
        await client.send(f"DTMF:{call_id}##1")
        assert (await client.until("ERROR:")).startswith("ERROR:488 the peer takes no telephone events")


async def test_a_call_that_rings_cannot_be_held(desk):
    async with desk() as here, here.client("?v=2") as client, anyio.create_task_group() as tasks:
        tasks.start_soon(here.call)
        call_id = (await client.until("RING_ANS:")).rpartition("##")[2]
        await client.send(f"HOLD:{call_id}")
        assert (await client.until("ERROR:")).startswith("ERROR:409 ")
        await client.send(f"CALL_IGNORE:{call_id}")


# --- joined calls


async def test_joined_callers_hear_each_other_and_after_part_the_client_again(talk):
    async with talk() as (here, client, (one, two), (alice, bob)):
        await client.send_audio(one, tone(300, 1.0).pcm)
        await client.send(f"JOIN:{one}##{two}")
        await info(client, one, joined=two)
        await alice.call.play(tone(440, 1.0))
        await bob.call.play(tone(600, 1.0))
        await heard_now(here, bob, 440)
        await heard_now(here, alice, 600)
        await client.send_audio(one, tone(300).pcm)
        assert (await client.until("ERROR:")).startswith("ERROR:409 the call is joined: only WHISPER")
        await client.send(f"PLAY:{two}##x.wav")
        assert (await client.until("ERROR:")).startswith("ERROR:404 ")
        await client.send(f"PART:{two}")
        await info(client, one, joined=None)
        await client.send_audio(one, tone(300, 0.5).pcm)
        await heard_now(here, alice, 300)
        await client.send(f"PART:{one}")
        assert await client.until("ERROR:") == f"ERROR:409 the call is not joined##{one}"


async def test_what_was_queued_before_the_join_is_not_heard_in_it(talk):
    async with talk() as (here, client, (one, two), (alice, bob)):
        for _ in range(8):
            await client.send_audio(one, tone(300, 1.0).pcm)
        await here.settled(lambda: pitch(alice.heard) == 300)
        await client.send(f"JOIN:{one}##{two}")
        await client.until(f"CLEARED:{one}##")
        await info(client, one, joined=two)
        await bob.call.play(tone(600, 1.0))
        await heard_now(here, alice, 600)


async def test_a_whisper_is_heard_by_one_alone_over_what_is_said(talk):
    async with talk() as (here, client, (one, two), (alice, bob)):
        await client.send_audio(one, tone(300).pcm, "WHISPER")
        assert (await client.until("ERROR:")).startswith("ERROR:409 the call is not joined")
        await client.send(f"JOIN:{one}##{two}")
        await info(client, one, joined=two)
        await client.send_audio(one, tone(700, 0.5).pcm, "WHISPER")
        await here.settled(lambda: pitch(alice.heard) == 700)
        assert pitch(bob.heard) == 0
        for _ in range(11):
            await client.send_audio(one, tone(700, 1.0).pcm, "WHISPER")
        assert (await client.until("ERROR:")).startswith("ERROR:429 too much waits")


@pytest.mark.parametrize("who", [0, 1])
async def test_the_end_of_one_call_frees_the_other(talk, who):
    async with talk() as (here, client, ids, callers):
        await client.send(f"JOIN:{ids[0]}##{ids[1]}")
        await info(client, ids[0], joined=ids[1])
        await callers[who].call.hang_up()
        await client.until(f"BYE:{ids[who]}")
        other = 1 - who
        await here.settled(lambda: here.server.gateway._calls[ids[other]]._joined is None)
        await client.send_audio(ids[other], tone(440, 0.5).pcm)
        await heard_now(here, callers[other], 440)


async def test_a_second_join_undoes_the_first(talk):
    async with talk(3) as (here, client, (one, two, three), (alice, bob, carol)):
        await client.send(f"JOIN:{one}##{two}")
        await client.send(f"JOIN:{three}##{one}")
        await info(client, one, joined=three)
        await alice.call.play(tone(440, 1.0))
        await heard_now(here, carol, 440)
        assert pitch(bob.heard) == 0
        await client.send_audio(two, tone(300, 0.5).pcm)
        await heard_now(here, bob, 300)


async def test_what_cannot_be_joined_is_refused(talk):
    async with talk(1) as (_, client, (one,), _callers):
        await client.send(f"JOIN:{one}##{one}")
        assert (await client.until("ERROR:")).startswith("ERROR:409 two calls that are up were expected")
        await client.send(f"JOIN:{one}##nothing")
        assert (await client.until("ERROR:")).startswith("ERROR:404 ")


async def test_another_client_listens_and_whispers_and_stops(talk):
    async with talk() as (here, client, (one, two), (alice, bob)), here.client("?v=2&audio=pcma") as coach:
        await client.send(f"JOIN:{one}##{two}")
        await info(client, one, joined=two)
        await coach.send(f"LISTEN:{one}")
        await coach.until("CALL_INFO:")
        await alice.call.play(tone(440, 0.6))
        await coach.settled(lambda: len(coach.heard) > 4000)
        await coach.send_audio(one, bytes([0x55, 0xD5] * 2000), "WHISPER")
        await coach.send_audio(one, tone(700).pcm)
        assert (await coach.until("ERROR:")).startswith("ERROR:409 ")
        await coach.send(f"PART:{one}")
        await coach.send(f"CLEAR:{one}")
        await coach.until("ERROR:")
        size = len(coach.heard)
        await bob.call.play(tone(440, 0.3))
        await heard_now(here, alice, 440)
        assert len(coach.heard) - size < 1000


async def test_a_far_end_on_hold_is_brought_up_to_date_when_it_is_back(talk):
    async with talk() as (here, client, (one, two), (alice, bob)):
        await client.send(f"JOIN:{one}##{two}")
        await info(client, one, joined=two)
        await client.send(f"HOLD:{two}")
        await info(client, two, on_hold=True)
        await alice.call.play(tone(440, 1.0))
        await anyio.sleep(1.2)
        await client.send(f"RESUME:{two}")
        await info(client, two, on_hold=False)
        await alice.call.play(tone(600, 1.0))
        with anyio.fail_after(PATIENCE):
            await heard_now(here, bob, 600)
