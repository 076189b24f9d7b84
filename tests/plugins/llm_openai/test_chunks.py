"""However a server streams a reply, its words and its calls of functions come out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback_llm import completion, completion_chunk, sse, tool_fragments
from sipcore.plugins import Delta, PluginError, ToolCall
from sipcore_llm_openai import chunks
from sipcore_llm_openai.chunks import ChunkReader


def read(*datas: str) -> list[Delta]:
    reader = ChunkReader(str)
    deltas = [delta for data in datas for delta in reader.feed(sse(data))]
    return [*deltas, *reader.flush()]


def calls(*deltas: Any) -> list[ToolCall]:
    return [delta.tool_call for delta in read(*completion((), deltas)) if delta.tool_call]


def test_calls_of_two_functions_are_told_apart() -> None:
    one, two = tool_fragments(0, "a", "f", '{"x"', ": 1}"), tool_fragments(1, "b", "g", "{}")
    both = [ToolCall("a", "f", '{"x": 1}'), ToolCall("b", "g", "{}")]
    assert calls(*one, *two) == both
    assert calls(one[0], two[0], one[1], two[1], one[2]) == both


def test_servers_that_number_all_calls_alike_are_understood() -> None:
    whole = [tool_fragments(0, name, "f", "{}") for name in "ab"]
    assert calls(*whole[0], *whole[1]) == [ToolCall("a", "f", "{}"), ToolCall("b", "f", "{}")]


def test_servers_that_give_no_id_and_no_arguments_are_understood() -> None:
    assert calls({"tool_calls": [{"function": {"name": "f"}}]}) == [ToolCall("call_0", "f", "{}")]


def test_while_the_model_thinks_or_calls_there_is_nothing_to_say() -> None:
    thought = completion_chunk({"reasoning_content": "Hm."})
    fragment = completion_chunk(tool_fragments(0, "a", "f")[0])
    assert ChunkReader(str).feed(sse(thought) + sse(fragment)) == [Delta(), Delta()]


def test_a_call_that_was_cut_is_not_made() -> None:
    fragment = completion_chunk(tool_fragments(0, "a", "f", '{"x')[1])
    with pytest.raises(PluginError, match=r"cut within a call of a function: raise \[llm\.openai\] max_tokens"):
        read(fragment, completion_chunk({}, "length"))


def test_nothing_after_the_end_is_read() -> None:
    assert read(*completion(["Hi"]), completion_chunk({"content": "more"}), "no json") == [Delta("Hi")]


@pytest.mark.parametrize(
    "data",
    [
        "{",
        "3",
        pytest.param("[" * 100_000, id="deep"),
        '"words"',
        "[]",
        '{"choices": 3}',
        '{"choices": ["x"]}',
        '{"choices": [{"delta": {"content": 7}}]}',
        '{"choices": [{"delta": {"content": ["Hi"]}}]}',
    ],
)
def test_what_is_no_chunk_is_quoted(data: str) -> None:
    with pytest.raises(PluginError, match=r"no chat\.completion\.chunk: "):
        read(data)


@pytest.mark.parametrize("error", [{"message": "overloaded"}, "overloaded", {"code": "overloaded"}])
def test_an_error_in_the_stream_is_told(error: Any) -> None:
    with pytest.raises(PluginError, match=r"broke the reply off: .*overloaded"):
        read(completion_chunk({"content": "Hi"}), json.dumps({"error": error}))


def test_a_reply_that_does_not_end_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "LONGEST_REPLY", 10)
    for delta in ({"content": "x" * 11}, {"reasoning": "x" * 11}, *tool_fragments(0, "a", "f", "x" * 10)[1:]):
        with pytest.raises(PluginError, match="longer than 10 characters"):
            read(completion_chunk(delta))


FIELDS = "choices delta content tool_calls function name arguments index id finish_reason error"
NAMES = st.sampled_from(FIELDS.split())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
)


@given(JSON, JSON, JSON)
def test_any_json_is_a_reply_or_a_plugin_error(chunk: Any, choice: Any, delta: Any) -> None:
    calls = {"tool_calls": [{"function": delta}, delta]}
    for value in (chunk, {"choices": [choice]}, {"choices": [{"delta": delta}]}, {"choices": [{"delta": calls}]}):
        try:
            deltas = read(json.dumps(value), "[DONE]")
        except PluginError:
            continue
        assert all(type(delta.text) is str for delta in deltas)


@given(st.data())
def test_it_does_not_matter_how_the_bytes_arrive(data: st.DataObject) -> None:
    sent = b"".join(map(sse, completion(["Grüß ", "Gott 😀"], tool_fragments(0, "a", "f", '{"x"', ": 1}"))))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=8)))
    reader = ChunkReader(str)
    deltas = [
        delta for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True) for delta in reader.feed(sent[a:b])
    ] + reader.flush()
    assert [delta for delta in deltas if delta != Delta()] == [
        Delta("Grüß "),
        Delta("Gott 😀"),
        Delta(tool_call=ToolCall("a", "f", '{"x": 1}')),
    ]
