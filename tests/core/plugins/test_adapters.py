"""A blocking backend of old answers calls: a plugin of a few lines, cancelled at once, its threads no burden."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from contextvars import ContextVar
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import BaseModel
from sipcore.plugins import LLM, Delta, Message, PluginError, Provider, adapters, llm_from_blocking
from sipcore.plugins.manager import PluginManager
from sipcore.testing.contract import LLMContract

pytestmark = pytest.mark.anyio

ASKED = (Message("system", "Be brief."), Message("user", "Are you open?"))

PLUGIN = """
from contextlib import nullcontext
from pydantic import BaseModel
from sipcore.plugins import Provider, hookimpl, llm_from_blocking

class MyBackend:
    def generate(self, messages: list) -> str:
        return f"You said: {messages[-1]['content']}" if messages else "Hello."

class Config(BaseModel, extra="forbid"): ...

@hookimpl
def sipcore_llm():
    return Provider("mine", Config, lambda config: nullcontext(llm_from_blocking(MyBackend().generate)))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PathDistribution]:
    """The plugin, installed as a distribution is."""
    folder: Path = tmp_path_factory.mktemp("site")
    (folder / "sipcore_llm_mine.py").write_text(PLUGIN)
    info = folder / "sipcore_llm_mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sipcore-llm-mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sipcore]\nllm_mine = sipcore_llm_mine\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", str(folder))
        yield PathDistribution(info)
    sys.modules.pop("sipcore_llm_mine", None)


async def reply(llm: LLM) -> list[str]:
    async with llm.reply(ASKED) as deltas:
        return [delta.text async for delta in deltas]


async def test_a_plugin_of_a_few_lines_is_found_and_answers(installed: PathDistribution) -> None:
    manager = PluginManager(installed.entry_points)
    manager.load(["mine"])
    provider = manager.provider("llm", "mine")
    async with provider.open(provider.config()) as llm:
        assert await reply(llm) == ["You said: Are you open?"]


@pytest.mark.usefixtures("installed")
class TestMine(LLMContract):
    module = "sipcore_llm_mine"

    @pytest.fixture(scope="class")
    @classmethod
    def provider(cls, installed: PathDistribution) -> Provider[Any, LLM]:
        del installed
        return importlib.import_module(cls.module).sipcore_llm()


class Config(BaseModel, extra="forbid"):
    pass


class TestStreaming(LLMContract):
    """A generator that takes its time."""

    module = "sipcore"

    @pytest.fixture(scope="class")
    @classmethod
    def provider(cls) -> Provider[Any, LLM]:
        return Provider("slow", Config, lambda config: nullcontext(llm_from_blocking(slow_words)))


def slow_words(messages: list[dict[str, str]]) -> Iterator[str]:
    del messages
    for word in ("We ", "are ", "open."):
        threading.Event().wait(0.02)
        yield word


