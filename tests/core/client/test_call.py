"""client/call.py: a call at the other end of a WebSocket behaves like the one in the server."""

from contextlib import asynccontextmanager

import anyio
import pytest
from sipcore.app.server import converse
from sipcore.audio.frame import AudioFrame
from sipcore.audio.wav import write_wav
from sipcore.client import ClientCall, connect
from sipcore.errors import CallEndedError, CallFailedError, LocalProtocolError
from sipcore.plugins import CallHandle, Transcript, TranscriptMade, TurnFinished, TurnTiming
from sipcore.voice.echo import Echo

from ..conftest import PATIENCE, pitch, tone  # noqa: TID252

pytestmark = pytest.mark.anyio


class There:
    """The phone at the other end."""

    def __init__(self, call):
        self.call = call
        self.heard = bytearray()
        self.digits = ""
        self.lost = 0.0

    async def listen(self, *, task_status):
        async with self.call.audio() as frames:
            task_status.started()
            async for frame in frames:
                self.heard += frame.pcm

    async def watch(self, *, task_status):
        async with self.call.digits() as digits:
            task_status.started()
            async for digit in digits:
                self.digits += digit

    def seconds_of(self, frequency):
        """How long a tone was heard, to 50 ms."""
        pieces = [self.heard[at : at + 800] for at in range(0, len(self.heard), 800)]
        return sum(abs(pitch(piece) - frequency) <= 20 for piece in pieces) / 20


@pytest.fixture
def talk(desk):
    """A call between the typed client and a phone: ``async with talk() as (here, client, call, there)``."""

    @asynccontextmanager
    async def talking(**overrides):
        async with (
            desk(**overrides) as here,
            connect(here.url) as client,
            client.offers() as offers,
            anyio.create_task_group() as tasks,
        ):
            ready, ends = anyio.Event(), []

            async def hold(call):
                ends.append(There(call))
                await tasks.start(ends[0].listen)
                await tasks.start(ends[0].watch)
                ready.set()

            tasks.start_soon(here.call, hold)
            with anyio.fail_after(PATIENCE):
                offer = await anext(aiter(offers))
                async with offer.answer() as call:
                    await ready.wait()
                    with anyio.fail_after(60):
                        yield here, client, call, ends[0]
            tasks.cancel_scope.cancel()

    return talking


def test_it_has_all_that_a_call_handle_has():
    wanted = {name for name in vars(CallHandle) if not name.startswith("_")} | set(CallHandle.__annotations__)
    assert wanted > {"play", "clear", "sample_rate"}
    assert {name for name in wanted if not hasattr(ClientCall, name)} == set()


# --- playing


async def test_what_is_played_is_heard_and_its_position_told_when_it_was(talk):
    async with talk() as (_, _, call, there):
        assert await call.play(tone(440, 0.3)) == pytest.approx(0.3)
        end = await call.play(tone(600, 0.3))
        assert end == pytest.approx(0.6)
        first, second = await call.played(0.3), await call.played(end)
        assert first < second
        assert await call.played(0.0) == 0.0
        assert there.seconds_of(440) > 0.1
        assert there.seconds_of(600) > 0.1


async def test_at_most_a_second_is_sent_ahead(talk):
    async with talk() as (_, _, call, there):
        await call.play(tone(440, 2.5))
        assert call._ahead <= 1.1
        assert there.seconds_of(440) >= 1.0


async def test_clear_stops_at_once_and_tells_what_was_heard(talk):
    async with talk() as (here, _, call, there), anyio.create_task_group() as tasks:
        ends = []

        async def play():
            ends.append(await call.play(tone(440, 3.0)))

        waited = []

        async def wait():
            waited.append(await call.played(2.9))

        tasks.start_soon(play)
        await here.settled(lambda: there.seconds_of(440) >= 0.5)
        tasks.start_soon(wait)
        position = await call.clear()
        await here.settled(lambda: waited and ends)
        assert waited == [None]
        assert 0.4 < position < 2.9
        await anyio.sleep(0.3)
        heard = there.seconds_of(440)
        assert abs(heard - position) <= 0.15
        end = await call.play(tone(700, 0.2))
        assert end == pytest.approx(position + 0.2)
        assert await call.played(end) is not None
        assert there.seconds_of(440) == heard


async def test_a_clear_of_what_was_all_heard_tells_its_end(talk):
    async with talk() as (_, _, call, _):
        end = await call.play(tone(440, 0.5))
        await call.played(end)
        assert await call.clear() == pytest.approx(end, abs=0.04)
        assert await call.clear() == pytest.approx(end, abs=0.04)


async def test_audio_of_another_rate_is_refused(talk):
    async with talk() as (_, _, call, _):
        with pytest.raises(LocalProtocolError, match="resample it"):
            await call.play(AudioFrame(bytes(320), 16000))


async def test_a_file_is_played_and_one_that_is_missing_changes_nothing(talk):
    async with talk() as (here, _, call, there):
        here.folder.mkdir(exist_ok=True)
        write_wav(here.folder / "menu.wav", tone(700, 0.4))
        await call.play_file("missing.wav")
        await call.play_file("menu.wav")
        await here.settled(lambda: there.seconds_of(700) > 0.2)


# --- hearing


