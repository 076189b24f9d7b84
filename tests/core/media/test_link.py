"""The engine over real sockets: what a call's owner gets from it."""

import contextlib
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import numpy as np
import pytest
from sipcore.audio.g711 import PCMU_DECODING, PCMU_ENCODING
from sipcore.audio.tones import sine
from sipcore.audio.wav import read_audio
from sipcore.errors import ConfigError, LocalProtocolError, MediaError, NoPortsFreeError
from sipcore.media import channel as channel_module
from sipcore.media import link, ring
from sipcore.media.link import MediaEngine, MediaSettings
from sipcore.media.messages import (
    Close,
    Closed,
    ConnectFailed,
    Decoder,
    DigitReceived,
    EngineLost,
    FirstPacketReceived,
    MediaStatistics,
    Open,
    Opened,
    PeerMoved,
    Ready,
    RecordingFailed,
    StrangerHeard,
    Woken,
    encode,
)
from sipcore.media.process import RunningEngine
from sipcore.rtp.dtmf import TelephoneEvent, event_packets

pytestmark = pytest.mark.anyio
TONE = sine(440, 1.0)
SO_TIMESTAMPNS = 35
CODED = PCMU_DECODING[PCMU_ENCODING[TONE.view(np.uint16)]]


def connect(channel, phone, **changes) -> None:
    fields = {"payload_type": 0, "codec": "PCMU", "receive": {0: "PCMU", 8: "PCMA"}, "telephone_event": 101}
    channel.connect(phone.address, **{**fields, "receive_telephone_event": 101, **changes})


@asynccontextmanager
async def collected(stream):
    """Whatever a stream brings while the block runs."""
    got = []

    async def collect(opened) -> None:
        async for item in opened:
            got.append(item)

    async with stream as opened, anyio.create_task_group() as tasks:
        tasks.start_soon(collect, opened)
        yield got
        tasks.cancel_scope.cancel()


def samples(frames) -> np.ndarray:
    return np.concatenate([frame.samples for frame in frames])


def spoken(pcm: np.ndarray) -> np.ndarray:
    """The frames that are not silent: what the peer said, on a machine that may be too busy to speak evenly."""
    frames = pcm.reshape(-1, 160)
    return frames[frames.any(axis=1)].reshape(-1)


def find(needle: np.ndarray, hay: np.ndarray) -> int:
    """Where ``needle`` lies in ``hay``, sample for sample; -1 if nowhere."""
    for at in np.flatnonzero(hay[: len(hay) - len(needle) + 1] == needle[0]).tolist():
        if (hay[at : at + len(needle)] == needle).all():
            return at
    return -1


def steps(phone) -> tuple[set[int], set[int]]:
    """Differences of sequence numbers and timestamps between packets heard."""
    numbers = np.array([(packet.sequence, packet.timestamp) for packet in phone.heard], np.int64)
    differences = np.diff(numbers, axis=0)
    return set((differences[:, 0] & 0xFFFF).tolist()), set((differences[:, 1] & 0xFFFFFFFF).tolist())


async def test_what_the_peer_says_is_heard_sample_for_sample(media, phone) -> None:
    async with MediaEngine(media) as engine, engine.channel("a") as channel:
        connect(channel, phone)
        async with collected(channel.hear()) as frames:
            await phone.talk(channel.port, TONE)
            await anyio.sleep(0.15)

    assert {len(frame.pcm) for frame in frames} == {320}
    assert (spoken(samples(frames)) == CODED).all()
    assert channel.statistics.packets_received == 50
    assert channel.statistics.packets_lost == channel.statistics.packets_late == 0
    assert channel.statistics.jitter < 0.02


async def test_both_laws_are_heard_and_each_is_sent(media, phone) -> None:
    async with MediaEngine(media) as engine, engine.channel("a") as channel:
        connect(channel, phone, payload_type=8, codec="PCMA")
        async with collected(channel.hear()) as frames:
            await channel.play(TONE[:1600].tobytes())
            await phone.talk(channel.port, TONE[:3200], kind=8)
            await phone.talk(channel.port, TONE[:3200], kind=0)
            await anyio.sleep(0.15)

    assert np.count_nonzero(samples(frames)) >= 6400 - 40
    assert np.abs(phone.pcm(8)[160:1600]).max() > 8000


