"""Which engines a server opens, and what it makes of them."""

from contextlib import AsyncExitStack, asynccontextmanager

import numpy as np
import pytest
from pydantic import BaseModel
from sipcore.app.config import load_settings
from sipcore.app.engines import load_greeting, open_conversation, plan
from sipcore.audio.frame import AudioFrame
from sipcore.audio.wav import write_wav
from sipcore.errors import ConfigError, PluginError
from sipcore.plugins import Provider, hookimpl
from sipcore.plugins.manager import PluginManager
from sipcore.testing.fakes import FakeLLM, FakeSTT, FakeTTS, FakeVAD
from sipcore.voice.conversation import Pipeline
from sipcore.voice.echo import Echo


class Config(BaseModel, extra="forbid"):
    size: int = 1


def plugin(kind, name, engine, *, fallback=False):
    """A plugin of one hook."""

    @asynccontextmanager
    async def opened(config):
        if isinstance(engine, Exception):
            raise engine
        yield engine

    class Plugin:
        pass

    def hook():
        return Provider(name, Config, opened, fallback=fallback)

    setattr(Plugin, f"sipcore_{kind}", staticmethod(hookimpl(hook)))
    return Plugin()


def manager(**engines):
    result = PluginManager([])
    for key, engine in engines.items():
        kind, _, name = key.partition("_")
        result.register(plugin(kind, name, engine), key)
    return result


ALL = {"stt_a": FakeSTT([""]), "tts_b": FakeTTS(), "llm_c": FakeLLM([""]), "vad_d": FakeVAD()}


def settings(tmp_path, **overrides):
    return load_settings(overrides={"SIP_LOCAL_IP": "127.0.0.1", **overrides}, environ={}, cwd=tmp_path)


@pytest.mark.anyio
async def test_four_engines_make_a_pipeline(tmp_path):
    chosen = plan(settings(tmp_path), manager(**ALL))
    async with AsyncExitStack() as stack:
        assert isinstance(await open_conversation(chosen, None, stack), Pipeline)


@pytest.mark.anyio
async def test_without_plugins_the_core_echoes(tmp_path):
    chosen = plan(settings(tmp_path), manager())
    assert chosen.missing == ["stt", "llm", "tts"]
    async with AsyncExitStack() as stack:
        assert isinstance(await open_conversation(chosen, None, stack), Echo)


def test_nothing_is_loaded_for_half_a_pipeline(tmp_path):
    chosen = plan(settings(tmp_path), manager(stt_a=FakeSTT([""])))
    assert chosen.choices == {}
    assert chosen.missing == ["llm", "tts"]


def test_of_two_engines_the_settings_must_name_one(tmp_path):
    two = manager(**ALL, llm_other=FakeLLM([""]))
    with pytest.raises(ConfigError, match=r"assistant.llm: c, other are installed: name the one to use"):
        plan(settings(tmp_path), two)
    chosen = plan(settings(tmp_path, assistant=[{"llm": "other"}]), two)
    assert chosen.choices["llm"].provider.name == "other"


def test_an_engine_of_last_resort_is_taken_when_it_is_named_or_alone(tmp_path):
    both = manager(**ALL)
    both.register(plugin("llm", "cloud", FakeLLM([""]), fallback=True), "llm_cloud")
    assert plan(settings(tmp_path), both).choices["llm"].provider.name == "c"
    named = plan(settings(tmp_path, assistant=[{"llm": "cloud"}]), both)
    assert named.choices["llm"].provider.name == "cloud"
    alone = manager(**{name: engine for name, engine in ALL.items() if not name.startswith("llm_")})
    alone.register(plugin("llm", "cloud", FakeLLM([""]), fallback=True), "llm_cloud")
    assert plan(settings(tmp_path), alone).choices["llm"].provider.name == "cloud"
    alone.register(plugin("llm", "other", FakeLLM([""]), fallback=True), "llm_other")
    with pytest.raises(ConfigError, match=r"assistant\.llm: cloud, other are installed"):
        plan(settings(tmp_path), alone)


