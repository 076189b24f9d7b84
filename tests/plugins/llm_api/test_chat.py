"""A caller's words are posted to a server of one's own, and its reply comes back however it writes it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from loopback_llm import Answer, LoopbackLLM, chat, completion, events, loopback_llm, pieces, sse, stall, whole
from sipcore.plugins import Delta, Message, PluginError
from sipcore_llm_api.chat import open_chat
from sipcore_llm_api.config import Config

pytestmark = pytest.mark.anyio

KEY = "loopback-key-0123456789"
ASKED = (Message("system", "Be brief."), Message("user", "Are you open?"))
OPEN = whole(b'{"reply": "We are open."}')


async def ask(server: LoopbackLLM, **settings: Any) -> list[str]:
    """Return the pieces of the reply."""
    config = Config(**{"base_url": server.url, **settings})
    async with open_chat(config) as llm, llm.reply(ASKED) as deltas:
        return [delta.text async for delta in deltas]


async def replies(*answers: Answer, **settings: Any) -> list[str]:
    async with loopback_llm(*answers) as server:
        return await ask(server, **settings)


def lines(*items: Any) -> Sequence[bytes]:
    return [json.dumps(item).encode() + b"\n" for item in items]


async def test_the_messages_are_posted_as_they_were_said() -> None:
    async with loopback_llm(OPEN) as server:
        assert await ask(server) == ["We are open."]
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/generate")
    assert "authorization" not in request.headers
    assert request.headers["content-type"] == "application/json"
    assert request.json == {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Are you open?"}]
    }


async def test_path_key_headers_and_further_fields_can_be_set() -> None:
    async with loopback_llm(OPEN) as server:
        settings = {"path": "/v2/chat", "api_key": KEY, "headers": {"X-Tenant": "7"}, "body": {"stream": True}}
        await ask(server, base_url=f"{server.url}/llm/", **settings)
    (request,) = server.requests
    assert request.path == "/llm/v2/chat"
    assert (request.headers["authorization"], request.headers["x-tenant"]) == (f"Bearer {KEY}", "7")
    assert request.json["stream"] is True
    assert len(request.json["messages"]) == 2


async def test_the_reply_stands_where_the_settings_say() -> None:
    body = json.dumps({"choices": [{"message": {"content": "Yes."}}]}).encode()
    assert await replies(whole(body), reply_field="choices.0.message.content") == ["Yes."]
    assert await replies(whole(b'"Yes."'), reply_field="") == ["Yes."]


async def test_lines_are_said_as_they_come() -> None:
    answer = pieces(lines({"reply": "We"}, {"reply": " are"}, {"reply": " open."}), content_type="application/jsonl")
    assert await replies(answer) == ["We", " are", " open."]


async def test_the_first_word_does_not_wait_for_the_last() -> None:
    async with (
        loopback_llm(stall(lines({"reply": "We"}), "application/x-ndjson; charset=utf-8")) as server,
        open_chat(Config(base_url=server.url)) as llm,
        llm.reply(ASKED) as deltas,
    ):
        assert await anext(aiter(deltas)) == Delta("We")


async def test_the_last_line_needs_no_end() -> None:
    answer = pieces([b'{"reply": "We"}\r\n\r\n{"reply": " are"}'], content_type="application/x-ndjson")
    assert await replies(answer) == ["We", " are"]


async def test_text_that_grows_is_said_once() -> None:
    grown = lines({"reply": "We"}, {"reply": "We are"}, {"reply": "We are"}, {"reply": "We are open."})
    answer = pieces(grown, content_type="application/x-ndjson")
    assert await replies(answer, cumulative=True) == ["We", " are", " open."]


async def test_events_in_the_form_of_openai_are_understood() -> None:
    assert await replies(chat(["We", " are open."]), reply_field="choices.0.delta.content") == ["We", " are open."]


async def test_events_may_be_plain_text() -> None:
    answer = events(["We", " are", "[DONE]", "more"])
    assert await replies(answer, reply_field="") == ["We", " are"]


async def test_the_format_can_be_set_for_a_server_that_does_not_say_it() -> None:
    answer = pieces(lines({"reply": "We"}, {"reply": " are"}), content_type="text/plain")
    assert await replies(answer, format="ndjson") == ["We", " are"]


async def test_a_reply_may_be_empty() -> None:
    assert await replies(whole(b'{"reply": ""}')) == []
    assert await replies(pieces([], content_type="application/x-ndjson")) == []


async def test_leaving_the_block_drops_the_request() -> None:
    stalled = stall(lines({"reply": "We"}), "application/x-ndjson")
    async with loopback_llm(stalled) as server, open_chat(Config(base_url=server.url)) as llm:
        async with llm.reply(ASKED) as deltas:
            await anext(aiter(deltas))
            assert server.connections == 1
        with anyio.fail_after(5):
            await server.idle()


async def test_a_whole_reply_leaves_the_connection_to_the_next_turn() -> None:
    seen: list[int] = []
    streamed = events([json.dumps({"reply": "Hi"}), "[DONE]"])
    async with loopback_llm(OPEN, streamed, OPEN) as server, open_chat(Config(base_url=server.url)) as llm:
        for _ in range(3):
            async with llm.reply(ASKED) as deltas:
                assert [delta async for delta in deltas]
            seen.append(server.connections)
    assert seen == [1, 1, 1]


async def test_a_server_that_does_not_close_the_stream_after_the_reply_holds_nothing_up() -> None:
    async with loopback_llm(stall([sse(data) for data in completion(["Hi"])])) as server:
        with anyio.fail_after(5):
            assert await ask(server, reply_field="choices.0.delta.content") == ["Hi"]


async def test_an_address_that_is_none_is_told_before_the_first_call() -> None:
    with pytest.raises(PluginError, match=r"InvalidURL.*check \[llm\.api\] base_url"):
        async with open_chat(Config(base_url="http://localhost:nine")):
            pytest.fail("it opened")