async def test_the_backend_gets_what_it_always_got() -> None:
    got: list[Any] = []

    def generate(messages: list[dict[str, str]]) -> str:
        got.append(messages)
        return "Yes."

    assert await reply(llm_from_blocking(generate)) == ["Yes."]
    assert got == [[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Are you open?"}]]


async def test_pieces_are_said_as_they_come() -> None:
    heard = threading.Event()

    def generate(messages: list[dict[str, str]]) -> Iterator[str]:
        yield "Yes, "
        assert heard.wait(10)
        yield "we are."

    async with llm_from_blocking(generate).reply(ASKED) as deltas:
        words = aiter(deltas)
        assert await anext(words) == Delta("Yes, ")
        heard.set()
        assert [delta async for delta in words] == [Delta("we are.")]


async def test_any_iterable_of_pieces_is_a_reply() -> None:
    assert await reply(llm_from_blocking(lambda messages: ["Yes, ", "we are."])) == ["Yes, ", "we are."]


async def test_leaving_closes_a_generator() -> None:
    closed, go_on = threading.Event(), threading.Event()

    def generate(messages: list[dict[str, str]]) -> Iterator[str]:
        try:
            while True:
                yield "and "
                go_on.wait(10)
        finally:
            closed.set()

    async with llm_from_blocking(generate).reply(ASKED) as deltas:
        await anext(aiter(deltas))
    go_on.set()
    assert await anyio.to_thread.run_sync(closed.wait, 10)


async def test_cancelling_does_not_wait_for_a_function_that_blocks() -> None:
    asked, go_on = threading.Event(), threading.Event()

    def generate(messages: list[dict[str, str]]) -> str:
        asked.set()
        go_on.wait(30)
        return "Nobody hears this."

    llm = llm_from_blocking(generate)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reply, llm)
        assert await anyio.to_thread.run_sync(asked.wait, 10)
        tasks.cancel_scope.cancel()
    assert not go_on.is_set()
    go_on.set()
    assert await reply(llm) == ["Nobody hears this."]


async def test_no_more_threads_run_than_allowed_and_abandoned_ones_count() -> None:
    running, most = 0, 0
    lock, go_on = threading.Lock(), threading.Event()

    def generate(messages: list[dict[str, str]]) -> str:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        go_on.wait(10)
        with lock:
            running -= 1
        return "Yes."

    llm = llm_from_blocking(generate, threads=2)
    for _ in range(2):
        async with llm.reply(ASKED):
            pass
    with anyio.move_on_after(0.2) as scope:
        await reply(llm)
    assert scope.cancelled_caught
    go_on.set()
    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(reply, llm)
    assert most == 2


async def test_its_threads_stand_back_and_know_the_call() -> None:
    call: ContextVar[str] = ContextVar("call")
    call.set("call-1")

    def generate(messages: list[dict[str, str]]) -> str:
        thread = threading.current_thread()
        return f"{call.get()} {os.getpriority(os.PRIO_PROCESS, threading.get_native_id())} {thread.daemon}"

    before = os.getpriority(os.PRIO_PROCESS, 0)
    nice = min(19, before + 3)
    assert await reply(llm_from_blocking(generate, nice=nice)) == [f"call-1 {nice} True"]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


async def test_what_the_backend_raises_is_told_with_its_traceback() -> None:
    def generate(messages: list[dict[str, str]]) -> str:
        raise KeyError("OPENAI_API_KEY")

    with pytest.raises(PluginError, match="the blocking backend failed: KeyError: 'OPENAI_API_KEY'") as caught:
        await reply(llm_from_blocking(generate))
    assert isinstance(caught.value.__cause__, KeyError)


async def test_a_plugin_error_stays_what_it_is() -> None:
    def generate(messages: list[dict[str, str]]) -> Iterator[str]:
        yield "Yes"
        raise PluginError("set the key")

    with pytest.raises(PluginError, match=r"^set the key$"):
        await reply(llm_from_blocking(generate))


@pytest.mark.parametrize(("made", "told"), [(None, "returned NoneType"), ([1], "gave a int"), (b"Yes", "gave a int")])
async def test_what_is_no_text_is_told(made: Any, told: str) -> None:
    with pytest.raises(PluginError, match=f"generate {told}.*expected a str"):
        await reply(llm_from_blocking(lambda messages: made))


async def test_a_generator_that_does_not_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "LONGEST_REPLY", 1000)

    def generate(messages: list[dict[str, str]]) -> Iterator[str]:
        while True:
            yield "and so on "

    with pytest.raises(PluginError, match="longer than 1000 characters"):
        await reply(llm_from_blocking(generate))


def test_a_thread_that_outlives_the_loop_does_no_harm() -> None:
    go_on = threading.Event()

    def generate(messages: list[dict[str, str]]) -> str:
        go_on.wait(10)
        return "Too late."

    async def ask() -> None:
        async with llm_from_blocking(generate).reply(ASKED):
            pass

    before = set(threading.enumerate())
    anyio.run(ask)
    (left,) = [thread for thread in threading.enumerate() if thread not in before and thread.name == "llm-blocking"]
    go_on.set()
    left.join(10)
    assert not left.is_alive()