def test_an_engine_that_is_not_there_is_named_with_those_that_are(tmp_path):
    with pytest.raises(ConfigError, match=r'assistant.tts = "x": no such tts plugin is loaded \(there: b\)'):
        plan(settings(tmp_path, assistant=[{"tts": "x"}]), manager(**ALL))


def test_wrong_settings_of_an_engine_stop_the_start(tmp_path):
    (tmp_path / "sipcore.toml").write_text('[llm.c]\nsize = "big"\n')
    with pytest.raises(ConfigError, match=r"llm\.c.*size.*whole number"):
        plan(settings(tmp_path), manager(**ALL))


@pytest.mark.anyio
async def test_an_engine_that_breaks_while_it_is_opened_is_named(tmp_path):
    broken = {**ALL, "llm_c": RuntimeError("no memory")}
    chosen = plan(settings(tmp_path), manager(**broken))
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigError, match="llm plugin c could not be opened: no memory"):
            await open_conversation(chosen, None, stack)


@pytest.mark.anyio
async def test_an_engine_that_says_what_to_do_is_quoted_as_it_is(tmp_path):
    chosen = plan(settings(tmp_path), manager(**{**ALL, "llm_c": PluginError("run `x`")}))
    async with AsyncExitStack() as stack:
        with pytest.raises(PluginError, match=r"^run `x`$"):
            await open_conversation(chosen, None, stack)


@pytest.mark.anyio
async def test_a_conversation_plugin_replaces_the_pipeline(tmp_path):
    mine = Echo()
    chosen = plan(settings(tmp_path, assistant=[{"conversation": "mine"}]), manager(**ALL, conversation_mine=mine))
    async with AsyncExitStack() as stack:
        assert await open_conversation(chosen, None, stack) is mine


@pytest.mark.anyio
async def test_a_greeting_of_any_rate_is_converted_once(tmp_path):
    source = tmp_path / "transcode" / "greeting.wav"
    source.parent.mkdir()
    write_wav(source, AudioFrame.from_samples(np.zeros(44100, np.int16), 44100))
    greeting = await load_greeting(tmp_path)
    assert greeting is not None
    assert (greeting.sample_rate, greeting.duration) == (8000, pytest.approx(1.0, abs=0.01))
    assert (tmp_path / "converted" / "greeting.wav").exists()


@pytest.mark.anyio
async def test_no_greeting_is_no_error(tmp_path):
    assert await load_greeting(tmp_path) is None


@pytest.mark.anyio
async def test_a_greeting_that_is_no_audio_stops_the_start(tmp_path):
    source = tmp_path / "transcode" / "greeting.wav"
    source.parent.mkdir()
    source.write_text("no audio")
    with pytest.raises(ConfigError, match="cannot be used as greeting"):
        await load_greeting(tmp_path)


@pytest.mark.anyio
async def test_an_engine_that_breaks_while_it_warms_up_stops_the_start_with_a_line(tmp_path):
    class Breaks(FakeLLM):
        async def warm(self, messages):
            raise RuntimeError("no memory")

    chosen = plan(settings(tmp_path), manager(**{**ALL, "llm_c": Breaks([""])}))
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigError, match="the engines could not be warmed up: no memory"):
            await open_conversation(chosen, None, stack)


@pytest.mark.anyio
async def test_a_group_of_errors_is_told_in_one_line(tmp_path):
    broken = {**ALL, "llm_c": ExceptionGroup("unhandled", [ValueError("one"), OSError("two")])}
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigError, match=r"could not be opened: ValueError\('one'\); OSError\('two'\)"):
            await open_conversation(plan(settings(tmp_path), manager(**broken)), None, stack)


@pytest.mark.anyio
async def test_a_voice_that_the_assistant_names_and_nobody_has_stops_the_start(tmp_path):
    class NoSuchVoice(FakeTTS):
        def synthesize(self, text, voice):
            if voice.name:
                raise PluginError(f"no voice is called {voice.name!r}")
            return super().synthesize(text, voice)

    asked = settings(tmp_path, assistant=[{"voices": {"en": "nobody"}}])
    async with AsyncExitStack() as stack:
        with pytest.raises(PluginError, match="no voice is called 'nobody'"):
            await open_conversation(plan(asked, manager(**{**ALL, "tts_b": NoSuchVoice()})), None, stack)
