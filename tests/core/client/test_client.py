"""client/client.py: the typed client at a real server, and what it makes of a connection that is cut."""

import asyncio
import logging
from contextlib import asynccontextmanager

import anyio
import pytest
from sipcore.client import Client, connect
from sipcore.client import client as client_module
from sipcore.control.events import Answered, Described, Ended, Rang
from sipcore.errors import CallEndedError, CallFailedError, ConfigError

from ..conftest import HOST, PATIENCE, WS_PORT, pitch, tone  # noqa: TID252

pytestmark = pytest.mark.anyio

TOKEN = "s3cret-t0ken"


async def until_over(invitation):
    async with invitation.answer() as call:
        await call.wait_over()


async def first(stream):
    with anyio.fail_after(PATIENCE):
        async for item in stream:
            return item
    raise AssertionError("the stream ended")


class Proxy:
    """Passes TCP on, until it is cut."""

    def __init__(self):
        self.is_open = True
        self._writers = set()

    async def serve(self, reader, writer):
        if not self.is_open:
            writer.close()
            return
        there, back = await asyncio.open_connection(HOST, WS_PORT)
        self._writers |= {writer, back}
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    def cut(self):
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


@asynccontextmanager
async def proxied():
    """A proxy, and the URL that leads through it to the server."""
    proxy = Proxy()
    server = await asyncio.start_server(proxy.serve, HOST, 0)
    async with server:
        yield proxy, f"ws://{HOST}:{server.sockets[0].getsockname()[1]}"
        proxy.cut()
        await asyncio.sleep(0.05)


# --- taking calls


async def test_a_call_is_offered_taken_and_hung_up(desk):
    async with desk() as here, connect(here.url) as client, client.offers() as offers:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(here.call)
            offer = await first(offers)
            assert offer.info.direction == "incoming"
            assert offer.info.caller.startswith("sip:phone@")
            assert offer.info.callee == "sip:assistant@127.0.0.1:26062"
            assert offer.info.taken_over is False
            async with offer.answer() as call:
                assert call.info.call_id in client.calls
        assert here.ended == ["hangup"]
        await here.settled(lambda: not client.calls)
        assert not client._calls


async def test_what_a_block_raises_comes_out_as_itself(desk):
    async with desk() as here:
        with pytest.raises(ZeroDivisionError):
            async with connect(here.url):
                raise ZeroDivisionError
        with pytest.raises(CallFailedError):
            async with connect(here.url) as client, client.dial("1"):
                pass


async def test_a_call_that_rings_already_is_offered_to_a_program_that_comes_later(desk):
    async with desk() as here, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: here.call(timeout=60))
        await here.settled(lambda: here.events)
        async with connect(here.url) as client:
            await anyio.sleep(0.1)
            async with client.offers() as offers:
                offer = await first(offers)
                async with offer.answer():
                    pass


async def test_a_client_that_reads_no_offers_leaves_calls_to_others(desk):
    async with desk() as here, connect(here.url), here.client() as other, anyio.create_task_group() as tasks:
        tasks.start_soon(here.call)
        call_id = (await other.next()).rpartition("##")[2]
        await other.send(f"CALL_IGNORE:{call_id}")
        await here.settled(lambda: here.ended)
        assert here.ended[0].status == 480


async def test_an_offer_that_is_ignored_is_declined_and_one_that_is_gone_cannot_be_taken(desk):
    async with desk() as here, connect(here.url) as client, client.offers() as offers:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(here.call)
            offer = await first(offers)
            await offer.ignore()
        assert here.ended[0].status == 480
        with anyio.fail_after(PATIENCE), pytest.raises(CallEndedError):
            await offer.answer().__aenter__()


async def test_of_two_clients_the_slower_one_is_told(desk):
    async with (
        desk() as here,
        connect(here.url) as one,
        connect(here.url) as other,
        one.offers() as offers,
        other.offers() as others,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(here.call)
        mine, theirs = await first(offers), await first(others)
        async with mine.answer():
            with anyio.fail_after(PATIENCE), pytest.raises(CallEndedError):
                await theirs.answer().__aenter__()


async def test_a_caller_who_gives_up_ends_the_offer(desk):
    async with desk() as here, connect(here.url) as client, client.offers() as offers:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: here.call(timeout=0.5))
            offer = await first(offers)
        await here.settled(lambda: not client.calls)
        with anyio.fail_after(PATIENCE), pytest.raises(CallEndedError):
            await offer.answer().__aenter__()


# --- placing calls


