"""Calls between two switchboards on loopback: real sockets, real time, the media engine in a thread."""

from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import anyio
import numpy as np
import pytest
from sipcore.audio.frame import AudioFrame
from sipcore.call.switchboard import Switchboard
from sipcore.errors import (
    CallEndedError,
    CallFailedError,
    LocalProtocolError,
    MediaError,
    NoPortsFreeError,
    RemoteProtocolError,
)
from sipcore.media.link import MediaEngine, MediaSettings
from sipcore.net.udp import SipEndpoint
from sipcore.plugins import CallAnswered, CallEnded, CallRang, DigitReceived
from sipcore.sip.uri import Uri

pytestmark = pytest.mark.anyio
HOST = "127.0.0.1"


class Side:
    """One switchboard, its engine and the events it told of."""

    def __init__(self, endpoint, media, board, events):
        self.endpoint, self.media, self.board, self.events = endpoint, media, board, events
        self.uri = Uri.parse(f"sip:assistant@{HOST}:{endpoint.address[1]}")

    def dial(self, other, **options):
        return self.board.dial(other.uri, other.endpoint.address, **options)

    def kinds(self):
        return [type(event) for event in self.events]


@asynccontextmanager
async def side(first_port, answer=None, last_port=None, silence=60.0):
    events = []
    media = MediaSettings(HOST, first_port, last_port or first_port + 39, mode="thread", silence_seconds=silence)
    async with AsyncExitStack() as stack:
        endpoint = await stack.enter_async_context(SipEndpoint((HOST, 0)))
        engine = await stack.enter_async_context(MediaEngine(media))
        board = await stack.enter_async_context(Switchboard(endpoint, engine, HOST, answer, events.append))
        yield Side(endpoint, engine, board, events)


@asynccontextmanager
async def pair(answer):
    async with side(24000, answer) as server, side(24100) as phone:
        yield server, phone


async def settled(condition, seconds=3.0):
    with anyio.fail_after(seconds):
        while not condition():
            await anyio.sleep(0.01)


def tone(seconds=0.5, size=8000):
    wave = np.sin(2 * np.pi * 440 * np.arange(round(seconds * 8000)) / 8000) * size
    return AudioFrame.from_samples(wave.astype(np.int16), 8000)


async def echo(invitation):
    async with invitation.answer() as call, call.audio() as frames:
        async for frame in frames:
            await call.play(frame)


async def loudest(frames, seconds):
    peak = 0
    with anyio.move_on_after(seconds):
        async for frame in frames:
            peak = max(peak, int(np.abs(frame.samples).max()))
    return peak


async def test_audio_goes_both_ways_and_everything_is_given_back():
    async with pair(echo) as (server, phone):
        async with phone.dial(server) as call, call.audio() as frames:
            assert await call.play(tone()) == pytest.approx(0.5)
            assert await loudest(frames, 1.0) > 7000
            assert (server.board.calls, server.media.calls) == (1, 1)
        await settled(lambda: server.board.calls == 0 and server.media.calls == 0)
        assert server.kinds() == phone.kinds() == [CallRang, CallAnswered, CallEnded]
        assert server.events[0].info.call_id == phone.events[0].info.call_id
        assert [server.events[-1].reason, phone.events[-1].reason] == ["hangup", "bye"]


async def test_the_caller_is_described():
    async with pair(echo) as (server, phone):
        async with phone.dial(server, caller=Uri.parse("sip:alice@example.org")):
            info = server.events[0].info
        assert (info.direction, info.caller, info.callee) == ("incoming", "sip:alice@example.org", str(server.uri))
        assert info.headers["User-Agent"].startswith("sipcore/")


async def test_who_answers_nothing_is_busy():
    async with pair(None) as (server, phone):
        with pytest.raises(CallFailedError, match="486"):
            async with phone.dial(server):
                pass
        await settled(lambda: server.board.calls == 0)
        assert phone.events[-1].reason == "486 Busy Here"


async def test_an_invitation_that_nobody_took_is_unavailable():
    async def look_away(invitation):
        del invitation

    async with pair(look_away) as (server, phone):
        with pytest.raises(CallFailedError, match="480"):
            async with phone.dial(server):
                pass


async def test_a_failing_answerer_costs_its_own_call_alone(caplog):
    async def broken(invitation):
        raise RuntimeError("broken")

    async with pair(broken) as (server, phone):
        for _ in range(2):
            with pytest.raises(CallFailedError, match="500"):
                async with phone.dial(server):
                    pass
    assert "the call could not be served" in caplog.text


