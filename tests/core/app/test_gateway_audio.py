"""app/gateway.py: audio, marks, files and digits between a client and a caller."""

import base64
from contextlib import asynccontextmanager

import anyio
import pytest
from sipcore.app.wire_audio import from_wire, to_wire
from sipcore.audio.frame import AudioFrame
from sipcore.audio.wav import write_wav

from ..conftest import pitch, tone  # noqa: TID252

pytestmark = pytest.mark.anyio


class Caller:
    """A phone on a call, and what it hears."""

    def __init__(self, call):
        self.call = call
        self.heard = bytearray()
        self.digits = ""

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


@pytest.fixture
def talk(desk):
    """A call that a client holds: ``async with talk(...) as (here, client, call_id, caller)``."""

    @asynccontextmanager
    async def talking(query="?v=2", **overrides):
        async with desk(**overrides) as here, here.client(query) as client, anyio.create_task_group() as tasks:
            answered = anyio.Event()
            callers = []

            async def hold(call):
                callers.append(Caller(call))
                await tasks.start(callers[0].listen)
                await tasks.start(callers[0].watch)
                answered.set()

            tasks.start_soon(here.call, hold)
            call_id = (await client.until("RING_ANS:")).rpartition("##")[2]
            await client.send(f"CALL_ANS:{call_id}")
            await client.until("CALL_ANS:")
            await answered.wait()
            yield here, client, call_id, callers[0]
            await callers[0].call.hang_up()
            tasks.cancel_scope.cancel()

    return talking


# --- audio


@pytest.mark.parametrize("audio_format", ["pcm", "pcmu", "pcma"])
async def test_both_hear_what_was_said_in_the_format_of_the_connection(talk, audio_format):
    async with talk(f"?audio={audio_format}") as (here, client, call_id, caller):
        await client.send_audio(call_id, to_wire(tone(440), audio_format))
        await here.settled(lambda: pitch(caller.heard) == 440)
        await caller.call.play(tone(600))
        await client.settled(lambda: pitch(from_wire(client.heard[-8000:], audio_format).pcm) == 600)
        sizes = {len(base64.b64decode(m.partition("##")[2])) for m in client.passed if m.startswith("RTP:")}
        assert sizes == {320 if audio_format == "pcm" else 160}


@pytest.mark.parametrize("query", ["", "?v=2"])
async def test_audio_that_is_none_is_refused_and_the_call_goes_on(talk, query):
    concerned = "##{}" if query else ""
    async with talk(query) as (here, client, call_id, caller):
        end = concerned.format(call_id)
        await client.send_audio(call_id, b"\0" * 321)
        assert (
            await client.until("ERROR")
            == f"ERROR:400 321 octets are no 16-bit samples: an even number was expected{end}"
        )
        await client.send_audio(call_id, b"\0" * 16002)
        assert (await client.until("ERROR")).startswith("ERROR:413 ")
        await client.send(f"RTP:{call_id}##no base64!")
        assert (await client.until("ERROR")).startswith("ERROR:400 ")
        await client.send(f"RTP:{call_id}")
        assert (await client.until("ERROR")).startswith("ERROR:400 ")
        await client.send(b"\x80\x81")
        assert (await client.until("ERROR")).startswith("ERROR:400 ")
        await client.send_audio(call_id, tone(440).pcm)
        await here.settled(lambda: pitch(caller.heard) == 440)


async def test_audio_that_comes_too_fast_is_refused_and_what_was_taken_is_played(talk):
    async with talk(RTP_SEND_QUEUE_MAX=100) as (_here, client, call_id, caller):
        for _ in range(3):
            await client.send_audio(call_id, tone(440, 1.0).pcm)
        assert (await client.until("ERROR")).startswith("ERROR:429 RTP_SEND_QUEUE_MAX is reached")
        await client.send(f"MARK:{call_id}##end")
        await client.until("MARK:")
        assert 1.7 < pcm_seconds(caller.heard, 440) < 2.3


def pcm_seconds(heard, frequency):
    """How long a tone was heard."""
    step = 1600
    pieces = [heard[at : at + step] for at in range(0, len(heard), step)]
    return sum(abs(pitch(piece) - frequency) <= 10 for piece in pieces) * step / 16000


async def test_a_second_of_g711_is_taken_whole(talk):
    async with talk("?v=2&audio=pcmu") as (here, client, call_id, caller):
        await client.send_audio(call_id, to_wire(tone(440, 1.0), "pcmu"))
        await client.send_audio(call_id, b"\xff" * 8001)
        assert (await client.until("ERROR")).startswith("ERROR:413 ")
        await here.settled(lambda: pcm_seconds(caller.heard, 440) > 0.8)


# --- marks and clear


async def test_a_mark_comes_back_after_the_audio_before_it_was_sent(talk):
    async with talk() as (_here, client, call_id, caller):
        await client.send(f"MARK:{call_id}##at once")
        assert await client.until("MARK:") == f"MARK:{call_id}##at once"
        heard = len(caller.heard)
        await client.send_audio(call_id, tone(440, 0.6).pcm)
        await client.send(f"MARK:{call_id}##a#b c")
        assert await client.until("MARK:") == f"MARK:{call_id}##a#b c"
        assert len(caller.heard) - heard > 0.4 * 16000


