"""Piper on real calls: many voices, many callers, and nobody waits for a sentence that nobody wants."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import anyio
import numpy as np
import pytest
from pydantic import ValidationError
from sipcore.plugins import AudioFrame, PluginError, Voice
from sipcore_tts_piper import engine as engine_module
from sipcore_tts_piper.config import Config
from sipcore_tts_piper.engine import open_piper
from sipcore_tts_piper.speaker import Speaker, load_speaker

JOE = "en_US-joe-medium"
SENTENCE = "Thank you for calling, one moment please."

pytestmark = pytest.mark.anyio


async def texts(*items: str) -> AsyncIterator[str]:
    for item in items:
        yield item


async def seconds(engine: object, voice: Voice, *items: str) -> float:
    async with engine.synthesize(texts(*items), voice) as frames:
        return sum([frame.duration async for frame in frames])


@pytest.fixture
def joe(pulled: Callable[[str], Path]) -> Path:
    return pulled(JOE) / f"{JOE}.onnx"


@pytest.mark.usefixtures("joe")
async def test_speed_is_the_settings_and_the_voices() -> None:
    async with open_piper(Config()) as engine:
        normal = sum([await seconds(engine, Voice(), SENTENCE) for _ in range(5)])
        fast = sum([await seconds(engine, Voice(speed=2.0), SENTENCE) for _ in range(5)])
    async with open_piper(Config(speed=2.0)) as engine:
        faster = sum([await seconds(engine, Voice(speed=1.5), SENTENCE) for _ in range(5)])
    # Twice and three times as fast are asked for; Piper varies the length of each word a little.
    assert normal > fast * 1.5
    assert fast > faster * 1.15


@pytest.mark.usefixtures("joe")
async def test_sentences_are_equally_loud_and_do_not_clip() -> None:
    async with open_piper(Config()) as engine, engine.synthesize(texts("Yes.", SENTENCE, "No!"), Voice()) as frames:
        peaks = [int(np.abs(frame.samples.astype(int)).max()) async for frame in frames]
    assert len(peaks) == 3
    assert all(5000 < peak < 32767 for peak in peaks)


async def test_a_file_copy_adds_a_language(
    put_voice: Callable[[Path, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_voice(tmp_path / "en", "joe")
    monkeypatch.setenv("SIPCORE_MODELS", str(tmp_path / "empty"))
    async with open_piper(Config(voices_dir=tmp_path)) as engine:
        with pytest.raises(PluginError, match="no voice for language 'xx'"):
            await seconds(engine, Voice("xx"), SENTENCE)
        put_voice(tmp_path / "xx", "joseph")
        assert await seconds(engine, Voice("xx"), SENTENCE) > 1
        assert await seconds(engine, Voice("en", "joseph"), SENTENCE) > 1
        assert await seconds(engine, Voice(""), SENTENCE) > 1


async def test_a_voice_is_loaded_once_however_many_ask(
    put_voice: Callable[[Path, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[Path] = []

    def counted(path: Path, settings: Config) -> Speaker:
        loads.append(path)
        return load_speaker(path, settings)

    monkeypatch.setattr(engine_module, "load_speaker", counted)
    english, german = put_voice(tmp_path / "en", "joe"), put_voice(tmp_path / "de", "josef")
    async with open_piper(Config(voices_dir=tmp_path)) as engine:
        assert loads == [english]
        async with anyio.create_task_group() as tasks:
            for language in ("de", "de-DE", "de-AT", "en"):
                tasks.start_soon(seconds, engine, Voice(language), "Hallo.")
    assert loads == [english, german]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"voices": {"de": "nobody"}}, "no voice is called 'nobody'"),
        ({"voices": {"de": "/nowhere/eva.onnx"}}, "there is no voice at"),
        ({"language": "xx"}, "no voice for language 'xx'"),
        ({"speaker": 3}, "speaker is 3, but the voice has 1"),
    ],
)
@pytest.mark.usefixtures("joe")
async def test_what_cannot_speak_is_found_at_start(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(PluginError, match=problem):
        async with open_piper(Config(**settings)):
            pytest.fail("it opened")


@pytest.mark.parametrize(("name", "content"), [("eva.onnx", b"no model"), ("eva.onnx.json", b"{")])
async def test_a_damaged_voice_is_named(
    put_voice: Callable[[Path, str], Path], tmp_path: Path, name: str, content: bytes
) -> None:
    put_voice(tmp_path / "en", "eva")
    damaged = tmp_path / "en" / name
    damaged.unlink()
    damaged.write_bytes(content)
    with pytest.raises(PluginError, match=r"eva\.onnx cannot be loaded"):
        async with open_piper(Config(voices_dir=tmp_path)):
            pytest.fail("it opened")


def test_the_models_that_settings_need_are_known_before_the_start(tmp_path: Path) -> None:
    assert Config(voices_dir=tmp_path).models() == (JOE,)
    assert Config(voices_dir=tmp_path, voices={"fr": "fr_FR-siwis-medium", "de": "/my/own.onnx"}).models() == (
        JOE,
        "fr_FR-siwis-medium",
    )
    with pytest.raises(ValidationError, match="speed"):
        Config(speed=0)


class SlowSpeaker:
    """Says one frame a sentence, and counts; each sentence takes a while."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def say(self, text: str, speed: float) -> Iterator[AudioFrame]:
        del speed
        with self._lock:
            self.said.append(text)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(0.05)
        with self._lock:
            self.at_once -= 1
        if text == "broken":
            raise PluginError("Piper could not say it")
        yield AudioFrame(bytes(320), 22050)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> SlowSpeaker:
    speaker = SlowSpeaker()
    monkeypatch.setattr(engine_module, "load_speaker", lambda *_: speaker)
    return speaker


