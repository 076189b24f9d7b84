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
    chat,
    completion_chunk,
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
    sse,
    stall,
    trickle,
    whole,
)
from sipcore.plugins import Message, PluginError
from sipcore_llm_openai.chat import open_chat
from sipcore_llm_openai.config import Config

pytestmark = pytest.mark.anyio

KEY = "sk-loopback-0123456789"
HEADER = "header-secret-42"
WORD = sse(completion_chunk({"content": "Hello"}))
BOUND = 10.0


@pytest.fixture(autouse=True)
def no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Generator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    logged = "\n".join(f"{record.getMessage()} {record.exc_text or ''}" for record in caplog.records)
    assert KEY not in logged
    assert HEADER not in logged


async def reply(server: LoopbackLLM, said: list[str], **settings: Any) -> None:
    config = Config(**{"base_url": f"{server.url}/v1", "api_key": KEY, "headers": {"X-Key": HEADER}, **settings})
    async with open_chat(config) as llm:
        with anyio.fail_after(BOUND):
            async with llm.reply([Message("user", "Hello?")]) as deltas:
                async for delta in deltas:
                    said.append(delta.text)
            await server.idle()


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


async def recovered(*answers: Answer) -> int:
    """Return how many tries it took to a whole reply."""
    said: list[str] = []
    async with loopback_llm(*answers, chat(["Hello"])) as server, open_chat(Config(base_url=server.url)) as llm:
        with anyio.fail_after(BOUND):
            async with llm.reply([Message("user", "Hello?")]) as deltas:
                said = [delta.text async for delta in deltas]
    assert said == ["Hello"]
    return len(server.requests)


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        ("400 Bad Request", "context_length_exceeded", r"the request is refused \(400\)"),
        ("401 Unauthorized", "invalid_api_key", r"the key is refused: set OPENAI_API_KEY, or \[llm\.openai\] api_key"),
        ("403 Forbidden", None, "the key may not do this"),
        (
            "404 Not Found",
            "model_not_found",
            r"model gpt-4o-mini: there is no such model.*\[llm\.openai\] model",
        ),
        ("418 I'm a Teapot", None, r"the request is refused \(418\)"),
        ("429 Too Many Requests", "insufficient_quota", "no credit left .*check its plan and billing"),
        ("501 Not Implemented", None, r"the server is out of order \(501\)"),
    ],
)
async def test_what_will_not_pass_is_told_at_once(status: str, code: str | None, text: str) -> None:
    told = await failure(refusal(status, f"no, not with {KEY} and {HEADER}", code), asked=1)
    assert re.search(text, told)
    assert "no, not with **** and ****" in told


async def test_too_many_requests_are_tried_again_when_the_server_says() -> None:
    told = await failure(refusal("429 Too Many Requests", "slow down", Retry_After="0.3"), asked=3)
    assert "too many requests" in told and "slow down (asked 3 times)" in told


async def test_a_server_that_wants_to_be_left_alone_for_long_is() -> None:
    told = await failure(refusal("429 Too Many Requests", "slow down", Retry_After="60"), asked=1)
    assert "too late to ask again in 60.0 s" in told


@pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Service Unavailable"])
async def test_a_server_that_is_out_of_order_is_tried_three_times(status: str) -> None:
    assert f"out of order ({status[:3]})" in await failure(refusal(status), asked=3)


async def test_fewer_tries_can_be_set() -> None:
    assert "(asked 2 times)" in await failure(refusal("500 Internal Server Error"), asked=2, tries=2)


async def test_an_error_page_is_quoted_in_one_short_line() -> None:
    page = f"<html>\n<h1>Bad gateway {KEY}</h1>\n{'x' * 5000}".encode()
    told = await failure(whole(page, "text/html", "502 Bad Gateway"), asked=3)
    assert "It says: <html> <h1>Bad gateway ****</h1>" in told
    assert len(told) < 500 and "\n" not in told


@pytest.mark.parametrize(
    "fault", [refusal("500 Internal Server Error"), refusal("429 Too Many Requests"), hang_up, cut_off([])]
)
async def test_what_passes_is_not_noticed(fault: Answer) -> None:
    assert await recovered(fault, fault) == 3