async def test_a_packet_goes_out_each_20_ms_from_connect_to_close(media, phone) -> None:
    async with MediaEngine(media) as engine, engine.channel("a") as channel:
        connect(channel, phone)
        await phone.listen_for(0.3)
        await channel.play(TONE.tobytes())
        await phone.listen_for(0.7)

    assert 48 <= len(phone.heard) <= 52
    assert steps(phone) == ({1}, {160})
    assert [packet.marker for packet in phone.heard] == [True] + [False] * (len(phone.heard) - 1)
    assert {len(packet.payload) for packet in phone.heard} == {160}
    assert set(phone.heard[2].payload) == {0xFF}
    assert find(CODED[1:4000], phone.pcm()) > 0
    assert np.median(np.diff(phone.times)) == pytest.approx(0.02, abs=0.002)


async def test_positions_tell_what_was_really_sent(media, phone) -> None:
    async with MediaEngine(media) as engine, engine.channel("a") as channel:
        connect(channel, phone)
        assert await channel.play(TONE[:1000].tobytes()) == 1000
        assert await channel.play(TONE[:600].tobytes()) == 1600
        first, end = await channel.played(1), await channel.played(1600)
        assert end - first == pytest.approx(0.18, abs=0.05)
        assert await channel.played(1) == first
        await phone.listen_for(0.05)
        assert find(np.concatenate([CODED[1:1000], CODED[:600]]), phone.pcm()) > 0


async def test_audio_that_is_no_whole_packet_is_filled_with_silence(media, phone) -> None:
    async with MediaEngine(media) as engine, engine.channel("a") as channel:
        connect(channel, phone)
        assert await channel.played(await channel.play(TONE[:200].tobytes())) is not None
        assert await channel.play(TONE[:100].tobytes()) == 300
        await channel.played(300)
        await phone.listen_for(0.05)

    heard = phone.pcm()
    start = find(CODED[1:200], heard) - 1
    again = start + 320 + find(CODED[1:100], heard[start + 320 :]) - 1
    assert not heard[start + 200 : start + 320].any()
    assert again % 160 == start % 160


async def test_clearing_stops_within_a_frame_and_says_what_was_heard(media, phone) -> None:
    async with MediaEngine(media) as engine, engine.channel("a") as channel:
        connect(channel, phone)
        end = await channel.play(TONE.tobytes())
        await channel.played(1600)
        waited = []

        async def wait() -> None:
            waited.append(await channel.played(end))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.sleep(0.01)
            sent = await channel.clear()
            cleared = time.monotonic()
        assert waited == [None]
        assert 1600 <= sent <= 2400
        assert await channel.clear() == sent
        assert await channel.play(TONE[:320].tobytes()) == sent + 320
        assert await channel.played(sent) < cleared
        assert await channel.played(sent + 320) > cleared
        await phone.listen_for(0.05)

    assert np.count_nonzero(phone.pcm()) <= sent + 320
    assert steps(phone) == ({1}, {160})


async def test_a_full_queue_makes_play_wait_and_clear_drops_what_waits(media, phone) -> None:
    minute = np.ones(8000 * 60, np.int16).tobytes()
    async with MediaEngine(media) as engine, engine.channel("a") as channel:
        connect(channel, phone)
        ends = []

        async def play() -> None:
            ends.append(await channel.play(minute))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(play)
            await channel.played(1600)
            assert ends == []
            sent = await channel.clear()
        assert ends[0] >= sent
        assert await channel.play(b"\0\0" * 160) == sent + 160


async def test_longer_audio_than_the_queue_comes_out_whole(ports, phone) -> None:
    media = MediaSettings(rtp_port_start=ports, rtp_port_end=ports + 10, playout_seconds=0.1, mode="thread")
    async with MediaEngine(media) as engine, engine.channel("a") as channel:
        connect(channel, phone)
        await channel.played(await channel.play(TONE[:4800].tobytes()))
        await phone.listen_for(0.05)

    assert find(CODED[1:4800], phone.pcm()) > 0


