"""The server: its calls, their recordings and conversations. Real sockets on loopback, no plugin."""

import logging
import os
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest
from pydantic import BaseModel
from sipcore.app import server as server_module
from sipcore.app.config import load_settings
from sipcore.app.engines import Choice, Plan
from sipcore.app.phone import open_phone
from sipcore.app.server import open_server
from sipcore.audio.frame import AudioFrame
from sipcore.errors import CallFailedError
from sipcore.plugins import CallAnswered, CallEnded, CallRang, Provider, RecordingStarted
from sipcore.sip.uri import Uri

pytestmark = pytest.mark.anyio
HOST = "127.0.0.1"
OLD_RECORDING, OLD_REPLY = "19700101-000000_incoming_alice_ab12cd.wav", "19700101-000000_ab12cd_1.wav"


class Config(BaseModel):
    """No settings."""


class Conversation:
    """Talks by the function that it is made of."""

    def __init__(self, converse):
        self.converse = converse


async def until_over(call):
    async with call.audio() as frames:
        async for _ in frames:
            pass


@asynccontextmanager
async def running(tmp_path, converse=until_over, observers=(), **overrides):
    """A server with a conversation of its own; a phone, and what to dial."""
    settings = load_settings(
        overrides={
            "SIP_LOCAL_IP": HOST,
            "SIP_LOCAL_PORT": 25062,
            "RTP_PORT_START": 25100,
            "RTP_PORT_END": 25139,
            "media": {"mode": "thread"},
            **overrides,
        },
        environ={},
        cwd=tmp_path,
    )
    events = []

    @asynccontextmanager
    async def opened(config):
        yield Conversation(converse)

    plan = Plan(settings.assistant[0])
    plan.choices["conversation"] = Choice("conversation", Provider("mine", Config, opened), Config())
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(open_server(settings, plan, [*observers, events.append]))
        phone = await stack.enter_async_context(open_phone(HOST, rtp_ports=(25200, 25239), mode="thread"))
        yield phone, f"sip:assistant@{HOST}:25062", events


async def settled(condition, seconds=3.0):
    with anyio.fail_after(seconds):
        while not condition():
            await anyio.sleep(0.01)


def kinds(events):
    return [type(event) for event in events]


async def test_a_call_is_answered_recorded_and_logged(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    async with running(tmp_path) as (phone, uri, events):
        async with phone.dial(uri) as call:
            await call.play(AudioFrame(bytes(16000), 8000))
            await anyio.sleep(0.3)
        await settled(lambda: "packets sent" in caplog.text)
    assert kinds(events) == [CallRang, CallAnswered, RecordingStarted, CallEnded]
    (recording,) = (tmp_path / "recording").iterdir()
    assert recording.stat().st_size > 44 + 3000
    assert "call ended: hangup" in caplog.text


async def test_at_most_so_many_calls_at_once_and_of_two_at_the_same_moment_the_first_is_taken(tmp_path):
    async with running(tmp_path, sip={"max_calls": 1}) as (phone, uri, _):
        answers = []

        async def call():
            try:
                async with phone.dial(uri):
                    answers.append(200)
                    await anyio.sleep(0.5)
            except CallFailedError as error:
                answers.append(error.status)

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(call)
        assert sorted(answers) == [200, 503, 503]
        await anyio.sleep(0.1)
        await call()
        assert answers[-1] == 200


async def test_a_conversation_that_fails_hangs_up_and_the_media_are_told_of(tmp_path, caplog):
    caplog.set_level(logging.INFO)

    async def broken(call):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fail)
            await call.wait_over()

    async def fail():
        raise RuntimeError("broken")

    async with running(tmp_path, broken) as (phone, uri, _):
        async with phone.dial(uri) as call:
            assert await call.wait_over() == "hangup"
        await settled(lambda: "packets sent" in caplog.text)
    assert "the conversation failed" in caplog.text


