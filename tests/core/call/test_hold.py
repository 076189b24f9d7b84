"""call/hold.py and media_session.py: who holds whom, between two switchboards and with a phone that we script."""

import re

import anyio
import numpy as np
import pytest
from sipcore.audio.frame import AudioFrame
from sipcore.errors import CallEndedError, CallFailedError

pytestmark = pytest.mark.anyio
TICKS = 0.2
"""Seconds in which the media engines take what was agreed on, on a busy machine."""


def directions(sent, way):
    """The directions of the SDP that went one way, with the INVITE's or the answer's SDP version."""
    found = []
    for passed, text in sent:
        if passed == way and "m=audio" in text:
            (version,) = re.findall(r"^o=\S+ \S+ (\d+) ", text, re.MULTILINE)
            found.append((re.findall(r"^a=(sendrecv|sendonly|recvonly|inactive)", text, re.MULTILINE)[0], int(version)))
    return found


def tone(seconds=0.5):
    wave = np.sin(2 * np.pi * 440 * np.arange(round(seconds * 8000)) / 8000) * 8000
    return AudioFrame.from_samples(wave.astype(np.int16), 8000)


async def loudest(frames, seconds):
    peak = 0
    with anyio.move_on_after(seconds):
        async for frame in frames:
            peak = max(peak, int(np.abs(frame.samples).max()))
    return peak


async def test_what_is_queued_waits_until_the_call_is_resumed(talk):
    async with talk() as (call, other, sent), other.audio() as frames:
        await call.hold()
        await anyio.sleep(TICKS)
        end = await call.play(tone())
        assert await loudest(frames, 0.6) < 100
        await call.resume()
        assert await loudest(frames, 0.6) > 7000
        assert await call.played(end) is not None
        assert directions(sent, "out") == [("sendrecv", 1), ("sendonly", 2), ("sendrecv", 3)]
        assert directions(sent, "in") == [("sendrecv", 1), ("recvonly", 2), ("sendrecv", 3)]


async def test_the_held_side_sends_nothing_and_is_heard_again_after_resume(talk):
    async with talk() as (call, other, _), call.audio() as frames:
        await call.hold()
        await anyio.sleep(TICKS)
        await other.play(tone())
        assert await loudest(frames, 0.6) < 100
        await call.resume()
        assert await loudest(frames, 0.6) > 7000


async def test_holding_twice_is_once(talk):
    async with talk() as (call, _, sent):
        await call.resume()
        await call.hold()
        await call.hold()
        assert len(directions(sent, "out")) == 2


async def test_both_sides_may_hold(talk):
    async with talk() as (call, other, sent), other.audio() as frames:
        await call.hold()
        await other.hold()
        assert directions(sent, "in")[-1][0] == "inactive"
        assert directions(sent, "out")[-1][0] == "inactive"
        await call.resume()
        assert directions(sent, "out")[-1][0] == "sendrecv"
        assert directions(sent, "in")[-1][0] == "sendonly"
        await call.hold()
        assert directions(sent, "out")[-1][0] == "inactive"
        await other.resume()
        assert directions(sent, "in")[-1][0] == "sendrecv"
        assert directions(sent, "out")[-1][0] == "sendonly"
        await call.resume()
        await call.play(tone())
        assert await loudest(frames, 0.8) > 7000


@pytest.mark.parametrize("attempt", range(3))
async def test_both_sides_may_hold_at_once(talk, attempt):
    async with talk() as (call, other, sent), anyio.create_task_group() as tasks:
        with anyio.fail_after(10):
            tasks.start_soon(call.hold)
            tasks.start_soon(other.hold)
            while any(side._hold.is_waiting or not side._media.held for side in (call, other)):
                await anyio.sleep(0.01)
        assert any("491" in text.split("\r\n")[0] for _, text in sent)
        for way in ("in", "out"):
            versions = [version for _, version in directions(sent, way)]
            assert versions == sorted(versions)
        assert call._media.agreement.direction == other._media.agreement.direction == "inactive"


async def test_a_held_call_may_be_silent(talk):
    async with talk(silence=0.3) as (call, other, _):
        await call.hold()
        await anyio.sleep(0.8)
        assert not call.over
        await call.resume()
        await anyio.sleep(0.5)
        assert not other.over


async def test_a_call_that_ends_ends_the_waiting_too(talk):
    async with talk() as (call, other, _):
        await other.hang_up()
        await call.wait_over()
        with pytest.raises(CallEndedError):
            await call.hold()


async def test_whoever_asked_may_be_cancelled(talk):
    async with talk() as (call, _, sent):
        with anyio.move_on_after(0):
            await call.hold()
        await call.hold()
        await call.resume()
        assert directions(sent, "out")[-1][0] == "sendrecv"


async def fails(command, errors):
    try:
        await command()
    except CallFailedError as error:
        errors.append(error)


async def test_a_refused_hold_leaves_the_call_as_it_was(scripted):
    async with scripted() as (call, far):
        errors = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fails, call.hold, errors)
            await far.answer(await far.receive("INVITE"), "488 Not Acceptable Here")
        assert [(error.status, error.reason) for error in errors] == [(488, "Not Acceptable Here")]
        assert not call.over
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.hold)
            offer = await far.receive("INVITE")
            assert b"a=sendonly" in offer.body
            await far.answer(offer, "200 OK", far.sdp("recvonly"))


@pytest.mark.parametrize("body", ["", "v=0\r\nrubbish\r\n"])
async def test_an_answer_that_cannot_be_used_is_a_refusal(scripted, body):
    async with scripted() as (call, far):
        errors = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fails, call.hold, errors)
            await far.answer(await far.receive("INVITE"), "200 OK", body)
        assert [error.status for error in errors] == [488]
        assert not call.over


async def test_our_offer_is_made_again_after_the_far_ends(scripted):
    async with scripted() as (call, far), anyio.create_task_group() as tasks:
        tasks.start_soon(call.hold)
        first = await far.receive("INVITE")
        await far.answer(first, "491 Request Pending")
        await far.receive("ACK")
        await far.send("UPDATE")
        assert (await far.response()).status == 200
        await far.send("INVITE")
        assert (await far.response()).status == 491
        kind = "Content-Type: application/sdp\r\n"
        await far.send("UPDATE", far.sdp("sendonly"), kind)
        answer = await far.response()
        assert b"a=recvonly" in answer.body
        again = await far.receive("INVITE")
        assert b"a=inactive" in again.body
        versions = [int(message.body.split()[3]) for message in (first, answer, again)]
        assert versions == [2, 3, 4]
        await far.answer(again, "200 OK", far.sdp("inactive"))


async def test_the_far_ends_offers_are_answered_as_our_hold_allows(scripted):
    async with scripted() as (call, far):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.hold)
            await far.answer(await far.receive("INVITE"), "200 OK", far.sdp("recvonly"))
        expected = {"sendrecv": "sendonly", "recvonly": "sendonly", "sendonly": "inactive", "inactive": "inactive"}
        for offered, answered in expected.items():
            await far.send("UPDATE", far.sdp(offered), "Content-Type: application/sdp\r\n")
            assert f"a={answered}".encode() in (await far.response()).body