async def test_a_key_pressed_is_told_once_though_its_end_is_lost(media, phone) -> None:
    async with MediaEngine(media) as engine, engine.channel("a") as channel:
        connect(channel, phone)
        async with collected(channel.events()) as events:
            for digit in (5, 5, 11):
                start = phone.timestamp
                for number in range(4):
                    phone.timestamp = start
                    phone.send(channel.port, bytes(TelephoneEvent(digit, 160 * number)), kind=101, marker=not number)
                    await anyio.sleep(0.01)
                phone.timestamp = start + 800 & 0xFFFFFFFF
            await anyio.sleep(0.1)

    assert [event.digit for event in events if isinstance(event, DigitReceived)] == ["5", "5", "#"]
    assert isinstance(events[0], FirstPacketReceived)
    assert events[0].address == phone.address


async def test_digits_are_sent_as_telephone_events_and_the_audio_waits(media, phone) -> None:
    async with MediaEngine(media) as engine, engine.channel("a") as channel:
        connect(channel, phone)
        await phone.listen_for(0.1)
        channel.send_digits("1#")
        await channel.play(TONE[:480].tobytes())
        channel.send_digits("2")
        await channel.played(480)
        await phone.listen_for(0.1)

    events = [packet for packet in phone.heard if packet.payload_type == 101]
    digits = [TelephoneEvent.parse(packet.payload).digit for packet in events if packet.marker]
    assert digits == ["1", "#", "2"]
    assert len(events) == sum(item.payload is not None for item in event_packets("1#2"))
    assert len({packet.timestamp for packet in events}) == 3
    assert steps(phone)[0] == {1}
    assert find(CODED[1:480], phone.pcm()) > 0
    audio = [(index, packet) for index, packet in enumerate(phone.heard) if packet.payload_type == 0]
    assert len({packet.timestamp - 160 * index & 0xFFFFFFFF for index, packet in audio}) == 1


async def test_on_hold_nothing_is_sent_and_the_queue_waits(media, phone) -> None:
    async with MediaEngine(media) as engine, engine.channel("a") as channel:
        connect(channel, phone)
        await phone.listen_for(0.1)
        connect(channel, phone, send=False)
        await phone.listen_for(0.05)
        before = len(phone.heard)
        end = await channel.play(TONE[:320].tobytes())
        await phone.listen_for(0.2)
        assert len(phone.heard) == before
        connect(channel, phone)
        assert await channel.played(end) is not None
        await phone.listen_for(0.05)

    resumed = phone.heard[before]
    assert resumed.marker
    assert resumed.sequence == phone.heard[before - 1].sequence + 1 & 0xFFFF
    assert find(CODED[1:320], phone.pcm()) > 0


async def test_strangers_are_not_heard_and_told_of_once(media, phone, stranger) -> None:
    async with MediaEngine(media) as engine, engine.channel("a") as channel:
        connect(channel, phone)
        async with collected(channel.events()) as events, collected(channel.hear()) as frames:
            await anyio.sleep(0.05)
            for _ in range(10):
                stranger.send(channel.port)
                stranger.send(channel.port)
                phone.send(channel.port, b"\xff" * 160)
                await anyio.sleep(0.02)
                stranger.listen()
            await anyio.sleep(1.1)

    assert not samples(frames).any()
    assert stranger.heard == []
    told = [event for event in events if isinstance(event, StrangerHeard)]
    assert [event.address for event in told] == [stranger.address]
    assert channel.statistics.dropped["stranger"] == 20
    assert channel.statistics.packets_received == 10


async def test_a_peer_behind_a_nat_is_found_and_answered_where_it_sends_from(media, phone) -> None:
    async with MediaEngine(media) as engine, engine.channel("a") as channel:
        channel.connect(("127.0.0.1", 9), payload_type=0, codec="PCMU", receive={0: "PCMU"})
        async with collected(channel.events()) as events, collected(channel.hear()) as frames:
            await phone.talk(channel.port, TONE[:3200])
            await phone.listen_for(0.1)

    assert PeerMoved(phone.address) in events
    assert [event.address for event in events if isinstance(event, FirstPacketReceived)] == [phone.address]
    assert np.count_nonzero(samples(frames)) > 2500
    assert len(phone.heard) > 10


