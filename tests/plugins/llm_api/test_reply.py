"""What a server writes becomes a reply, or an error that quotes it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sipcore.plugins import PluginError
from sipcore_llm_api.config import Config
from sipcore_llm_api.reply import ReplyReader, format_of


def read(form: Any, data: bytes, **settings: Any) -> list[str]:
    reader = ReplyReader(form, Config(**settings), str)
    return [*reader.feed(data), *reader.flush()]


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("application/json", "json"),
        ("Application/JSON; charset=utf-8", "json"),
        ("application/x-ndjson", "ndjson"),
        ("text/event-stream;charset=UTF-8", "sse"),
    ],
)
def test_the_content_type_says_the_format(content_type: str, form: str) -> None:
    assert format_of(content_type, Config()) == form
    assert format_of(content_type, Config(format="sse")) == "sse"


@pytest.mark.parametrize("content_type", ["", "text/html"])
def test_an_unknown_content_type_is_told(content_type: str) -> None:
    with pytest.raises(PluginError, match=r"the answer is .*expected application/json.*set \[llm\.api\] format"):
        format_of(content_type, Config())


@pytest.mark.parametrize(
    ("data", "settings", "text"),
    [
        (b'{"text": "Hi"}', {}, r"no field 'reply': set \[llm\.api\] reply_field\. It is \{\"text\": \"Hi\"\}"),
        (b"[1]", {"reply_field": "3"}, "no field '3'"),
        (b'{"a": "x"}', {"reply_field": "a.b"}, "no field 'a.b'"),
        (b"null", {"reply_field": ""}, "no text"),
        (b'{"reply": 7}', {}, "expected a string as field 'reply'"),
        (b"7", {"reply_field": ""}, "expected a string as text"),
        (b"Hi", {}, "is not JSON: Hi"),
        pytest.param(b"[" * 60000, {}, "is not JSON", id="deep"),
        (b'{"error": {"message": "no memory"}}', {}, "tells of an error: .*no memory"),
        (b'{"reply": "too long"}', {"max_reply": 7}, r"longer than 7 characters: raise \[llm\.api\] max_reply"),
        (b'{"reply": "' + b"x" * 99, {"max_line": 64}, r"more than 64 bytes: raise \[llm\.api\] max_line"),
    ],
)
def test_what_is_no_reply_is_told(data: bytes, settings: Any, text: str) -> None:
    with pytest.raises(PluginError, match=text):
        read("json", data, **settings)


def test_items_without_text_are_left_out_but_not_all_of_them() -> None:
    items = [{"role": "assistant"}, {"reply": None}, {"reply": "Hi"}, {"usage": 3, "error": None}]
    data = b"".join(json.dumps(item).encode() + b"\n" for item in items)
    assert read("ndjson", data) == ["Hi"]
    with pytest.raises(PluginError, match=r"no field 'text'.* It is .*assistant"):
        read("ndjson", data, reply_field="text")


def test_text_that_does_not_grow_is_told() -> None:
    with pytest.raises(PluginError, match="cumulative = false"):
        read("ndjson", b'{"reply": "We"}\n{"reply": " are"}\n', cumulative=True)


def test_a_whole_reply_is_not_cumulative() -> None:
    assert read("json", b'{"reply": "We are"}', cumulative=True) == ["We are"]


def test_a_line_that_is_too_long_is_not_kept() -> None:
    with pytest.raises(PluginError, match="longer than 64 bytes"):
        read("ndjson", b"x" * 65, max_line=64)


@given(st.sampled_from(["ndjson", "sse"]), st.data())
def test_it_does_not_matter_how_the_bytes_arrive(form: Any, data: st.DataObject) -> None:
    items = [json.dumps({"reply": word}, ensure_ascii=False) for word in ("Grüß ", "Gott ", "😀")]
    sent = "".join(f"data: {item}\n\n" if form == "sse" else f"{item}\n" for item in items).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=8)))
    reader = ReplyReader(form, Config(), str)
    texts = [text for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True) for text in reader.feed(sent[a:b])]
    assert [*texts, *reader.flush()] == ["Grüß ", "Gott ", "😀"]


@given(st.binary(max_size=200), st.sampled_from(["json", "ndjson", "sse"]), st.sampled_from(["reply", "", "a.0"]))
def test_any_bytes_are_a_reply_or_a_plugin_error(data: bytes, form: Any, field: str) -> None:
    try:
        texts = read(form, data, reply_field=field)
    except PluginError:
        return
    assert all(isinstance(text, str) for text in texts)