@pytest.mark.usefixtures("joe")
async def test_a_few_sentences_are_made_ahead_and_no_more(slow: SlowSpeaker) -> None:
    async with open_piper(Config()) as engine, engine.synthesize(texts(*"abcdefghijklmnop"), Voice()) as frames:
        async for _ in frames:
            await anyio.sleep(1)
            break
        assert 3 <= len(slow.said) <= engine_module.QUEUE + 2


@pytest.mark.usefixtures("joe")
async def test_leaving_does_not_wait_for_the_sentence_and_begins_no_other(slow: SlowSpeaker) -> None:
    async with open_piper(Config(concurrency=1)) as engine:
        async with engine.synthesize(texts(*"abcdefgh"), Voice()):
            await anyio.sleep(0.02)
        said = len(slow.said)
        await anyio.sleep(0.3)
        assert len(slow.said) == said == 1


@pytest.mark.usefixtures("joe")
async def test_no_more_sentences_at_once_than_allowed(slow: SlowSpeaker) -> None:
    async with open_piper(Config(concurrency=2)) as engine, anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(seconds, engine, Voice(), "a", "b")
    assert slow.most_at_once == 2
    assert len(slow.said) == 12


@pytest.mark.usefixtures("joe", "slow")
async def test_errors_arrive_as_they_are_after_what_was_spoken_before() -> None:
    async def failing() -> AsyncIterator[str]:
        yield "fine"
        raise ConnectionError("the model is gone")

    async with open_piper(Config()) as engine:
        for text, kind in ((texts("fine", "broken"), PluginError), (failing(), ConnectionError)):
            heard: list[AudioFrame] = []
            with pytest.raises(kind):
                await listen(engine, text, heard)
            assert len(heard) == 1
        with pytest.raises(KeyError, match="mine"):
            async with engine.synthesize(texts("fine"), Voice()):
                raise KeyError("mine")


async def listen(engine: object, text: AsyncIterator[str], heard: list[AudioFrame]) -> None:
    async with engine.synthesize(text, Voice()) as frames:
        async for frame in frames:
            heard.append(frame)


def test_a_broken_engine_is_a_plugin_error(joe: Path) -> None:
    speaker = load_speaker(joe, Config())
    with pytest.raises(PluginError, match="Piper could not say 'Hello'"):
        list(speaker.say("Hello", float("nan")))
    assert sum(frame.duration for frame in speaker.say("He\0llo", 1.0)) > 0.1