async def test_a_host_that_the_signalling_named_may_be_the_peer_and_no_other(media, phone, stranger) -> None:
    async with MediaEngine(media) as engine, engine.channel("a", hosts={"127.0.0.9"}) as channel:
        channel.connect(("127.0.0.5", 9), payload_type=0, codec="PCMU", receive={0: "PCMU"})
        await phone.talk(channel.port, TONE[:800])
        await stranger.talk(channel.port, TONE[:1600])
        await phone.listen_for(0.1)
        await stranger.listen_for(0.1)

    assert phone.heard == []
    assert stranger.heard


async def test_a_new_address_from_the_signalling_is_followed(media, phone, stranger) -> None:
    async with MediaEngine(media) as engine, engine.channel("a") as channel:
        connect(channel, phone)
        await phone.talk(channel.port, TONE[:800])
        connect(channel, stranger)
        async with collected(channel.hear()) as frames:
            await stranger.talk(channel.port, TONE[:3200])
            await stranger.listen_for(0.1)
        phone.listen()

    assert np.count_nonzero(samples(frames)) > 2000
    assert len(stranger.heard) > 10
    assert phone.heard[-1].sequence + 1 & 0xFFFF == stranger.heard[0].sequence


async def test_an_address_that_cannot_be_used_is_told(media, phone) -> None:
    async with MediaEngine(media) as engine, engine.channel("a") as channel:
        async with collected(channel.events()) as events:
            channel.connect(("phone.example", 4000), payload_type=0, codec="PCMU", receive={0: "PCMU"})
            channel.connect(("255.255.255.255", 4000), payload_type=0, codec="PCMU", receive={0: "PCMU"})
            channel.connect(("0.0.0.0", 4000), payload_type=0, codec="PCMU", receive={0: "PCMU"})
            await anyio.sleep(0.1)
        connect(channel, phone)
        await phone.listen_for(0.1)

    assert [type(event) for event in events] == [ConnectFailed, ConnectFailed]
    assert "phone.example is no IP address" in events[0].reason
    assert phone.heard


async def test_ports_run_out_and_are_free_again_at_once(media) -> None:
    async with MediaEngine(media) as engine:
        async with engine.channel("a"), engine.channel("b") as second:
            async with engine.channel("c") as third:
                assert engine.calls == 3
                with pytest.raises(NoPortsFreeError, match="RTP_PORT_START"):
                    async with engine.channel("d"):
                        pass
            async with engine.channel("d") as fourth:
                assert fourth.port == third.port
                assert not second.over
        assert engine.calls == 0


async def test_more_calls_than_allowed_are_refused(ports) -> None:
    media = MediaSettings(rtp_port_start=ports, rtp_port_end=ports + 10, max_calls=1, mode="thread")
    async with MediaEngine(media) as engine, engine.channel("a"):
        with pytest.raises(NoPortsFreeError):
            async with engine.channel("b"):
                pass


async def test_a_range_without_room_does_not_start() -> None:
    with pytest.raises(ConfigError):
        MediaEngine(MediaSettings(rtp_port_start=4000, rtp_port_end=4000))


@pytest.mark.parametrize("channels", [1, 2])
async def test_a_recording_has_both_sides_on_one_clock(media, phone, tmp_path, channels) -> None:
    path = tmp_path / "call.wav"
    async with MediaEngine(media) as engine, engine.channel("a") as channel:
        connect(channel, phone)
        channel.record(path, channels=channels)
        await channel.play(TONE.tobytes())
        await phone.talk(channel.port, TONE)
        await anyio.sleep(0.1)

    data = read_audio(path, 8000).samples if channels == 1 else stereo(path)[:, 0]
    assert (spoken(data) == CODED).all()
    assert len(data) / 8000 == pytest.approx(channel.statistics.recorded)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    if channels == 2:
        assert find(TONE[1:], stereo(path)[:, 1]) >= 0


def stereo(path) -> np.ndarray:
    return np.frombuffer(path.read_bytes()[44:], np.int16).reshape(-1, 2)