async def test_a_caller_who_hangs_up_is_no_failure_whatever_the_conversation_was_doing(tmp_path, caplog):
    caplog.set_level(logging.INFO)

    async def talk(call):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.played, 1000.0)
            tasks.start_soon(call.played, 1000.0)

    async with running(tmp_path, talk) as (phone, uri, _):
        async with phone.dial(uri):
            await anyio.sleep(0.1)
        await settled(lambda: "packets sent" in caplog.text)
    assert "failed" not in caplog.text


async def test_a_conversation_that_does_not_notice_the_end_is_cancelled(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(server_module, "LINGER_SECONDS", 0.1)

    async def deaf(call):
        await anyio.sleep_forever()

    async with running(tmp_path, deaf) as (phone, uri, events):
        async with phone.dial(uri):
            pass
        await settled(lambda: kinds(events)[-1] is CallEnded)
    assert "did not end with its call" in caplog.text


async def test_an_observer_that_fails_is_told_of_and_disturbs_nobody(tmp_path, caplog):
    def broken(event):
        raise RuntimeError("broken")

    async with running(tmp_path, observers=[broken]) as (phone, uri, events):
        async with phone.dial(uri):
            pass
        await settled(lambda: kinds(events)[-1:] == [CallEnded])
    assert "an observer failed on CallAnswered" in caplog.text


async def test_files_that_become_too_old_go_while_the_server_runs(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(server_module, "TIDY_SECONDS", 0.05)
    recording, reply = tmp_path / "recording" / OLD_RECORDING, tmp_path / "output" / "response" / OLD_REPLY
    mine = tmp_path / "output" / "response" / "mine.wav"
    async with running(tmp_path, MAX_RECORDING_AGE_DAYS=1, OUTPUT_DIR=str(tmp_path / "output")):
        for path in (recording, reply, mine):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
            os.utime(path, (0, 0))
        await settled(lambda: not recording.exists() and not reply.exists())
    assert mine.exists()
    assert caplog.text.count("is older than 1 days: removed") == 0, "at INFO"


async def test_a_folder_that_cannot_be_tidied_is_told_and_the_server_goes_on(tmp_path, monkeypatch, caplog):
    def fails(*_):
        raise PermissionError("not yours")

    monkeypatch.setattr(server_module, "TIDY_SECONDS", 0.05)
    async with running(tmp_path) as (phone, uri, events):
        monkeypatch.setattr(server_module, "remove_old", fails)
        await settled(lambda: "old recordings could not be removed: not yours" in caplog.text)
        async with phone.dial(uri):
            pass
        await settled(lambda: kinds(events)[-1:] == [CallEnded])


async def test_a_call_that_cannot_be_recorded_goes_on(tmp_path, caplog):
    async with running(tmp_path) as (phone, uri, events):
        (tmp_path / "recording").rmdir()
        (tmp_path / "recording").write_text("in the way")
        async with phone.dial(uri):
            pass
        await settled(lambda: kinds(events)[-1] is CallEnded)
    assert "the call is not recorded" in caplog.text
    assert RecordingStarted not in kinds(events)


async def test_a_second_call_with_the_same_call_id_is_refused_and_the_first_goes_on(tmp_path, caplog):
    target, destination = Uri.parse(f"sip:assistant@{HOST}:25062"), (HOST, 25062)
    async with (
        running(tmp_path) as (phone, _, events),
        open_phone(HOST, rtp_ports=(25300, 25339), mode="thread") as other,
    ):
        async with phone._switchboard.place(target, destination, call_id="the-same") as first:
            await first.wait_answered()
            async with other._switchboard.place(target, destination, call_id="the-same") as second:
                with pytest.raises(CallFailedError, match="482"):
                    await second.wait_answered()
            await anyio.sleep(0.1)
            assert not first.call.over
        await settled(lambda: kinds(events).count(CallEnded) == 2)
    assert "another call with this Call-ID is up" in caplog.text