async def test_a_conversation_that_fails_hangs_up(caplog):
    async def broken(invitation):
        async with invitation.answer():
            raise RuntimeError("broken")

    async with pair(broken) as (server, phone), phone.dial(server) as call:
        assert await call.wait_over() == "hangup"
    assert "the call could not be served" in caplog.text


async def test_without_a_free_port_the_caller_may_try_again_later():
    async with side(24000, echo, 24003) as server, side(24100) as phone:
        async with phone.dial(server):
            with pytest.raises(CallFailedError, match="503"):
                async with phone.dial(server):
                    pass
        await settled(lambda: server.media.calls == 0)
        async with phone.dial(server):
            pass


async def test_a_phone_without_a_free_port_says_so():
    async with side(24000, echo) as server, side(24100, None, 24103) as phone, phone.dial(server):
        with pytest.raises(NoPortsFreeError):
            async with phone.dial(server):
                pass


async def test_giving_up_while_it_rings_cancels():
    async def slow(invitation):
        async with invitation.answer(partial(anyio.sleep, 60)):
            pass

    rang = []
    async with pair(slow) as (server, phone):
        with anyio.move_on_after(0.3):
            async with phone.dial(server, on_ringing=rang.append):
                pass
        await settled(lambda: server.board.calls == 0 and server.media.calls == 0)
        assert rang == [180]
        assert server.events[-1].reason == phone.events[-1].reason == "cancelled"


async def test_when_the_far_end_hangs_up_everything_ends_at_once():
    async def short(invitation):
        async with invitation.answer() as call:
            await call.play(tone(0.2))
            await anyio.sleep(0.2)

    async with pair(short) as (server, phone), phone.dial(server) as call:
        position = await call.play(tone(9.0))
        async with call.audio() as frames:
            async for _ in frames:
                pass
        with pytest.raises(CallEndedError, match="hangup"):
            await call.played(position)
        assert call.end_reason == "hangup"


async def test_digits_are_heard():
    pressed = []

    async def listen(invitation):
        async with invitation.answer() as call, call.digits() as digits:
            async for digit in digits:
                pressed.append(digit)
                if digit == "#":
                    return

    async with pair(listen) as (server, phone), phone.dial(server) as call:
        await call.send_digits("42#")
        assert await call.wait_over() == "hangup"
    assert pressed == ["4", "2", "#"]
    assert [event.digit for event in server.events if isinstance(event, DigitReceived)] == ["4", "2", "#"]


async def test_what_is_cleared_was_not_heard():
    async with pair(echo) as (server, phone), phone.dial(server) as call:
        end = await call.play(tone(5.0))
        await anyio.sleep(0.5)
        heard = await call.clear()
        assert 0.3 < heard < 0.7
        assert await call.play(tone(0.1)) == pytest.approx(heard + 0.1)
        assert end > heard


async def test_audio_of_another_rate_is_refused():
    async with pair(echo) as (server, phone), phone.dial(server) as call:
        with pytest.raises(LocalProtocolError, match="resample"):
            await call.play(AudioFrame(bytes(640), 16000))


