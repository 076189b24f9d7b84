"""app/gateway.py: calls that come in and go out, as a client of version 1 sees them: message by message."""

import logging

import anyio
import pytest
from sipcore.audio.wav import write_wav
from sipcore.errors import CallFailedError
from websockets.asyncio.client import connect

from ..call.conftest import Scripted  # noqa: TID252
from ..conftest import PATIENCE, pitch, tone  # noqa: TID252

pytestmark = pytest.mark.anyio


async def until_over(invitation):
    async with invitation.answer() as call:
        await call.wait_over()


def id_of(message):
    return message.rpartition("##")[2] if "##" in message else message.partition(":")[2]


# --- coming in


async def test_a_call_comes_in_is_answered_talked_on_and_hung_up_by_the_caller(desk):
    async with desk() as here, here.client() as client, anyio.create_task_group() as tasks:
        heard = bytearray()

        async def talk(call):
            async with call.audio() as frames:
                await call.play(tone(600, 0.5))
                async for frame in frames:
                    heard.extend(frame.pcm)
                    if pitch(heard) == 440:
                        break

        tasks.start_soon(lambda: here.call(lambda call: _then(talk(call), call.hang_up)))
        ring = await client.next()
        assert ring.startswith("RING_ANS:phone##")
        call_id = id_of(ring)
        await client.send(f"CALL_ANS:{call_id}")
        assert await client.next() == f"CALL_ANS:{call_id}"
        await client.settled(lambda: pitch(client.heard) == 600)
        await client.send_audio(call_id, tone(440, 0.5).pcm)
        assert await client.next() == f"BYE:{call_id}"
        assert pitch(heard) == 440
        assert {len(message) for message in client.passed if message.startswith("RTP")} == {
            len(f"RTP:{call_id}##") + 4 * -(-320 // 3)
        }
        await client.send_audio(call_id, tone().pcm)
        assert await client.next() == f"ERROR:404 there is no call {call_id}"


async def _then(first, second):
    await first
    await second()


@pytest.mark.parametrize("goodbye", ["BYE", "HANGUP"])
async def test_the_client_hangs_up(desk, goodbye):
    async with desk() as here, here.client() as client, anyio.create_task_group() as tasks:
        tasks.start_soon(here.call)
        call_id = id_of(await client.next())
        await client.send(f"CALL_ANS:{call_id}")
        assert await client.next() == f"CALL_ANS:{call_id}"
        await client.send(f"{goodbye}:{call_id}")
        assert await client.next() == f"BYE:{call_id}"
        await here.settled(lambda: here.ended == ["hangup"])


async def test_a_caller_who_gives_up_is_told_as_bye(desk):
    async with desk() as here, here.client() as client, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: here.call(timeout=0.5))
        call_id = id_of(await client.next())
        assert await client.next() == f"BYE:{call_id}"
        await client.send(f"CALL_ANS:{call_id}")
        assert await client.next() == f"ERROR:404 there is no call {call_id}"
        assert not here.server.gateway.hub.take_outputs()


async def test_a_call_that_every_client_ignores_is_declined_with_480(desk):
    async with desk() as here, here.client() as one, here.client() as other, anyio.create_task_group() as tasks:
        tasks.start_soon(here.call)
        call_id = id_of(await one.next())
        await other.next()
        await one.send(f"CALL_IGNORE:{call_id}")
        assert await one.next() == f"CALL_IGNORE:{call_id}"
        assert not here.ended
        await other.send(f"CALL_IGNORE:{call_id}")
        assert await other.next() == f"CALL_IGNORE:{call_id}"
        await here.settled(lambda: here.ended)
        assert (type(here.ended[0]), here.ended[0].status) == (CallFailedError, 480)


async def test_a_call_that_nobody_takes_in_time_is_declined_with_480(desk):
    async with desk(websocket={"ring_seconds": 1}) as here, here.client() as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(here.call)
            call_id = id_of(await client.next())
            assert await client.next() == f"BYE:{call_id}"
        assert here.ended[0].status == 480


async def test_a_call_rings_until_a_client_is_there(desk, caplog):
    async with desk() as here, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: here.call(timeout=30))
        await here.settled(lambda: "no WebSocket client is connected" in caplog.text)
        async with here.client() as client:
            call_id = id_of(await client.next())
            await client.send(f"CALL_ANS:{call_id}")
            assert await client.next() == f"CALL_ANS:{call_id}"
            await client.send(f"BYE:{call_id}")
            assert await client.next() == f"BYE:{call_id}"