async def test_a_recording_that_cannot_be_written_is_told_and_the_call_goes_on(media, phone, tmp_path) -> None:
    async with MediaEngine(media) as engine, engine.channel("a") as channel:
        connect(channel, phone)
        async with collected(channel.events()) as events:
            channel.record(tmp_path / "none" / "call.wav")
            await phone.listen_for(0.2)
            channel.record(tmp_path / "again.wav")
            await phone.listen_for(0.1)

    assert [type(event) for event in events] == [RecordingFailed, RecordingFailed]
    assert "No such file or directory" in events[0].reason
    assert len(phone.heard) > 10


async def test_a_slow_listener_loses_its_oldest_frames_and_no_one_elses(media, phone) -> None:
    async with MediaEngine(media) as engine, engine.channel("a") as channel:
        connect(channel, phone)
        async with collected(channel.hear()) as frames, channel.hear() as slow:
            await anyio.sleep(0.3)
            got = [await anext(aiter(slow)) for _ in range(3)]

    assert len(got) == 3
    assert slow.lost == 0
    assert len(frames) >= 12


async def test_a_closed_channel_ends_its_streams_and_refuses_its_calls(media, phone) -> None:
    async with MediaEngine(media) as engine:
        async with engine.channel("a") as channel:
            connect(channel, phone)
            with pytest.raises(LocalProtocolError):
                channel.send_digits("x")
            with pytest.raises(LocalProtocolError):
                await channel.play(b"odd")
            with pytest.raises(LocalProtocolError):
                channel.record(phone, channels=3)
            with pytest.raises(MediaError, match="no codec GSM"):
                connect(channel, phone, codec="GSM")
            connect(channel, phone, telephone_event=None)
            with pytest.raises(MediaError, match="no telephone events"):
                channel.send_digits("1")

            async def stop() -> None:
                await anyio.sleep(0.1)
                channel.close()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stop)
                with pytest.raises(MediaError, match="closed"):
                    await channel.played(10_000)
                async with channel.hear() as frames, channel.events() as events:
                    assert [frame async for frame in frames] == []
                    assert [event async for event in events] == []
        for use in (channel.clear(), channel.play(b""), channel.played(0)):
            with pytest.raises(MediaError, match="closed"):
                await use
        with pytest.raises(MediaError, match="closed"):
            connect(channel, phone)


async def test_a_cancelled_call_frees_its_ports(media) -> None:
    async with MediaEngine(media) as engine:
        with anyio.move_on_after(0.05):
            async with engine.channel("a"), engine.channel("b"), engine.channel("c"):
                await anyio.sleep_forever()
        async with engine.channel("a"), engine.channel("b"), engine.channel("c"):
            pass


async def test_an_engine_that_is_killed_is_told_and_replaced(ports, phone, tmp_path) -> None:
    media = MediaSettings(rtp_port_start=ports, rtp_port_end=ports + 10)
    async with MediaEngine(media) as engine:
        killed = engine.pid
        async with engine.channel("a") as channel:
            connect(channel, phone)
            channel.record(tmp_path / "call.wav")
            async with collected(channel.events()) as events, collected(channel.hear()):
                await phone.talk(channel.port, np.tile(TONE, 2))
                before = time.monotonic()
                os.kill(killed, signal.SIGKILL)
                with pytest.raises(MediaError, match="engine is gone"):
                    await channel.played(1 << 40)
                assert time.monotonic() - before < 1
                await anyio.sleep(0)
            assert events[-1] == EngineLost()
            with pytest.raises(MediaError, match="engine is gone"):
                await channel.play(TONE.tobytes())
        async with engine.channel("b") as channel:
            assert engine.pid != killed
            connect(channel, phone)
            phone.heard.clear()
            await phone.listen_for(0.2)
            assert phone.heard

    assert len(read_audio(tmp_path / "call.wav", 8000).samples) >= 8000