async def test_what_the_far_end_says_and_presses_is_heard_by_each_listener(talk):
    async with talk() as (here, _, call, there), anyio.create_task_group() as tasks:
        heard = [bytearray(), bytearray()]
        keys = []

        async def listen(into):
            async with call.audio() as frames:
                async for frame in frames:
                    assert frame.sample_rate == call.sample_rate
                    into.extend(frame.pcm)

        async def watch():
            async with call.digits() as digits:
                async for digit in digits:
                    keys.append(digit)

        for into in heard:
            tasks.start_soon(listen, into)
        tasks.start_soon(watch)
        await there.call.play(tone(500))
        await there.call.send_digits("1*")
        await here.settled(lambda: all(pitch(into) == 500 for into in heard) and keys == ["1", "*"])
        await call.send_digits("2#")
        await here.settled(lambda: there.digits == "2#")
        await call.hang_up()
    async with call.audio() as frames, call.digits() as digits:
        assert [frame async for frame in frames] == []
        assert [digit async for digit in digits] == []


# --- hold and transfer


async def test_hold_and_resume(talk):
    async with talk() as (here, _, call, there):
        await call.hold()
        assert call.details["on_hold"] is True
        await call.resume()
        assert call.details["on_hold"] is False
        await call.play(tone(440))
        await here.settled(lambda: there.seconds_of(440) > 0.2)


async def test_a_transfer_that_is_refused_says_so_and_the_call_goes_on(talk):
    async with talk() as (here, _, call, there):
        with pytest.raises(CallFailedError, match="400"):
            await call.transfer("nonsense")
        with pytest.raises(CallFailedError):
            await call.transfer("sip:carol@127.0.0.1:9")
        await call.play(tone(440))
        await here.settled(lambda: there.seconds_of(440) > 0.2)


async def test_a_call_cannot_be_joined_to_itself(talk):
    async with talk() as (_, _, call, _):
        with pytest.raises(CallFailedError, match="409"):
            await call.join(call)
        assert not call.over


async def test_joined_calls_hear_each_other_and_after_part_each_position_is_right_again(talk, callee):
    there_too = []

    async def answer(invitation):
        async with invitation.answer() as call:
            there_too.append(There(call))
            async with anyio.create_task_group() as tasks:
                await tasks.start(there_too[0].listen)
                await call.wait_over()

    async with talk() as (here, client, call, there), callee(answer) as uri, client.dial(uri) as other:
        await other.play(tone(300, 3.0))
        await call.join(other)
        await there.call.play(tone(500, 1.0))
        await here.settled(lambda: there_too[0].seconds_of(500) > 0.5)
        await call.part()
        position = await call.clear()
        end = await call.play(tone(440, 0.4))
        assert end == pytest.approx(position + 0.4)
        assert await call.played(end) is not None
        assert there.seconds_of(440) > 0.1


# --- its end


async def test_after_the_end_nothing_is_possible(talk):
    async with talk() as (_, _, call, there):
        await there.call.hang_up()
        assert await call.wait_over() == "hangup"
        for step in (
            lambda: call.play(tone()),
            lambda: call.played(1.0),
            call.clear,
            lambda: call.send_digits("1"),
            call.hold,
            lambda: call.transfer("sip:a@b"),
        ):
            with pytest.raises(CallEndedError):
                await step()
        await call.hang_up()
        assert call.end_reason == "hangup"


async def test_what_is_reported_reaches_followers(talk):
    async with talk() as (here, _, call, _), here.client("?v=2") as follower:
        await follower.send(f"SUBSCRIBE:{call.info.call_id}")
        await follower.until("CALL_INFO:")
        call.report(TranscriptMade(call.info, "caller", Transcript("hello ##", "en", 0.5)))
        call.report(TurnFinished(call.info, "hello", "hi", False, TurnTiming(1.0, first_packet=1.5)))
        call.report(object())
        transcript = await follower.until("TRANSCRIPT:")
        assert '"text":"hello #\\u0023"' in transcript
        assert '"first_packet":500' in await follower.until("TURN:")


async def test_the_same_conversation_works_over_it(talk):
    async with talk() as (here, _, call, there), anyio.create_task_group() as tasks:
        tasks.start_soon(converse, Echo(), call)
        await there.call.play(tone(500, 1.0))
        await here.settled(lambda: there.seconds_of(500) > 0.5)
        await there.call.hang_up()


async def test_a_call_that_is_taken_over_goes_on_where_it_is(desk):
    async with desk() as here, anyio.create_task_group() as tasks:
        tasks.start_soon(here.call)
        async with here.client("?v=2") as first:
            call_id = (await first.until("RING_ANS:")).rpartition("##")[2]
            await first.send(f"CALL_ANS:{call_id}")
            await first.until("CALL_ANS:")
            await first.send_audio(call_id, tone(440, 1.0).pcm)
            await first.send(f"MARK:{call_id}##1")
            await first.until("MARK:")
        async with connect(here.url) as client, client.offers() as offers:
            with anyio.fail_after(PATIENCE):
                offer = await anext(aiter(offers))
            assert offer.info.taken_over
            async with offer.answer() as call:
                end = await call.play(tone(440, 2.0))
                start = end - 2.0
                assert start == pytest.approx(1.0, abs=0.05)
                with anyio.fail_after(PATIENCE):
                    await call.played(start + 0.5)
                assert start + 0.4 < await call.clear() < end