async def test_of_two_that_answer_the_first_has_the_call_and_the_other_is_told(desk):
    async with desk() as here, here.client() as one, here.client() as other, anyio.create_task_group() as tasks:
        tasks.start_soon(here.call)
        call_id = id_of(await one.next())
        await other.next()
        await one.send(f"CALL_ANS:{call_id}")
        assert await one.next() == f"CALL_ANS:{call_id}"
        assert await other.next() == f"CALL_IGNORE:{call_id}"
        await other.send(f"CALL_ANS:{call_id}")
        assert (await other.next()).startswith("ERROR:409 ")
        await one.send(f"BYE:{call_id}")
        assert await one.next() == f"BYE:{call_id}"


async def test_a_client_of_version_1_has_the_greeting_played(desk, tmp_path):
    (tmp_path / "output" / "transcode").mkdir(parents=True)
    write_wav(tmp_path / "output" / "transcode" / "greeting.wav", tone(700, 0.6))
    async with desk() as here, here.client() as client, anyio.create_task_group() as tasks:
        heard = bytearray()

        async def listen(call):
            async with call.audio() as frames:
                async for frame in frames:
                    heard.extend(frame.pcm)

        tasks.start_soon(here.call, listen)
        call_id = id_of(await client.next())
        await client.send(f"CALL_ANS:{call_id}")
        await here.settled(lambda: pitch(heard) == 700)
        await client.send(f"BYE:{call_id}")


async def test_when_the_server_stops_its_calls_are_hung_up_and_their_clients_told(desk, callee):
    async with callee(until_over) as uri:
        async with desk() as here:
            websocket = await connect(here.url)
            await websocket.send(f"CALL:{uri}")
            answered = ""
            while not answered.startswith("CALL_ANS:"):
                answered = await websocket.recv()
        rest = [message async for message in websocket if not message.startswith("RTP:")]
        assert rest == [f"BYE:{id_of(answered)}"]
        assert websocket.close_code == 1001


# --- going out


async def test_a_call_goes_out_rings_is_answered_talked_on_and_hung_up_by_the_far_end(desk, callee):
    async def answer(invitation):
        async with invitation.answer(lambda: anyio.sleep(0.2)) as call, call.audio() as frames:
            heard = bytearray()
            await call.play(tone(600, 0.5))
            async for frame in frames:
                heard.extend(frame.pcm)
                if pitch(heard) == 440:
                    return

    async with desk() as here, callee(answer) as uri, here.client() as client:
        await client.send(f"CALL:{uri}")
        assert await client.next() == f"RING_ANS:{uri}"
        answered = await client.next()
        assert answered.startswith("CALL_ANS:")
        call_id = id_of(answered)
        await client.settled(lambda: pitch(client.heard) == 600)
        await client.send_audio(call_id, tone(440, 0.5).pcm)
        assert await client.next() == f"BYE:{call_id}"


async def test_the_client_hangs_up_the_call_that_it_placed(desk, callee):
    async with desk() as here, callee(until_over) as uri, here.client() as client:
        await client.send(f"CALL:{uri}")
        call_id = id_of(await client.until("CALL_ANS:"))
        await client.send(f"BYE:{call_id}")
        assert await client.next() == f"BYE:{call_id}"


@pytest.mark.parametrize(("status", "reason"), [(486, "Busy Here"), (603, "Decline"), (404, "Not Found")])
async def test_a_call_that_is_refused_has_failed_with_what_the_far_end_said(desk, callee, status, reason):
    async def refuse(invitation):
        invitation.reject(status)

    async with desk() as here, callee(refuse) as uri, here.client() as client:
        await client.send(f"CALL:{uri}")
        assert await client.next() == f"CALL_FAILED:{status} {reason}"


async def test_a_call_that_is_not_answered_in_time_is_given_up(desk, callee):
    cancelled = anyio.Event()

    async def ring(invitation):
        try:
            async with invitation.answer(anyio.sleep_forever):
                pass
        finally:
            cancelled.set()

    async with desk(outgoing={"ring_seconds": 1}) as here, callee(ring) as uri, here.client() as client:
        await client.send(f"CALL:{uri}")
        assert await client.next() == f"RING_ANS:{uri}"
        assert await client.next() == "CALL_FAILED:408 Request Timeout"
        with anyio.fail_after(PATIENCE):
            await cancelled.wait()


async def test_a_number_that_is_not_allowed_is_refused_and_logged(desk, caplog):
    async with desk() as here, here.client() as client:
        await client.send("CALL:+4930123456")
        assert await client.next() == "CALL_FAILED:403 Forbidden (no pattern of CALL_ALLOW fits)"
        await client.send("CALL:sip:a@127.0.0.1:9;transport=tcp")
        assert (await client.next()).startswith("CALL_FAILED:404 Not Found")
    assert "may not call +4930123456: 403 Forbidden" in caplog.text


