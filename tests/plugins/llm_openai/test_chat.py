"""A caller's words go to a server that speaks OpenAI's chat completions, and its words come back as it writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from loopback_llm import (
    Answer,
    LoopbackLLM,
    chat,
    completion,
    completion_chunk,
    events,
    loopback_llm,
    sse,
    stall,
    tool_fragments,
)
from sipcore.plugins import Delta, Message, PluginError, Tool, ToolCall
from sipcore_llm_openai.chat import open_chat
from sipcore_llm_openai.config import Config

pytestmark = pytest.mark.anyio

KEY = "sk-loopback-0123456789"
ASKED = (Message("system", "Be brief."), Message("user", "Are you open?"))
WEATHER = Tool("weather", "The weather in a town.", {"type": "object", "properties": {"town": {"type": "string"}}})


async def ask(
    server: LoopbackLLM, messages: Sequence[Message] = ASKED, tools: Sequence[Tool] = (), **settings: Any
) -> list[Delta]:
    """Return what the server replies, but for the empty deltas."""
    config = Config(**{"api_key": KEY, "base_url": f"{server.url}/v1", **settings})
    async with open_chat(config) as llm, llm.reply(messages, tools) as deltas:
        return [delta async for delta in deltas if delta != Delta()]


async def replies(*answers: Answer, **settings: Any) -> list[Delta]:
    async with loopback_llm(*answers) as server:
        return await ask(server, **settings)


async def body(**settings: Any) -> Any:
    """Return what a request with these settings says."""
    async with loopback_llm() as server:
        await ask(server, **settings)
        return server.requests[0].json


async def test_the_words_come_as_they_are_written() -> None:
    assert await replies(chat(["We", " are", " open."])) == [Delta("We"), Delta(" are"), Delta(" open.")]


async def test_the_first_word_does_not_wait_for_the_last() -> None:
    async with (
        loopback_llm(stall([sse(completion_chunk({"content": "Hello"}))])) as server,
        open_chat(Config(base_url=server.url)) as llm,
        llm.reply(ASKED) as deltas,
    ):
        assert await anext(aiter(deltas)) == Delta("Hello")


async def test_the_request_says_what_was_said_so_far() -> None:
    async with loopback_llm() as server:
        await ask(server, temperature=0.5, organization="org-1", project="proj-1")
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert (request.headers["openai-organization"], request.headers["openai-project"]) == ("org-1", "proj-1")
    assert request.json == {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Are you open?"}],
        "model": "gpt-4o-mini",
        "temperature": 0.5,
        "stream": True,
    }


async def test_a_server_of_ones_own_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    async with loopback_llm() as server:
        await ask(server, api_key="")
    assert "authorization" not in server.requests[0].headers


async def test_openai_without_a_key_is_told_before_the_first_call() -> None:
    with pytest.raises(PluginError, match=r"OPENAI_API_KEY, or \[llm\.openai\] api_key"):
        async with open_chat(Config()):
            pytest.fail("it opened")


async def test_openai_itself_is_the_default() -> None:
    async with open_chat(Config(api_key=KEY)) as llm:
        assert str(llm._client.base_url) == "https://api.openai.com/v1/"
        assert llm._client.max_retries == 0


async def test_further_headers_and_fields_are_sent() -> None:
    async with loopback_llm() as server:
        await ask(server, headers={"api-key": "secret"}, body={"reasoning_effort": "low", "keep_alive": 60})
    (request,) = server.requests
    assert request.headers["api-key"] == "secret"
    assert (request.json["reasoning_effort"], request.json["keep_alive"]) == ("low", 60)


async def test_the_longest_reply_is_told_under_the_name_that_the_server_knows() -> None:
    assert (await body(max_tokens=99))["max_tokens"] == 99
    assert (await body(max_tokens=99, max_tokens_name="max_completion_tokens"))["max_completion_tokens"] == 99
    assert Config(max_tokens=99).request()["max_completion_tokens"] == 99
    assert Config(max_tokens=99, base_url="https://x.openai.azure.com/openai/v1").request() == {
        "model": "gpt-4o-mini",
        "max_completion_tokens": 99,
    }
    assert Config(max_tokens=99, max_tokens_name="max_tokens").request()["max_tokens"] == 99


async def test_a_function_that_the_model_calls_comes_whole() -> None:
    fragments = tool_fragments(0, "call_a", "weather", '{"to', 'wn": "Bonn"}')
    async with loopback_llm(chat(["One moment."], fragments)) as server:
        deltas = await ask(server, tools=[WEATHER])
    assert deltas == [Delta("One moment."), Delta(tool_call=ToolCall("call_a", "weather", '{"town": "Bonn"}'))]
    assert server.requests[0].json["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "description": "The weather in a town.",
                "parameters": {"type": "object", "properties": {"town": {"type": "string"}}},
            },
        }
    ]


async def test_the_model_is_told_what_the_function_gave() -> None:
    call = ToolCall("call_a", "weather", "{}")
    messages = [
        Message("user", "How is the weather?"),
        Message("assistant", "", tool_calls=(call,)),
        Message("tool", "Rain.", tool_call_id="call_a"),
    ]
    async with loopback_llm() as server:
        await ask(server, messages)
    function = {"name": "weather", "arguments": "{}"}
    assert server.requests[0].json["messages"] == [
        {"role": "user", "content": "How is the weather?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_a", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "call_a", "content": "Rain."},
    ]


async def test_leaving_the_block_drops_the_request() -> None:
    stalled = stall([sse(completion_chunk({"content": "Hello"}))])
    async with loopback_llm(stalled) as server, open_chat(Config(base_url=server.url)) as llm:
        async with llm.reply(ASKED) as deltas:
            await anext(aiter(deltas))
            assert server.connections == 1
        with anyio.fail_after(5):
            await server.idle()


async def test_cancelling_drops_the_request_also_before_the_first_word() -> None:
    async with loopback_llm(stall([])) as server, open_chat(Config(base_url=server.url)) as llm:
        async with anyio.create_task_group() as tasks:

            async def listen() -> None:
                async with llm.reply(ASKED) as deltas:
                    async for _ in deltas:
                        pytest.fail("nothing was said")

            tasks.start_soon(listen)
            while not server.requests:
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        with anyio.fail_after(5):
            await server.idle()


async def test_a_whole_reply_leaves_the_connection_to_the_next_turn() -> None:
    seen: list[int] = []

    async with loopback_llm() as server, open_chat(Config(base_url=server.url)) as llm:
        for _ in range(3):
            async with llm.reply(ASKED) as deltas:
                assert [delta async for delta in deltas]
            seen.append(server.connections)
    assert seen == [1, 1, 1]
    assert len(server.requests) == 3


async def test_a_server_that_does_not_close_the_stream_after_the_reply_holds_nothing_up() -> None:
    async with loopback_llm(stall([sse(data) for data in completion(["Hi"])])) as server:
        with anyio.fail_after(5):
            assert await ask(server) == [Delta("Hi")]


async def test_a_reply_that_only_says_why_it_ended_is_whole() -> None:
    chunks = [completion_chunk({"content": "Hi"}), completion_chunk({}, "length")]
    assert await replies(events(chunks)) == [Delta("Hi")]