async def test_a_closed_connection_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert "cannot be reached" in await failure(hang_up, asked=3)
    logged = " ".join(record.name for record in caplog.records)
    assert "openai." in logged and "httpcore" in logged


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
                pytest.raises(PluginError, match=r"could not be reached in time.*asked 3 times"),
            ):
                async with llm.reply([Message("user", "Hello?")]) as deltas:
                    await anext(aiter(deltas))


async def test_no_answer_in_time_is_told() -> None:
    told = await failure(silence, asked=1, first_token_timeout=0.5)
    assert told.startswith("no reply began within 0.5 s: raise [llm.openai] first_token_timeout")


async def test_a_byte_a_second_is_no_answer_in_time() -> None:
    assert "no reply began within 1.5 s" in await failure(trickle(WORD), asked=1, first_token_timeout=1.5)


async def test_a_reply_that_stops_is_told() -> None:
    told = await failure(stall([WORD]), asked=1, said="Hello", token_timeout=0.5)
    assert told.startswith("the reply stopped for 0.5 s: raise [llm.openai] token_timeout")


async def test_comments_do_not_count_as_words() -> None:
    told = await failure(pieces([WORD, *([b": ping\n\n"] * 50)], pause=0.1), asked=1, said="Hello", token_timeout=0.5)
    assert "the reply stopped" in told


@pytest.mark.parametrize("end", [cut_off([WORD]), events([completion_chunk({"content": "Hello"})])])
async def test_half_a_reply_is_told_and_not_said_again(end: Answer) -> None:
    told = await failure(end, asked=1, said="Hello")
    assert "connection" in told


async def test_bad_json_is_quoted() -> None:
    told = await failure(events([f'{{"choices": {KEY}']), asked=1)
    assert told == 'a chunk of the reply is no chat.completion.chunk: {"choices": ****'


async def test_an_error_in_the_stream_is_told() -> None:
    told = await failure(cut_off([WORD, sse(f'{{"error": {{"message": "no memory {KEY}"}}}}')]), asked=1, said="Hello")
    assert told == "the server broke the reply off: no memory ****"


@pytest.mark.parametrize("content_type", ["text/html", "application/json"])
async def test_what_is_no_stream_is_told(content_type: str) -> None:
    told = await failure(whole(b"<html>", content_type), asked=1)
    assert told.startswith(f"the answer is {content_type}, expected text/event-stream: is [llm.openai] base_url right")


async def test_a_redirect_is_not_followed_with_the_key() -> None:
    async with loopback_llm() as other:
        told = await failure(redirect(f"{other.url}/elsewhere"), asked=1)
        assert f"redirects to {other.url}/elsewhere: set [llm.openai] base_url" in told
        assert other.requests == []


async def test_a_line_that_never_ends_is_not_kept() -> None:
    assert "longer than 1048576 bytes" in await failure(endless_line(), asked=1)


async def test_a_field_that_cannot_be_sent_is_told() -> None:
    told = await failure(chat(), asked=0, body={"when": object()})
    assert "the request could not be written (TypeError" in told
    assert "check [llm.openai] headers and body" in told


@pytest.mark.parametrize(
    "settings", [{"api_key": f"{KEY}\n2"}, {"api_key": f"{KEY}ß"}, {"headers": {"X": f"{KEY}\n2"}}]
)
def test_a_key_that_cannot_be_sent_is_refused_unseen(settings: Any) -> None:
    with pytest.raises(ValueError, match="expected printable ASCII") as caught:
        Config(**settings)
    assert KEY not in str(caught.value)


def test_white_space_around_a_key_is_dropped() -> None:
    key = Config(api_key=f" {KEY}\n").api_key
    assert key is not None and key.get_secret_value() == KEY
    assert KEY not in repr(Config(api_key=KEY))


@pytest.mark.parametrize("url", ["api.example.com", "ftp://x", "http://user:pass@x/v1", "http://x/v1?key=1", "http://"])
def test_an_address_that_cannot_be_right_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        Config(base_url=url)