async def test_nothing_is_allowed_until_it_is_named(desk):
    async with desk(CALL_ALLOW=[]) as here, here.client() as client:
        await client.send("CALL:1")
        assert await client.next() == "CALL_FAILED:403 Forbidden (CALL_ALLOW is empty)"


async def test_a_number_is_called_at_the_server_in_the_settings(desk, callee):
    called = []

    async def note(invitation):
        called.append(invitation.info)
        invitation.reject(486)

    async with callee(note) as uri:
        port = int(uri.rpartition(":")[2])
        rules = {"SIP_SERVER_IP": "127.0.0.1", "SIP_TRANSFER_PORT": port, "CALL_ALLOW": ["+49*"]}
        async with desk(**rules, outgoing={"caller": "sip:desk@example.org"}) as here, here.client() as client:
            await client.send("CALL:+49 (30) 1")
            assert await client.next() == "CALL_FAILED:486 Busy Here"
    assert called[0].callee == f"sip:+49301@127.0.0.1:{port}"
    assert called[0].caller == "sip:desk@example.org"


async def test_calls_at_once_and_calls_a_second_are_limited(desk, callee):
    async with (
        desk(outgoing={"max_calls": 2, "calls_per_second": 2}) as here,
        callee(until_over) as uri,
        here.client() as client,
    ):
        for _ in range(2):
            await client.send(f"CALL:{uri}")
            await client.until("CALL_ANS:")
        await client.send(f"CALL:{uri}")
        assert await client.next() == "CALL_FAILED:503 Service Unavailable (outgoing.max_calls are up)"


async def test_a_far_end_that_is_nowhere_is_told_of(desk):
    rules = {"CALL_ALLOW": ["sip:*"], "sip": {"t1": 0.05}}
    async with desk(**rules) as here, here.client() as client:
        await client.send("CALL:sip:a@nowhere.invalid")
        assert (await client.next()).startswith("CALL_FAILED:503 ")
        await client.send("CALL:sip:a@127.0.0.1:9")
        assert (await client.next()).startswith("CALL_FAILED:")


async def test_a_client_that_goes_while_its_call_rings_takes_the_call_along(desk, callee, caplog):
    caplog.set_level(logging.INFO)
    ended = anyio.Event()

    async def ring(invitation):
        try:
            async with invitation.answer(anyio.sleep_forever):
                pass
        finally:
            ended.set()

    async with desk() as here, callee(ring) as uri:
        async with here.client() as client:
            await client.send(f"CALL:{uri}")
            await client.until("RING_ANS:")
        with anyio.fail_after(PATIENCE):
            await ended.wait()
        await here.settled(lambda: "not answered: 487" in caplog.text)


async def test_calls_that_are_placed_and_given_up_leave_nothing_behind(desk, callee):
    async with desk(outgoing={"calls_per_second": 100}) as here, callee(until_over) as uri:
        for _ in range(5):
            async with here.client("?v=2") as client:
                await client.send(f"CALL:{uri}")
                call_id = id_of(await client.until("CALLING:"))
                await client.send(f"HANGUP:{call_id}")
                ended = await client.until(("CALL_FAILED:487", f"BYE:{call_id}"))
                assert ended
        gateway = here.server.gateway
        await here.settled(lambda: not (gateway._calls or gateway._dialling or gateway._waiting))
        await here.settled(lambda: gateway.hub.next_timeout() == float("inf") and not gateway.clients)


async def test_early_media_is_no_audio_of_a_call_that_a_client_of_version_1_knows(desk):
    async with desk() as here, await anyio.create_udp_socket(local_host="127.0.0.1") as udp, here.client() as client:
        far = Scripted(udp)
        await client.send(f"CALL:sip:s@127.0.0.1:{far.port}")
        invite = await far.receive("INVITE")
        for _ in range(2):
            await far.answer(invite, "183 Session Progress", far.sdp())
        await anyio.sleep(0.3)
        await far.answer(invite, "180 Ringing")
        await anyio.sleep(0.1)
        assert client.passed == [f"RING_ANS:sip:s@127.0.0.1:{far.port}"]
        await far.answer(invite, "200 OK", far.sdp())
        call_id = id_of(await client.until("CALL_ANS:"))
        await client.settled(lambda: client.heard)
        assert client.events == []
        assert client.passed[-1].startswith(f"RTP:{call_id}##")