SERVER = """
import anyio, sys
from pathlib import Path
from sipcore.media import channel as channel_module
from sipcore.media import link, ring
from sipcore.media.link import MediaEngine, MediaSettings
from sipcore.media.process import RunningEngine

async def main(start, host, port, path):
    async with MediaEngine(MediaSettings(rtp_port_start=start, rtp_port_end=start + 10)) as engine:
        async with engine.channel("a") as channel:
            channel.connect((host, port), payload_type=0, codec="PCMU", receive={0: "PCMU"})
            channel.record(Path(path), channels=2)
            print(engine.pid, flush=True)
            await anyio.sleep_forever()

anyio.run(main, int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])
"""


async def test_the_engine_ends_with_its_server_and_closes_its_files(ports, phone, tmp_path) -> None:
    path = tmp_path / "call.wav"
    arguments = [sys.executable, "-c", SERVER, str(ports), phone.address[0], str(phone.address[1]), str(path)]
    async with await anyio.open_process(arguments, stdin=subprocess.DEVNULL, stderr=None) as server:
        engine = int(await server.stdout.receive())
        await phone.listen_for(1.2)
        server.kill()
        await server.wait()
    with anyio.fail_after(5):
        while alive(engine):
            await anyio.sleep(0.02)

    assert len(phone.heard) / 50 - stereo(path).shape[0] / 8000 < 0.2
    assert read_audio(path, 8000).duration == pytest.approx(len(phone.heard) / 50, abs=0.2)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_an_engine_that_cannot_start_says_so(ports, monkeypatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(MediaError, match="does not start"):
        async with MediaEngine(MediaSettings(rtp_port_start=ports, rtp_port_end=ports + 10)):
            pass


async def test_a_failure_inside_the_block_comes_out_as_it_is(ports) -> None:
    with pytest.raises(KeyError):
        async with MediaEngine(MediaSettings(rtp_port_start=ports, rtp_port_end=ports + 10, mode="thread")):
            raise KeyError


async def test_a_port_that_another_process_holds_is_skipped(media) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", media.rtp_port_start))
        async with MediaEngine(media) as engine, engine.channel("a") as channel:
            assert channel.port == media.rtp_port_start + 4


async def test_a_busy_server_delays_no_packet(ports, phone) -> None:
    """Bursts of Python on the server's own thread: the kernel's time stamps tell when each packet came."""
    phone.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    media = MediaSettings(rtp_port_start=ports, rtp_port_end=ports + 10)
    async with MediaEngine(media) as engine, engine.channel("a") as channel:
        connect(channel, phone)
        await channel.play(TONE.tobytes())
        await anyio.sleep(0.1)
        for _ in range(10):
            busy = time.monotonic() + 0.05
            while time.monotonic() < busy:
                sum(range(1000))
            await anyio.sleep(0)
    stamps = []
    with contextlib.suppress(BlockingIOError):
        while True:
            _, control, _, _ = phone.socket.recvmsg(2000, 200)
            seconds, nanoseconds = struct.unpack("@qq", control[0][2])
            stamps.append(seconds + nanoseconds / 1e9)

    assert len(stamps) >= 25
    assert np.diff(stamps).max() < 0.06


@pytest.fixture
def silent_engine(ports, monkeypatch):
    """A link whose engine says that it is ready, and nothing more."""
    ours, theirs = socket.socketpair()

    @asynccontextmanager
    async def run(shape, mode):
        descriptor = ring.create(shape.arena)
        arena = ring.Arena(descriptor, shape.arena)
        os.close(descriptor)
        try:
            yield RunningEngine(ours, arena, None)
        finally:
            ours.close()

    monkeypatch.setattr(link, "run_engine", run)
    monkeypatch.setattr(link, "RESTART_PAUSES", (60.0,))
    theirs.send(encode(Ready()))
    yield MediaEngine(MediaSettings(rtp_port_start=ports, rtp_port_end=ports + 10)), theirs
    theirs.close()


async def test_an_engine_that_does_not_answer_is_no_use(silent_engine, monkeypatch) -> None:
    monkeypatch.setattr(link, "OPEN_SECONDS", 0.1)
    monkeypatch.setattr(channel_module, "CLOSE_SECONDS", 0.1)
    monkeypatch.setattr(channel_module, "CLEAR_SECONDS", 0.1)
    made, theirs = silent_engine
    async with made as engine:
        with pytest.raises(MediaError, match="no channel within"):
            async with engine.channel("a"):
                pass
        theirs.send(encode(Opened(1, 0, 4000)))
        await anyio.sleep(0.05)
        assert list(Decoder().feed(theirs.recv(10_000))) == [Open(1), Close(1)]

        theirs.send(encode(Opened(2, 0, 4000)))
        async with engine.channel("b") as channel:
            with pytest.raises(MediaError, match="did not answer"):
                await channel.clear()
            theirs.send(encode(Woken((0, 1))) + encode(Closed(99, MediaStatistics())))
            await channel.wake()


async def test_an_engine_that_goes_while_a_channel_opens_is_told(silent_engine) -> None:
    made, theirs = silent_engine
    async with made as engine:

        async def leave() -> None:
            await anyio.sleep(0.05)
            theirs.close()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(leave)
            with pytest.raises(MediaError, match="is gone"):
                await engine.channel("a").__aenter__()


async def test_commands_wait_for_a_slow_engine_and_one_that_reads_none_is_given_up(silent_engine) -> None:
    made, theirs = silent_engine
    codecs = dict.fromkeys(range(96), "PCMU")
    async with made as engine:
        theirs.send(encode(Opened(1, 0, 4000)))
        async with engine.channel("a") as channel:
            for _ in range(300):
                channel.connect(("127.0.0.1", 9), payload_type=0, codec="PCMU", receive=codecs)
            decoder, got = Decoder(), []
            theirs.settimeout(0.0)
            while len(got) < 301:
                with contextlib.suppress(BlockingIOError):
                    got += decoder.feed(theirs.recv(100_000))
                await anyio.sleep(0)
            while not channel.over:
                channel.connect(("127.0.0.1", 9), payload_type=0, codec="PCMU", receive=codecs)
            async with channel.events() as events:
                assert [event async for event in events] == [EngineLost()]


async def test_an_engine_that_does_not_start_again_is_tried_again(ports, monkeypatch) -> None:
    started = link.run_engine
    attempts = []

    def run(shape, mode):
        attempts.append(mode)
        if len(attempts) == 2:
            raise MediaError("not this time")
        return started(shape, mode)

    monkeypatch.setattr(link, "run_engine", run)
    monkeypatch.setattr(link, "RESTART_PAUSES", (0.0,))
    async with MediaEngine(MediaSettings(rtp_port_start=ports, rtp_port_end=ports + 10)) as engine:
        os.kill(engine.pid, signal.SIGKILL)
        await anyio.sleep(0.05)
        async with engine.channel("a"):
            assert len(attempts) == 3


async def test_while_no_engine_runs_no_channel_opens(ports, monkeypatch) -> None:
    monkeypatch.setattr(link, "OPEN_SECONDS", 0.1)
    monkeypatch.setattr(link, "RESTART_PAUSES", (60.0,))
    async with MediaEngine(MediaSettings(rtp_port_start=ports, rtp_port_end=ports + 10)) as engine:
        os.kill(engine.pid, signal.SIGKILL)
        while engine.pid is not None:
            await anyio.sleep(0.01)
        with pytest.raises(MediaError, match="no new one is there yet"):
            await engine.channel("a").__aenter__()


async def test_early_events_are_kept_for_the_first_reader(ports, phone) -> None:
    media = MediaSettings(rtp_port_start=ports, rtp_port_end=ports + 10, mode="thread")
    async with MediaEngine(media) as engine, engine.channel("a") as channel:
        connect(channel, phone)
        phone.send(channel.port)
        await anyio.sleep(0.2)
        async with channel.events() as first, channel.events() as second:
            channel.close()
            assert [type(event) async for event in first] == [FirstPacketReceived]
            assert [event async for event in second] == []
        async with channel.events() as late:
            assert [event async for event in late] == []


async def test_giving_up_while_a_channel_opens_leaks_no_ports():
    settings = MediaSettings(rtp_port_start=27000, rtp_port_end=27003, mode="thread")
    async with MediaEngine(settings) as engine:
        for half_milliseconds in range(24):
            with anyio.move_on_after(half_milliseconds / 2000):
                async with engine.channel("given up"):
                    pass
            await anyio.sleep(0.02)
        async with engine.channel("the only one"):
            pass