async def test_clear_tells_what_was_heard_drops_the_rest_and_its_marks(talk):
    async with talk() as (here, client, call_id, caller):
        for _ in range(4):
            await client.send_audio(call_id, tone(440, 1.0).pcm)
        await client.send(f"MARK:{call_id}##never")
        await here.settled(lambda: pcm_seconds(caller.heard, 440) >= 0.5)
        await client.send(f"CLEAR:{call_id}")
        cleared = await client.until("CLEARED:")
        played = int(cleared.rpartition("##")[2]) / 1000
        await anyio.sleep(0.3)
        at_clear = pcm_seconds(caller.heard, 440)
        await anyio.sleep(0.5)
        assert pcm_seconds(caller.heard, 440) == at_clear
        assert abs(played - at_clear) <= 0.25
        await client.send_audio(call_id, tone(700, 0.4).pcm)
        await client.send(f"MARK:{call_id}##later")
        assert await client.until("MARK:") == f"MARK:{call_id}##later"
        await client.send(f"CLEAR:{call_id}")
        again = int((await client.until("CLEARED:")).rpartition("##")[2]) / 1000
        assert abs(again - played - 0.4) < 0.03


async def test_too_many_marks_are_refused(talk):
    async with talk() as (_here, client, call_id, _caller):
        await client.send_audio(call_id, tone(440, 1.0).pcm)
        for number in range(1100):
            await client.send(f"MARK:{call_id}##{number}")
        assert (await client.until("ERROR:")).startswith("ERROR:429 too many marks wait")
        await client.send(f"CLEAR:{call_id}")
        await client.until("CLEARED:")


# --- files


async def test_a_file_is_played_after_what_is_queued_and_followers_see_which(talk):
    async with talk() as (here, client, call_id, caller):
        here.folder.mkdir(exist_ok=True)
        write_wav(here.folder / "menu.wav", tone(700, 0.5))
        await client.send_audio(call_id, tone(440, 0.3).pcm)
        await client.send(f"PLAY:{call_id}##menu.wav")
        await client.send(f"MARK:{call_id}##end")
        await client.settled(lambda: any('"playing":"menu.wav"' in event for event in client.events))
        await client.settled(lambda: any(event == f"MARK:{call_id}##end" for event in client.events))
        infos = [event for event in client.events if event.startswith("CALL_INFO:")]
        assert '"playing":""' in infos[-1]
        assert pcm_seconds(caller.heard, 700) > 0.3
        assert pcm_seconds(caller.heard, 440) > 0.1


async def test_clear_ends_a_file(talk):
    async with talk() as (here, client, call_id, caller):
        here.folder.mkdir(exist_ok=True)
        write_wav(here.folder / "music.wav", tone(700, 60.0))
        await client.send(f"PLAY:{call_id}##music.wav")
        await here.settled(lambda: pcm_seconds(caller.heard, 700) > 0.3)
        await client.send(f"CLEAR:{call_id}")
        await client.until("CLEARED:")
        await client.send_audio(call_id, tone(440).pcm)
        await here.settled(lambda: pcm_seconds(caller.heard, 440) > 0.2)
        await client.send(f"SUBSCRIBE:{call_id}")
        assert '"playing":""' in [event for event in await _some(client) if event.startswith("CALL_INFO")][-1]


async def _some(client):
    await client.settled(lambda: client.events)
    await anyio.sleep(0.2)
    return client.events


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("../x.wav", 403),
        ("/etc/passwd", 403),
        ("out.wav", 403),
        ("missing.wav", 404),
        ("x" * 3000, 404),
        ("no.wav", 415),
    ],
)
async def test_what_may_not_or_cannot_be_played_is_refused_and_the_call_goes_on(talk, name, status):
    async with talk() as (here, client, call_id, _caller):
        here.folder.mkdir(exist_ok=True)
        (here.folder / "no.wav").write_text("words")
        (here.folder / "out.wav").symlink_to("/etc/hostname")
        await client.send(f"PLAY:{call_id}##{name}")
        refused = await client.until("ERROR:")
        assert refused.startswith(f"ERROR:{status} ")
        assert refused.endswith(f"##{call_id}")
        await client.send(f"MARK:{call_id}##up")
        await client.until("MARK:")


async def test_at_most_ten_minutes_of_files_can_wait(talk):
    async with talk() as (here, client, call_id, _caller):
        here.folder.mkdir(exist_ok=True)
        write_wav(here.folder / "long.wav", AudioFrame(bytes(2 * 8000 * 400), 8000))
        for _ in range(3):
            await client.send(f"PLAY:{call_id}##long.wav")
        assert (await client.until("ERROR:")).startswith("ERROR:429 at most 600 s of files")


# --- digits


async def test_digits_go_both_ways(talk):
    async with talk() as (here, client, call_id, caller):
        await client.send(f"DTMF:{call_id}##12#")
        await here.settled(lambda: caller.digits == "12#")
        await caller.call.send_digits("*9")
        assert await client.until("DTMF:") == f"DTMF:{call_id}##*"
        assert await client.until("DTMF:") == f"DTMF:{call_id}##9"
        await client.send(f"DTMF:{call_id}##12x")
        assert (await client.until("ERROR:")).startswith("ERROR:400 ")


async def test_a_client_of_version_1_knows_no_additions(talk):
    async with talk("") as (_here, client, call_id, caller):
        for message in (f"DTMF:{call_id}##1", f"MARK:{call_id}##x", f"CLEAR:{call_id}", f"SUBSCRIBE:{call_id}"):
            await client.send(message)
            assert (await client.next()).startswith("ERROR:501 ")
        await caller.call.send_digits("5")
        await caller.call.play(tone(600))
        await client.settled(lambda: pitch(client.heard) == 600)
        assert client.events == []
