"""app/parts.py, app/metrics.py and app/server.py: what probes are told while calls come and go."""

import asyncio

import anyio
import pytest

from ..conftest import HOST, PATIENCE, WS_PORT, tone  # noqa: TID252

pytestmark = pytest.mark.anyio


async def get(path):
    """The status of a page, and its text."""
    reader, writer = await asyncio.open_connection(HOST, WS_PORT)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    with anyio.fail_after(PATIENCE):
        answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1]), answer.partition("\r\n\r\n")[2]


async def until_over(call):
    await call.wait_over()


async def test_it_is_alive_and_ready_until_no_more_calls_can_be_taken(desk):
    async with desk(until_over, sip={"max_calls": 1}) as here:
        assert await get("/healthz") == (200, "alive\n")
        assert await get("/readyz") == (200, "ready\n")
        async with here.phone.dial(here.uri):
            assert await get("/readyz") == (503, "full\n")
            assert await get("/healthz") == (200, "alive\n")
            await here.call()
            assert here.ended[0].status == 503
        await here.settled(lambda: here.server.calls == 0)
        assert await get("/readyz") == (200, "ready\n")
        here.server.stopping = True
        assert await get("/readyz") == (503, "stopping\n")


async def test_calls_clients_and_packets_are_counted_both_ways(desk, callee):
    async def answer(invitation):
        async with invitation.answer() as call:
            await call.play(tone(440, 0.3))
            await call.wait_over()

    async with desk() as here, callee(answer) as uri, here.client("?v=2") as client:
        await client.send(f"CALL:{uri}")
        call_id = (await client.until("CALL_ANS:")).partition(":")[2]
        _, text = await get("/metrics")
        assert "sipcore_calls_active 1.0" in text
        assert "sipcore_websocket_clients 1.0" in text
        assert 'sipcore_calls_answered_total{direction="outgoing"} 1.0' in text
        await client.settled(lambda: client.heard)
        await client.send(f"BYE:{call_id}")
        await client.until("BYE:")
        _, text = await get("/metrics")
        assert "sipcore_calls_active 0.0" in text
        assert 'sipcore_calls_ended_total{direction="outgoing"} 1.0' in text
        received = next(
            line for line in text.splitlines() if line.startswith('sipcore_rtp_packets_total{kind="received"}')
        )
        assert float(received.split()[1]) > 0


async def test_calls_that_go_out_take_up_room_too(desk, callee):
    async def answer(invitation):
        async with invitation.answer() as call:
            await call.wait_over()

    async with callee(answer) as uri, desk(until_over) as here, here.client() as client:
        room = here.server.all_calls
        here.server.all_calls = lambda: room() + here.server._settings.session_room - 1
        assert await get("/readyz") == (200, "ready\n")
        await client.send(f"CALL:{uri}")
        await client.until("CALL_ANS:")
        assert (here.server.calls, await get("/readyz")) == (0, (503, "full\n"))