class RawPhone:
    """A phone made of datagrams: it sends what no phone of ours would."""

    def __init__(self, udp, server):
        self.udp, self.server = udp, server
        self.port = udp.extra(anyio.abc.SocketAttribute.local_port)
        self.to = ""
        self.number = 0

    def message(self, method, body="", number=None, branch=None):
        self.number = number or self.number + 1
        kind = "Content-Type: application/sdp\r\n" if body else ""
        text = (
            f"{method} {self.server.uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {HOST}:{self.port};branch=z9hG4bK{branch or method}{self.number}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:raw@{HOST}>;tag=raw\r\nTo: <{self.server.uri}>{self.to}\r\n"
            f"Call-ID: raw-{self.port}\r\nCSeq: {self.number} {method}\r\nContact: <sip:raw@{HOST}:{self.port}>\r\n"
            f"{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        )
        return text.encode()

    async def send(self, method, body="", number=None):
        host, port = self.server.endpoint.address
        await self.udp.sendto(self.message(method, body, number), host, port)

    def cross(self, method, body="", number=None, branch=None):
        """Let a message reach the user agent whose event nobody has seen yet."""
        self.server.endpoint.receive(self.message(method, body, number, branch), (HOST, self.port))

    async def final(self):
        with anyio.fail_after(3):
            async for data, _ in self.udp:
                head, _, body = data.decode().partition("\r\n\r\n")
                status = int(head.split()[1]) if head.startswith("SIP/2.0") else 0
                if status >= 200:
                    tag = next(line for line in head.split("\r\n") if line.lower().startswith("to:")).partition(";tag=")
                    self.to = f";tag={tag[2]}"
                    return status, head, body
        raise AssertionError


def sdp(port, direction="sendrecv", codec="0", host=HOST):
    return (
        f"v=0\r\no=raw 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP {codec}\r\na={direction}\r\n"
    )


@asynccontextmanager
async def raw_phone(server):
    async with await anyio.create_udp_socket(local_host=HOST) as udp:
        yield RawPhone(udp, server)


async def test_an_offer_without_a_codec_of_ours_is_not_acceptable():
    async with side(24000, echo) as server, raw_phone(server) as phone:
        await phone.send("INVITE", sdp(4000, codec="9"))
        status, head, _ = await phone.final()
        assert status == 488
        assert 'Warning: 399 sipcore "no audio stream, address and codec in the offer that we can take"' in head


async def test_a_broken_offer_is_a_bad_request():
    async with side(24000, echo) as server, raw_phone(server) as phone:
        await phone.send("INVITE", "v=0\r\nm=audio what RTP/AVP 0\r\n")
        assert (await phone.final())[0] == 400


async def test_hold_stops_our_audio_and_resume_starts_it():
    async with (
        side(24000, echo) as server,
        raw_phone(server) as phone,
        await anyio.create_udp_socket(local_host=HOST) as rtp,
    ):
        port = rtp.extra(anyio.abc.SocketAttribute.local_port)

        async def packets(seconds):
            count = 0
            with anyio.move_on_after(seconds):
                async for _ in rtp:
                    count += 1
            return count

        async def invite(direction):
            await phone.send("INVITE", sdp(port, direction))
            status, _, body = await phone.final()
            await phone.send("ACK", number=phone.number)
            await packets(0.2)
            return status, body

        assert (await invite("sendrecv"))[0] == 200
        assert await packets(0.5) > 20
        status, body = await invite("sendonly")
        assert status == 200
        assert "a=recvonly" in body
        assert await packets(0.3) == 0
        assert (await invite("sendrecv"))[0] == 200
        assert await packets(0.5) > 20
        await phone.send("INVITE", sdp(port, codec="18"))
        assert (await phone.final())[0] == 488
        await phone.send("ACK", number=phone.number)
        await phone.send("BYE")
        assert (await phone.final())[0] == 200
        await settled(lambda: server.media.calls == 0)


async def test_an_invite_without_an_offer_gets_ours_and_the_answer_comes_in_the_ack():
    async with (
        side(24000, echo) as server,
        raw_phone(server) as phone,
        await anyio.create_udp_socket(local_host=HOST) as rtp,
    ):
        await phone.send("INVITE")
        status, _, body = await phone.final()
        assert status == 200
        assert "m=audio" in body
        await phone.send("ACK", sdp(rtp.extra(anyio.abc.SocketAttribute.local_port)), number=phone.number)
        with anyio.fail_after(2):
            await rtp.receive()


async def test_an_answer_in_the_ack_that_cannot_be_used_ends_the_call():
    async with side(24000, echo) as server, raw_phone(server) as phone:
        await phone.send("INVITE")
        await phone.final()
        await phone.send("ACK", "v=0\r\nbroken", number=phone.number)
        with anyio.fail_after(2):
            async for data, _ in phone.udp:
                if data.startswith(b"BYE "):
                    break
        await settled(lambda: server.media.calls == 0)


# --- what crosses on the way


@asynccontextmanager
async def crossing(answer):
    """A server whose answerer makes a raw phone's messages cross with its own; it must serve the next call as ever."""
    phones = []

    async def once(invitation):
        await (answer(invitation, phones[0]) if phones and not phones[0].done else echo(invitation))

    async with side(24000, once) as server, side(24100) as other, raw_phone(server) as phone:
        phone.done = False
        phones.append(phone)
        yield phone
        await settled(lambda: server.board.calls == 0 and server.media.calls == 0)
        phone.done = True
        async with other.dial(server) as call, call.audio() as frames:
            await call.play(tone())
            assert await loudest(frames, 1.0) > 7000


async def test_a_refusal_that_crosses_a_cancel(caplog):
    async def refuse(invitation, phone):
        phone.cross("CANCEL", number=1, branch="INVITE")
        invitation.reject(486)

    async with crossing(refuse) as phone:
        await phone.send("INVITE", sdp(4000))
        assert (await phone.final())[0] == 200
        assert (await phone.final())[0] == 487
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("command", ["ring", "answer"])
async def test_an_answer_that_crosses_a_cancel(command, caplog, monkeypatch):
    async def take(invitation, phone):
        sent = getattr(phone.server.endpoint, command)

        def late(*arguments):
            monkeypatch.undo()
            phone.cross("CANCEL", number=1, branch="INVITE")
            sent(*arguments)

        monkeypatch.setattr(phone.server.endpoint, command, late)
        async with invitation.answer():
            raise AssertionError

    async with crossing(take) as phone:
        await phone.send("INVITE", sdp(4000))
        assert {(await phone.final())[0], (await phone.final())[0]} == {200, 487}
        await settled(lambda: phone.server.kinds()[-1:] == [CallEnded])
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("method", ["BYE", "INVITE"])
async def test_a_hang_up_that_crosses_a_bye_or_a_new_offer(method, caplog):
    async def hang_up(invitation, phone):
        async with invitation.answer() as call:
            phone.cross(method, sdp(4000) if method == "INVITE" else "", number=2)
            await call.hang_up()
            await call.hang_up()

    async with crossing(hang_up) as phone:
        await phone.send("INVITE", sdp(4000))
        assert (await phone.final())[0] == 200
        await phone.send("ACK", number=1)
        assert (await phone.final())[0] == (200 if method == "BYE" else 487)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_new_offer_after_the_media_engine_was_lost_ends_that_call_alone(caplog, monkeypatch):
    async def lose(invitation, phone):
        async with invitation.answer() as call:
            call._channel.on_lost()
            phone.cross("INVITE", sdp(4000), number=2)
            await call.wait_over()

    async with crossing(lose) as phone:
        await phone.send("INVITE", sdp(4000))
        assert (await phone.final())[0] == 200
        await phone.send("ACK", number=1)
        assert (await phone.final())[0] == 487
    assert "OfferReceived failed" not in caplog.text


async def test_an_answer_that_crosses_our_giving_up_is_hung_up(monkeypatch):
    async with pair(echo) as (server, phone):
        receive = phone.endpoint.receive
        with anyio.CancelScope() as patience:

            def late(data, source):
                if data.startswith(b"SIP/2.0 200"):
                    patience.cancel()
                receive(data, source)

            monkeypatch.setattr(phone.endpoint, "receive", late)
            async with phone.dial(server):
                raise AssertionError
        await settled(lambda: phone.endpoint.agent.active_sessions == 0 and server.board.calls == 0)
        assert [server.events[-1].reason, phone.events[-1].reason] == ["hangup", "bye"]


@asynccontextmanager
async def stoppable(answer):
    """A server, and what stops it; it has stopped when the block is left."""
    stop = anyio.Event()

    async def serve(*, task_status):
        async with side(24000, answer) as server:
            task_status.started(server)
            await stop.wait()

    async with anyio.create_task_group() as tasks:
        yield await tasks.start(serve), stop
        stop.set()


async def test_who_rings_when_the_server_stops_is_turned_away():
    async def slow(invitation):
        async with invitation.answer(partial(anyio.sleep, 60)):
            pass

    async with stoppable(slow) as (server, stop), raw_phone(server) as phone:
        await phone.send("INVITE", sdp(4000))
        await settled(lambda: server.media.calls == 1)
        stop.set()
        assert (await phone.final())[0] == 503


async def test_who_calls_while_the_server_says_goodbye_is_turned_away():
    async with stoppable(echo) as (server, stop), raw_phone(server) as silent, raw_phone(server) as late:
        await silent.send("INVITE", sdp(4000))
        assert (await silent.final())[0] == 200
        await silent.send("ACK", number=1)
        await settled(lambda: CallAnswered in server.kinds())
        stop.set()
        await anyio.sleep(0.1)
        await late.send("INVITE", sdp(4000))
        assert (await late.final())[0] == 503


# --- what ends with a call, and what does not


async def test_the_digits_end_with_the_call():
    async def listen(invitation):
        async with invitation.answer() as call:
            async with call.digits() as digits:
                async for _ in digits:
                    pass
            async with call.digits() as digits:
                assert [digit async for digit in digits] == []

    async with pair(listen) as (server, phone):
        async with phone.dial(server):
            await anyio.sleep(0.1)
        await settled(lambda: server.board.calls == 0)


async def test_digits_that_the_far_end_cannot_take_do_not_end_the_call():
    failed = []

    async def press(invitation):
        async with invitation.answer() as call:
            with pytest.raises(MediaError, match="takes no telephone events"):
                await call.send_digits("1")
            failed.append(call.over)

    async with side(24000, press) as server, raw_phone(server) as phone:
        await phone.send("INVITE", sdp(4000))
        await phone.final()
        await phone.send("ACK", number=1)
        await settled(lambda: failed == [False])


async def test_an_error_of_the_one_who_calls_is_not_taken_for_a_bad_answer():
    async with pair(echo) as (server, phone):
        with pytest.raises(RemoteProtocolError, match="mine"):
            async with phone.dial(server):
                raise RemoteProtocolError("mine")


async def test_a_call_whose_conversation_says_that_it_is_over_has_not_failed(caplog):
    async def grouped(invitation):
        async with invitation.answer() as call, anyio.create_task_group() as tasks:
            tasks.start_soon(call.played, 5.0)
            tasks.start_soon(call.played, 5.0)

    async with pair(grouped) as (server, phone):
        async with phone.dial(server):
            await anyio.sleep(0.1)
        await settled(lambda: server.board.calls == 0)
    assert "could not be served" not in caplog.text


async def test_whoever_fails_on_an_event_ends_its_own_call_alone(caplog):
    def broken(status):
        raise RuntimeError(status)

    async def slow(invitation):
        async with invitation.answer(partial(anyio.sleep, 0.2)) as call:
            await call.wait_over()

    async with pair(slow) as (server, phone), phone.dial(server):
        with pytest.raises(CallEndedError):
            async with phone.dial(server, on_ringing=broken):
                pass
        async with phone.dial(server):
            pass
    assert "SessionRang failed" in caplog.text


async def test_whenever_callers_give_up_nothing_is_left(caplog):
    """Thirty callers at once leave after 0 to 150 ms: while ports are opened, it rings, is answered, is spoken."""

    async def talk(invitation):
        async with invitation.answer(partial(anyio.sleep, 0.05)) as call, call.audio() as frames:
            await call.play(tone())
            async for frame in frames:
                await call.play(frame)
                await call.clear()

    async with side(24000, talk, 24199) as server, side(24200, None, 24399) as phone:

        async def call(patience):
            with anyio.move_on_after(patience):
                async with phone.dial(server) as call:
                    await call.play(tone())
                    await call.wait_over()

        async with anyio.create_task_group() as tasks:
            for number in range(30):
                tasks.start_soon(call, number * 0.005)
        for one in (server, phone):
            await settled(lambda one=one: one.board.calls == one.media.calls == one.endpoint.agent.active_sessions == 0)
            assert one.kinds().count(CallRang) == one.kinds().count(CallEnded)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_far_end_that_vanished_is_hung_up_on(caplog):
    async with side(24000, echo, silence=0.3) as server, raw_phone(server) as phone:
        await phone.send("INVITE", sdp(4000))
        await phone.final()
        await phone.send("ACK", number=phone.number)
        with anyio.fail_after(2):
            async for data, _ in phone.udp:
                if data.startswith(b"BYE "):
                    break
        assert b'Reason: SIP;text="no audio"' in data
        await settled(lambda: server.kinds()[-1] is CallEnded)
        assert server.events[-1].reason == "no audio"
    assert "no audio from the far end" in caplog.text


async def test_a_far_end_that_holds_may_be_silent():
    async with side(24000, echo, silence=0.2) as server, raw_phone(server) as phone:
        await phone.send("INVITE", sdp(4000, "recvonly"))
        await phone.final()
        await phone.send("ACK", number=phone.number)
        await anyio.sleep(0.6)
        assert server.media.calls == 1


async def test_silence_while_it_rang_does_not_end_an_answered_call():
    async def slow(invitation):
        async with invitation.answer(partial(anyio.sleep, 0.9)) as call, call.audio() as frames:
            async for frame in frames:
                await call.play(frame)

    async with (
        side(24000, slow, silence=0.4) as server,
        raw_phone(server) as phone,
        await anyio.create_udp_socket(local_host=HOST) as rtp,
    ):
        await phone.send("INVITE", sdp(rtp.extra(anyio.abc.SocketAttribute.local_port)))
        _, _, body = await phone.final()
        port = int(body.partition("m=audio ")[2].split()[0])
        await phone.send("ACK", number=phone.number)
        for number in range(40):
            header = bytes([0x80, 0]) + number.to_bytes(2, "big") + (number * 160).to_bytes(4, "big") + b"ssrc"
            await rtp.sendto(header + bytes([0xFF]) * 160, HOST, port)
            await anyio.sleep(0.02)
        assert server.media.calls == 1
        assert CallEnded not in server.kinds()
