"""Whatever goes wrong at the other end: an error that says what to do, in time, after three tries at most."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Generator
from typing import Any

import anyio
import pytest
from loopback_llm import (
    Answer,
    LoopbackLLM,
    cut_off,
    endless_line,
    events,
    hang_up,
    loopback_llm,
    no_connection,
    pieces,
    redirect,
    refusal,
    silence,
    stall,
    trickle,
    whole,
)
from sipcore.plugins import Message, PluginError
from sipcore_llm_api.chat import open_chat
from sipcore_llm_api.config import Config

pytestmark = pytest.mark.anyio

KEY = "loopback-key-0123456789"
HEADER = "header-secret-42"
WORD = b'{"reply": "Hello"}\n'
LINES = "application/x-ndjson"
BOUND = 10.0


@pytest.fixture(autouse=True)
def no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Generator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    logged = "\n".join(f"{record.getMessage()} {record.exc_text or ''}" for record in caplog.records)
    assert KEY not in logged
    assert HEADER not in logged


async def reply(server: LoopbackLLM, said: list[str], **settings: Any) -> None:
    config = Config(**{"base_url": server.url, "api_key": KEY, "headers": {"X-Key": HEADER}, **settings})
    async with open_chat(config) as llm:
        with anyio.fail_after(BOUND):
            async with llm.reply([Message("user", "Hello?")]) as deltas:
                async for delta in deltas:
                    said.append(delta.text)


async def failure(*answers: Answer, asked: int, said: str = "", **settings: Any) -> str:
    """Return the error, after so many tries and these words."""
    heard: list[str] = []
    async with loopback_llm(*answers) as server:
        with pytest.raises(PluginError) as caught:
            await reply(server, heard, **settings)
        with anyio.fail_after(5):
            await server.idle()
    assert len(server.requests) == asked
    assert "".join(heard) == said
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY not in shown
    assert HEADER not in shown
    return str(caught.value)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("400 Bad Request", r"the request is refused \(400\)"),
        ("401 Unauthorized", r"the key is refused: set \[llm\.api\] api_key"),
        ("404 Not Found", r"there is nothing at this address: correct \[llm\.api\] base_url or path"),
        ("422 Unprocessable Content", r"correct \[llm\.api\] body"),
        ("501 Not Implemented", r"the server is out of order \(501\)"),
    ],
)
async def test_what_will_not_pass_is_told_at_once(status: str, text: str) -> None:
    told = await failure(refusal(status, f"no, not with {KEY} and {HEADER}"), asked=1)
    assert re.search(text, told)
    assert "no, not with **** and ****" in told


@pytest.mark.parametrize("status", ["429 Too Many Requests", "500 Internal Server Error", "503 Service Unavailable"])
async def test_what_may_pass_is_tried_three_times(status: str) -> None:
    told = await failure(refusal(status, Retry_After="0.2"), asked=3)
    assert f"({status[:3]})" in told and "(asked 3 times)" in told


async def test_a_server_that_wants_to_be_left_alone_for_long_is() -> None:
    told = await failure(refusal("503 Service Unavailable", Retry_After="60"), asked=1)
    assert "too late to ask again in 60.0 s" in told


async def test_fewer_tries_can_be_set() -> None:
    assert "(asked once)" in await failure(refusal("500 Internal Server Error"), asked=1, tries=1)


async def test_a_long_error_page_is_not_read_to_its_end() -> None:
    async def endless_page(exchange: Any) -> None:
        await exchange.head("502 Bad Gateway", Content_Type="text/html", Transfer_Encoding="chunked")
        while True:
            await exchange.chunk(b"<br>\n" * 1000)

    told = await failure(endless_page, asked=3)
    assert "It says: <br> <br>" in told and len(told) < 400 and "\n" not in told


@pytest.mark.parametrize("fault", [refusal("500 Internal Server Error"), hang_up, cut_off([], LINES)])
async def test_what_passes_is_not_noticed(fault: Answer) -> None:
    said: list[str] = []
    async with loopback_llm(fault, fault, whole(b'{"reply": "Hello"}')) as server:
        await reply(server, said)
    assert said == ["Hello"]
    assert len(server.requests) == 3


async def test_a_closed_connection_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert "broke in the middle" in await failure(hang_up, asked=3)
    assert "httpcore.http11" in {record.name for record in caplog.records}


async def test_a_server_that_is_not_there_is_told() -> None:
    async with loopback_llm() as server:
        url = server.url
    async with open_chat(Config(base_url=url)) as llm, llm.reply([Message("user", "Hello?")]) as deltas:
        with pytest.raises(PluginError, match=r"127\.0\.0\.1:\d+ cannot be reached .*ConnectError.*base_url right"):
            await anext(aiter(deltas))


async def test_a_connection_that_does_not_come_about_is_told() -> None:
    with no_connection() as url:
        async with open_chat(Config(base_url=url, connect_timeout=0.3)) as llm:
            with (
                anyio.fail_after(BOUND),
                pytest.raises(PluginError, match=r"cannot be reached \(ConnectTimeout.*asked 3 times"),
            ):
                async with llm.reply([Message("user", "Hello?")]) as deltas:
                    await anext(aiter(deltas))


async def test_no_answer_in_time_is_told() -> None:
    told = await failure(silence, asked=1, first_token_timeout=0.5)
    assert told.startswith("no reply began within 0.5 s: raise [llm.api] first_token_timeout")


@pytest.mark.parametrize("content_type", [LINES, "application/json"])
async def test_a_byte_a_second_is_no_answer_in_time(content_type: str) -> None:
    slow = trickle(WORD, content_type)
    assert "no reply began within 1.5 s" in await failure(slow, asked=1, first_token_timeout=1.5)


async def test_a_reply_that_stops_is_told() -> None:
    told = await failure(stall([WORD], LINES), asked=1, said="Hello", token_timeout=0.5)
    assert told.startswith("the reply stopped for 0.5 s: raise [llm.api] token_timeout")


async def test_half_a_stream_is_told_and_not_said_again() -> None:
    told = await failure(cut_off([WORD], LINES), asked=1, said="Hello")
    assert "broke in the middle" in told


async def test_half_a_document_is_asked_for_again() -> None:
    assert "broke in the middle" in await failure(cut_off([WORD[:9]], "application/json"), asked=3)


async def test_bad_json_is_quoted() -> None:
    told = await failure(events([f'{{"reply": {KEY}']), asked=1)
    assert told == 'the reply is not JSON: {"reply": ****'


async def test_an_error_in_the_stream_is_told() -> None:
    told = await failure(
        pieces([WORD, f'{{"error": "no memory {KEY}"}}'.encode()], content_type=LINES), asked=1, said="Hello"
    )
    assert told == "the server tells of an error: no memory ****"


async def test_what_is_no_reply_is_told() -> None:
    told = await failure(whole(b"<html>", "text/html"), asked=1)
    assert told.startswith("the answer is text/html, expected application/json, ")
    assert "are [llm.api] base_url and path right?" in told


async def test_a_redirect_is_not_followed_with_the_key() -> None:
    async with loopback_llm() as other:
        told = await failure(redirect(f"{other.url}/elsewhere"), asked=1)
        assert f"redirects to {other.url}/elsewhere: set [llm.api] base_url" in told
        assert other.requests == []


@pytest.mark.parametrize("content_type", [LINES, "text/event-stream", "application/json"])
async def test_a_line_that_never_ends_is_not_kept(content_type: str) -> None:
    assert "1048576 bytes" in await failure(endless_line(content_type), asked=1)


async def test_a_stream_that_never_ends_is_broken_off() -> None:
    told = await failure(pieces([WORD] * 30, content_type=LINES), asked=1, said="Hello" * 20, max_reply=100)
    assert "longer than 100 characters" in told


async def test_a_field_that_cannot_be_sent_is_told() -> None:
    told = await failure(silence, asked=0, body={"when": object()})
    assert "the request could not be written (TypeError" in told


@pytest.mark.parametrize("settings", [{"api_key": f"{KEY}\n2"}, {"headers": {"X": f"{KEY}ß"}}, {"api_key": [KEY]}])
def test_a_key_that_cannot_be_sent_is_refused_unseen(settings: Any) -> None:
    with pytest.raises(ValueError, match="Config") as caught:
        Config(**settings)
    assert KEY not in str(caught.value)
    assert KEY not in repr(Config(api_key=KEY))


@pytest.mark.parametrize(
    "settings",
    [{"base_url": "api.example.com"}, {"base_url": "http://user:pass@x"}, {"path": "chat"}, {"path": "/a?b"}],
)
def test_an_address_that_cannot_be_right_is_refused(settings: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Config(**settings)
