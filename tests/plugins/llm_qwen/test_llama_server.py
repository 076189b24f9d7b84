"""llama.cpp in this process: quiet, unreachable from outside, clear about what it cannot do."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sipcore.plugins import Message, PluginError
from sipcore_llm_qwen.config import Config
from sipcore_llm_qwen.history import ContextFullError
from sipcore_llm_qwen.llama_server import LlamaServer, load_server

SMALL = "smollm2-135m-instruct"
HELLO = (Message("user", "Say hello."),)


@pytest.fixture(scope="module")
def weights(pulled: Callable[[str], Path]) -> Path:
    return next(pulled(SMALL).glob("*.gguf"))


@pytest.fixture(scope="module")
def server(weights: Path) -> LlamaServer:
    return load_server(weights, Config(context=512, slots=1, max_tokens=12, temperature=0))


def write(server: LlamaServer, messages: tuple[Message, ...], **options: Any) -> list[str]:
    texts: list[str] = []

    def take(text: str) -> bool:
        texts.append(text)
        return True

    server.write(messages, take, **options)
    return [text for text in texts if text]


def listening() -> Counter[str]:
    """Where somebody could connect to this process."""
    ours = {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ports = [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in ours]
    return Counter([*ports, *(str(path) for path in Path(tempfile.gettempdir()).glob("sipcore-llama-*"))])


def test_a_reply_comes_bit_by_bit(server: LlamaServer) -> None:
    assert 1 < len(write(server, HELLO)) <= 12
    assert len(write(server, HELLO, max_tokens=2)) <= 2


def test_nobody_can_connect_to_it(weights: Path) -> None:
    before = listening()
    server = load_server(weights, Config(context=256, slots=1))
    assert not listening() - before
    assert write(server, HELLO, max_tokens=3)


def test_the_terminal_stays_the_programs(weights: Path, capfd: pytest.CaptureFixture[str]) -> None:
    server = load_server(weights, Config(context=256, slots=1))
    write(server, HELLO, max_tokens=3)
    with pytest.raises(ContextFullError):
        write(server, (Message("user", "please " * 2000),))
    del server
    with pytest.raises(PluginError):
        load_server(Path(__file__), Config())
    assert capfd.readouterr() == ("", "")


def test_a_damaged_model_is_named(tmp_path: Path, weights: Path) -> None:
    path = tmp_path / "half.gguf"
    path.write_bytes(weights.read_bytes()[:1_000_000])
    with pytest.raises(PluginError, match=r"cannot load .*half\.gguf: .* Is it whole"):
        load_server(path, Config())


def test_a_conversation_without_room_says_so(server: LlamaServer) -> None:
    with pytest.raises(ContextFullError, match=r"has \d{4} tokens, \[llm.qwen\] context allows 512: raise it"):
        write(server, (Message("user", "please " * 2000),))


def test_what_the_engine_refuses_is_a_plugin_error(server: LlamaServer) -> None:
    with pytest.raises(PluginError, match=r"llama\.cpp refused the conversation"):
        write(server, (Message("user", "\ud800"),))


class BrokenServer:
    """Reports an error of the engine, as llama.cpp does."""

    def handle_chat_completions(self, request: str, on_line: Callable[[str], bool]) -> None:
        assert json.loads(request)["seed"] == 7
        assert on_line(json.dumps({"error": {"code": 500, "message": "out of memory", "type": "server_error"}}))


def test_an_error_of_the_engine_is_a_plugin_error() -> None:
    with pytest.raises(PluginError, match=r"llama\.cpp could not answer: out of memory"):
        write(LlamaServer(BrokenServer(), Config(seed=7)), HELLO)


def test_a_stopped_reply_ends_at_once(server: LlamaServer) -> None:
    texts: list[str] = []

    def take(text: str) -> bool:
        texts.append(text)
        return not text

    server.write((Message("user", "Tell me a long story."),), take, max_tokens=200)
    assert len([text for text in texts if text]) == 1


def test_a_long_prompt_can_be_stopped_while_it_is_read(weights: Path) -> None:
    server = load_server(weights, Config(context=2048, slots=1))
    batches = 0

    def take(text: str) -> bool:
        nonlocal batches
        assert not text
        batches += 1
        return batches < 3

    server.write((Message("user", "please listen " * 700),), take)
    assert batches == 3


def test_it_computes_at_the_priority_of_who_loaded_it(weights: Path) -> None:
    before = set(Path("/proc/self/task").iterdir())
    server = load_server(weights, Config(context=256, slots=1, threads=2))
    started = set(Path("/proc/self/task").iterdir()) - before
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    assert len(started) >= 2
    assert {os.getpriority(os.PRIO_PROCESS, int(thread.name)) for thread in started} == {mine}
    del server
