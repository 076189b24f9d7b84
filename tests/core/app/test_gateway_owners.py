"""app/gateway.py: whose a call is, who follows it, and what becomes of it when its client is lost."""

import json

import anyio
import pytest
from sipcore.audio.frame import AudioFrame
from sipcore.plugins import Transcript, TranscriptMade, TurnFinished, TurnTiming
from websockets.asyncio.client import connect

from ..conftest import PATIENCE, pitch, tone  # noqa: TID252

pytestmark = pytest.mark.anyio


async def take(client):
    """Answer the next call that rings; its id."""
    call_id = (await client.until("RING_ANS:")).rpartition("##")[2]
    await client.send(f"CALL_ANS:{call_id}")
    await client.until("CALL_ANS:")
    return call_id


def info_of(message):
    return json.loads(message.partition("##")[2])


# --- whose it is


@pytest.mark.parametrize(
    "command",
    [
        "CLEAR:{}",
        "MARK:{}##x",
        "PLAY:{}##x.wav",
        "DTMF:{}##1",
        "HOLD:{}",
        "TRANSFER:{}##sip:a@b",
        "BYE:{}",
        "HANGUP:{}",
    ],
)
async def test_another_client_may_not_steer_a_call(desk, command):
    async with (
        desk() as here,
        here.client("?v=2") as one,
        here.client("?v=2") as other,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(here.call)
        call_id = await take(one)
        await other.send(command.format(call_id))
        assert (await other.until("ERROR:")) == f"ERROR:409 call {call_id} is another client's##{call_id}"
        await other.send_audio(call_id, tone().pcm)
        assert (await other.until("ERROR:")).startswith("ERROR:409 ")
        assert not here.ended
        await one.send(f"BYE:{call_id}")


async def test_a_call_that_is_not_there_is_nobodys(desk):
    async with desk() as here, here.client("?v=2") as client:
        await client.send("CLEAR:nothing")
        assert await client.next() == "ERROR:404 there is no call nothing##nothing"


async def test_nobody_speaks_on_a_call_that_rings(desk):
    async with desk() as here, here.client("?v=2") as client, anyio.create_task_group() as tasks:
        tasks.start_soon(here.call)
        call_id = (await client.until("RING_ANS:")).rpartition("##")[2]
        await client.send_audio(call_id, tone().pcm)
        assert (await client.until("ERROR:")).startswith("ERROR:409 ")
        await client.send(f"CALL_IGNORE:{call_id}")


async def test_say_needs_somebody_who_talks(desk):
    async with (
        desk() as here,
        here.client("?v=2") as one,
        here.client("?v=2") as other,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(here.call)
        call_id = await take(one)
        await one.send(f"SAY:{call_id}##hello")
        assert (await one.until("ERROR:")).startswith("ERROR:409 nobody else holds a conversation")
        await other.send(f"SAY:{call_id}##hello")
        assert await one.until("SAY:") == f"SAY:{call_id}##hello"
        await one.send(f"BYE:{call_id}")


# --- the owner is lost


async def test_a_call_whose_client_is_lost_is_offered_again_and_talked_on(desk):
    async with desk() as here, here.client("?v=2") as other, anyio.create_task_group() as tasks:
        heard = bytearray()

        async def listen(call):
            async with call.audio() as frames:
                async for frame in frames:
                    heard.extend(frame.pcm)

        tasks.start_soon(here.call, listen)
        async with here.client("?v=2") as owner:
            call_id = await take(owner)
            await owner.send_audio(call_id, tone(440, 1.0).pcm)
            await owner.send_audio(call_id, tone(700, 1.0).pcm)
            await here.settled(lambda: pitch(heard) == 440)
        assert await other.until("RING_ANS:") == f"RING_ANS:phone##{call_id}"
        await other.until("CALL_IGNORE:")
        info = info_of(await other.until("CALL_INFO:"))
        assert (info["state"], info["owner"]) == ("answered", None)
        assert await other.until("RING_ANS:") == f"RING_ANS:phone##{call_id}"
        await other.send(f"CALL_ANS:{call_id}")
        assert await other.until("CALL_ANS:") == f"CALL_ANS:{call_id}"
        heard.clear()
        await other.send_audio(call_id, tone(600, 0.5).pcm)
        await here.settled(lambda: pitch(heard) == 600)
        await other.send(f"BYE:{call_id}")
        assert await other.until("BYE:") == f"BYE:{call_id}"


async def test_a_call_that_nobody_takes_over_is_hung_up(desk):
    async with desk(WS_OWNER_TIMEOUT=1) as here, here.client("?v=2") as other, anyio.create_task_group() as tasks:
        tasks.start_soon(here.call)
        async with here.client() as owner:
            call_id = await take(owner)
        await other.until("RING_ANS:")
        await other.until("RING_ANS:")
        await other.send(f"CALL_IGNORE:{call_id}")
        await here.settled(lambda: here.ended == ["hangup"])
        gateway = here.server.gateway
        await here.settled(lambda: not gateway._calls)


async def test_a_client_that_comes_back_in_time_takes_its_call_over(desk):
    async with desk() as here, anyio.create_task_group() as tasks:
        tasks.start_soon(here.call)
        async with here.client("?v=2") as owner:
            call_id = await take(owner)
        async with here.client("?v=2") as owner:
            assert info_of(await owner.until("CALL_INFO:"))["state"] == "answered"
            assert await take(owner) == call_id
            await owner.send(f"BYE:{call_id}")
            await owner.until("BYE:")


async def test_a_placed_call_whose_client_is_lost_can_be_taken_over(desk, callee):
    async def answer(invitation):
        async with invitation.answer() as call:
            await call.wait_over()

    async with desk() as here, callee(answer) as uri:
        async with here.client("?v=2") as owner:
            await owner.send(f"CALL:{uri}")
            call_id = (await owner.until("CALL_ANS:")).partition(":")[2]
        async with here.client("?v=2") as other:
            assert info_of(await other.until("CALL_INFO:"))["direction"] == "outgoing"
            assert await take(other) == call_id
            await other.send(f"BYE:{call_id}")
            await other.until("BYE:")


# --- following


async def test_a_snapshot_of_all_calls_comes_with_subscribe_and_each_change_after_it(desk):
    async with desk() as here, here.client("?v=2") as owner, here.client("?v=2") as follower:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(here.call)
            call_id = await take(owner)
            async with here.client("?v=2") as later:
                await later.send("SUBSCRIBE:*")
                info = info_of(await later.next())
                assert {key: info[key] for key in ("direction", "phone", "state", "playing", "on_hold", "joined")} == {
                    "direction": "incoming",
                    "phone": "phone",
                    "state": "answered",
                    "playing": "",
                    "on_hold": False,
                    "joined": None,
                }
                assert info["callee"] == here.uri
                assert info["caller"].startswith("sip:phone@127.0.0.1:")
                await owner.send(f"BYE:{call_id}")
                assert await later.until("BYE:") == f"BYE:{call_id}"
        await follower.send("SUBSCRIBE:nothing")
        assert (await follower.until("ERROR:")).startswith("ERROR:404 ")


async def test_a_follower_gets_transcripts_turns_and_digits_of_the_programs_own_conversation(desk):
    async def talk(call):
        async with call.digits() as digits:
            async for _ in digits:
                call.report(TranscriptMade(call.info, "caller", Transcript("hello", "en", 0.75)))
                call.report(TurnFinished(call.info, "hello", "hi", True, TurnTiming(1.0, transcript=1.25)))
                break

    async with desk(talk) as here, here.client("?v=2") as follower, anyio.create_task_group() as tasks:
        await follower.send("SUBSCRIBE:*")

        async def press(call):
            await call.send_digits("7")

        tasks.start_soon(here.call, press)
        info = await follower.until("CALL_INFO:")
        call_id = info.partition(":")[2].partition("##")[0]
        assert (info_of(info)["state"], info_of(info)["owner"]) == ("answered", 0)
        assert await follower.until("DTMF:") == f"DTMF:{call_id}##7"
        assert info_of(await follower.until("TRANSCRIPT:")) == {
            "speaker": "caller",
            "text": "hello",
            "language": "en",
            "confidence": 0.75,
            "final": True,
        }
        turn = info_of(await follower.until("TURN:"))
        assert (turn["interrupted"], turn["timing_ms"]["transcript"]) == (True, 250)
        assert await follower.until("BYE:") == f"BYE:{call_id}"


async def test_the_programs_own_call_can_be_heard_and_not_steered(desk):
    async def talk(call):
        await call.wait_over()

    async with desk(talk) as here, here.client("?v=2") as other, anyio.create_task_group() as tasks:
        await other.send("SUBSCRIBE:*")

        async def speak(call):
            await call.play(tone(500, 1.0))
            await call.wait_over()

        tasks.start_soon(here.call, speak)
        call_id = (await other.until("CALL_INFO:")).partition(":")[2].partition("##")[0]
        await other.send(f"LISTEN:{call_id}")
        await other.settled(lambda: pitch(other.heard) == 500)
        for command in (f"CLEAR:{call_id}", f"BYE:{call_id}", f"CALL_ANS:{call_id}", f"SAY:{call_id}##x"):
            await other.send(command)
            assert (await other.until("ERROR:")).startswith("ERROR:409 ")
        tasks.cancel_scope.cancel()


async def test_the_owner_tells_what_was_said_and_followers_are_told(desk):
    async with (
        desk() as here,
        here.client("?v=2") as owner,
        here.client("?v=2") as other,
        anyio.create_task_group() as tasks,
    ):
        await other.send("SUBSCRIBE:*")
        tasks.start_soon(here.call)
        call_id = await take(owner)
        await owner.send(f'TRANSCRIPT:{call_id}##{{"text":"a##b"}}')
        assert await other.until("TRANSCRIPT:") == f'TRANSCRIPT:{call_id}##{{"text":"a#\\u0023b"}}'
        await other.send(f"TRANSCRIPT:{call_id}##{{}}")
        assert (await other.until("ERROR:")).startswith("ERROR:409 ")
        await owner.send(f"TURN:{call_id}##no json")
        assert (await owner.until("ERROR:")).startswith("ERROR:400 ")
        await owner.send(f"BYE:{call_id}")


# --- a client that reads too slowly


async def test_a_client_that_reads_too_slowly_is_told_once_and_keeps_its_call(desk, caplog):
    async with desk(WS_SEND_QUEUE_MAX=20) as here, anyio.create_task_group() as tasks:
        tasks.start_soon(here.call)
        async with here.client("?v=2") as ringing, connect(f"{here.url}/?v=2", max_queue=1) as slow:
            call_id = (await ringing.until("RING_ANS:")).rpartition("##")[2]
            await slow.send(f"CALL_ANS:{call_id}")
            await ringing.until("CALL_IGNORE:")
            gateway = here.server.gateway
            client = max(gateway._clients.values(), key=lambda client: client.number)
            with anyio.fail_after(PATIENCE):
                while len(client.outbox) < 5:
                    client.put_audio("RTP:x##" + "A" * 40_000)
                    await anyio.sleep(0)
            for _ in range(60):
                gateway.send_audio(call_id, AudioFrame(bytes(320), 8000))
            assert client.outbox.dropped > 30
            await slow.send(f"HOLD:{call_id}")
            messages = []
            with anyio.fail_after(PATIENCE):
                while not any(message.startswith("CALL_INFO") and '"on_hold":true' in message for message in messages):
                    messages.append(await slow.recv())
            assert len([message for message in messages if message.startswith("ERROR:429 audio is dropped")]) == 1
            await slow.send(f"BYE:{call_id}")
            with anyio.fail_after(PATIENCE):
                while (await slow.recv()) != f"BYE:{call_id}":
                    pass
    assert caplog.text.count("reads too slowly: its oldest audio is dropped") == 1