async def test_a_call_is_placed_and_hung_up_at_the_end_of_the_block(desk, callee):
    over = []

    async def answer(invitation):
        async with invitation.answer(lambda: anyio.sleep(0.1)) as call:
            over.append(await call.wait_over())

    async with desk() as here, callee(answer) as uri, connect(here.url) as client:
        rang = []
        async with client.dial(uri, lambda: rang.append(True)) as call:
            assert call.info.direction == "outgoing"
            assert call.info.callee == uri
        assert rang == [True]
        await here.settled(lambda: over == ["hangup"])


@pytest.mark.parametrize("phone", ["", "x" * 5000, "tel:1", "##", "1##2"])
async def test_what_is_no_number_fails_at_once(desk, phone):
    async with desk(CALL_ALLOW=["*"]) as here, connect(here.url) as client:
        with anyio.fail_after(PATIENCE), pytest.raises(CallFailedError, match="404 Not Found"):
            async with client.dial(phone):
                pass
        assert not client._dialled


async def test_a_call_that_is_refused_says_so_and_one_that_is_given_up_is_cancelled(desk, callee):
    cancelled = anyio.Event()

    async def busy(invitation):
        invitation.reject(486)

    async def ring(invitation):
        try:
            async with invitation.answer(anyio.sleep_forever):
                pass
        finally:
            cancelled.set()

    async with desk() as here, connect(here.url) as client:
        async with callee(busy) as uri:
            with pytest.raises(CallFailedError, match="486 Busy Here"):
                async with client.dial(uri):
                    pass
        async with callee(ring) as uri:
            with anyio.move_on_after(0.5):
                async with client.dial(uri):
                    pass
            with anyio.fail_after(PATIENCE):
                await cancelled.wait()


async def test_a_command_that_comes_before_the_answer_is_refused_and_the_call_goes_on(desk, callee):
    async def answer(invitation):
        async with invitation.answer(lambda: anyio.sleep(0.5)) as call:
            await call.wait_over()

    async with desk() as here, callee(answer) as uri, connect(here.url) as client, client.place(uri) as call:
        await call.send_digits("1")
        with anyio.fail_after(PATIENCE):
            await call.wait_answered()
        assert not call.over


# --- following


async def test_a_follower_sees_all_that_happens_and_a_slow_one_misses_some(desk, monkeypatch, caplog):
    monkeypatch.setattr(client_module, "EVENTS_WAITING", 2)
    async with (
        desk() as here,
        connect(here.url) as client,
        client.offers() as offers,
        client.follow() as events,
        client.follow(),
        anyio.create_task_group() as tasks,
    ):
        seen = []

        async def note():
            async for event in events:
                seen.append(type(event))

        tasks.start_soon(note)
        tasks.start_soon(here.call)
        offer = await first(offers)
        async with offer.answer():
            pass
        await here.settled(lambda: Ended in seen)
        assert {Described, Rang, Answered, Ended} <= set(seen)
        tasks.cancel_scope.cancel()
    assert "a reader of the client's events is too slow" in caplog.text


# --- the connection


async def test_the_token_lets_in_and_no_log_shows_it(desk, caplog):
    caplog.set_level(logging.DEBUG)
    async with desk(WS_TOKEN=TOKEN) as here:
        async with connect(here.url, TOKEN) as client:
            assert client.is_connected
        async with connect(f"{here.url}/?token={TOKEN}") as client:
            assert client.is_connected
        for wrong in ("", "wrong"):
            with pytest.raises(ConfigError, match=r"does not let this client in \(401\): set WS_TOKEN"):
                async with connect(here.url, wrong):
                    pass
        ours = [record.getMessage() for record in caplog.records]
        assert not [line for line in ours if TOKEN in line]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "127.0.0.1:1", "ws://"])
async def test_an_address_that_is_none_is_told_of(url):
    with anyio.fail_after(PATIENCE), pytest.raises(ConfigError, match="is no WebSocket address"):
        async with connect(url):
            pass


async def test_a_server_that_comes_later_is_waited_for(desk, caplog):
    async with anyio.create_task_group() as tasks:
        clients = []

        async def come():
            async with connect(f"ws://{HOST}:{WS_PORT}") as client:
                clients.append(client)
                await anyio.sleep_forever()

        tasks.start_soon(come)
        await anyio.sleep(0.3)
        assert "no connection to" in caplog.text
        async with desk() as here:
            await here.settled(lambda: clients and clients[0].is_connected)
            tasks.cancel_scope.cancel()


async def test_a_connection_that_is_cut_comes_back_with_its_call(desk):
    async with (
        desk() as here,
        proxied() as (proxy, url),
        connect(url) as client,
        client.offers() as offers,
        anyio.create_task_group() as tasks,
    ):
        heard = bytearray()

        async def listen(call):
            async with call.audio() as frames:
                async for frame in frames:
                    heard.extend(frame.pcm)

        tasks.start_soon(here.call, listen)
        offer = await first(offers)
        async with offer.answer() as call:
            await call.play(tone(440, 0.3))
            await here.settled(lambda: pitch(heard) == 440)
            proxy.cut()
            await here.settled(lambda: call.is_lost)
            await here.settled(lambda: not call.is_lost and client.is_connected)
            heard.clear()
            end = await call.play(tone(700, 0.3))
            with anyio.fail_after(PATIENCE):
                assert await call.played(end) is not None
            await here.settled(lambda: pitch(heard) == 700)
            assert not call.over


async def test_a_play_and_a_clear_that_the_cut_interrupted_go_on(desk):
    async with (
        desk() as here,
        proxied() as (proxy, url),
        connect(url) as client,
        client.offers() as offers,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(here.call)
        async with (await first(offers)).answer() as call:
            results = []

            async def play():
                results.append(await call.play(tone(440, 3.0)))

            async def clear():
                results.append(await call.clear())

            tasks.start_soon(play)
            await anyio.sleep(0.3)
            proxy.cut()
            await here.settled(lambda: call.is_lost)
            tasks.start_soon(clear)
            await here.settled(lambda: len(results) == 2)
            assert 0.0 <= results[-1] < 3.0
            end = await call.play(tone(440, 0.2))
            with anyio.fail_after(PATIENCE):
                assert await call.played(end) is not None


async def test_a_call_whose_connection_never_comes_back_ends_and_lets_go_of_all_who_wait(desk, monkeypatch):
    monkeypatch.setattr(client_module, "LOST_SECONDS", 0.5)
    async with (
        desk(WS_OWNER_TIMEOUT=1) as here,
        proxied() as (proxy, url),
        connect(url) as client,
        client.offers() as offers,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(here.call)
        async with (await first(offers)).answer() as call:
            proxy.is_open = False
            proxy.cut()
            await here.settled(lambda: call.is_lost)
            with anyio.fail_after(PATIENCE), pytest.raises(CallEndedError, match="the connection is lost"):
                await call.play(tone(440, 3.0))
            assert await call.wait_over() == "the connection is lost"
        await here.settled(lambda: here.ended == ["hangup"])


async def test_a_call_that_is_hung_up_while_there_is_no_connection_is_hung_up_later(desk):
    async with (
        desk() as here,
        proxied() as (proxy, url),
        connect(url) as client,
        client.offers() as offers,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(here.call)
        async with (await first(offers)).answer() as call:
            proxy.is_open = False
            proxy.cut()
            await here.settled(lambda: call.is_lost)
        assert not here.ended
        proxy.is_open = True
        await here.settled(lambda: here.ended == ["hangup"])
        await here.settled(lambda: not (client._goodbyes or client._calls))


async def test_calls_that_are_not_answered_yet_end_with_the_connection(desk, callee):
    async def ring(invitation):
        async with invitation.answer(anyio.sleep_forever):
            pass

    async with desk(), callee(ring) as uri, proxied() as (proxy, url), connect(url) as client:
        async with client.place(uri) as call:
            proxy.cut()
            with anyio.fail_after(PATIENCE), pytest.raises(CallEndedError, match="the connection is lost"):
                await call.wait_answered()
        assert not client._calls


async def test_a_call_that_is_placed_while_there_is_no_connection_is_placed_when_there_is_one(desk, callee):
    async with desk() as here, callee(until_over) as uri, proxied() as (proxy, url), connect(url) as client:
        proxy.is_open = False
        proxy.cut()
        await here.settled(lambda: not client.is_connected)
        async with anyio.create_task_group() as tasks:
            answered = anyio.Event()

            async def dial():
                async with client.dial(uri):
                    answered.set()

            tasks.start_soon(dial)
            await anyio.sleep(1.0)
            proxy.is_open = True
            with anyio.fail_after(PATIENCE):
                await answered.wait()


async def test_what_cannot_be_understood_is_logged_and_passed_over(caplog):
    client = Client("ws://127.0.0.1:1")
    client._read("nonsense")
    client._read("BYE:unknown")
    client._read("ERROR:400 what was that")
    assert "something that cannot be understood" in caplog.text
    assert "400 what was that" in caplog.text
