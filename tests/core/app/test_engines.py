"""Which engines a server opens, and what it makes of them."""

from contextlib import AsyncExitStack, asynccontextmanager

import numpy as np
import pytest
import soundfile
from pydantic import BaseModel, Field, SecretStr
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


class Service(BaseModel, extra="forbid"):
    api_key: SecretStr | None = None
    base_url: str | None = None


class Address(BaseModel, extra="forbid"):
    base_url: str


def with_providers(kind, *providers):
    """A manager of a whole pipeline with further providers of one kind."""
    result = manager(**{name: engine for name, engine in ALL.items() if not name.startswith(kind)})
    for provider in providers:
        made = plugin(kind, provider.name, FakeLLM([""]))
        setattr(made, f"sipcore_{kind}", hookimpl(lambda provider=provider: provider))
        result.register(made, f"{kind}_{provider.name}")
    return result


def engine(name, config=Config, opened=FakeTTS, **more):
    @asynccontextmanager
    async def open_it(config):
        yield opened()

    return Provider(name, config, open_it, **more)


LLMS = (engine("api", Address), engine("openai", Service), engine("qwen"))


@pytest.mark.parametrize(
    ("toml", "environ", "chosen"),
    [
        ("", {}, "qwen"),
        ("", {"OPENAI_API_KEY": "sk-x"}, "openai"),
        ('[llm.openai]\nbase_url = "http://127.0.0.1:1"\n', {}, "openai"),
        ('[llm.api]\nbase_url = "http://127.0.0.1:1"\n', {}, "api"),
        ('[llm.api]\nbase_url = "x"\n[[assistant]]\nllm = "qwen"\n', {"OPENAI_API_KEY": "sk-x"}, "qwen"),
    ],
    ids=["none", "a key", "its table", "another table", "asked for"],
)
def test_of_several_engines_the_one_with_settings_is_meant_else_the_one_that_needs_none(
    tmp_path, toml, environ, chosen
):
    (tmp_path / "sipcore.toml").write_text(toml)
    made = load_settings(overrides={"SIP_LOCAL_IP": "127.0.0.1"}, environ=environ, cwd=tmp_path)
    assert plan(made, with_providers("llm", *LLMS)).choices["llm"].provider.name == chosen


def test_two_engines_with_settings_are_one_too_many(tmp_path):
    (tmp_path / "sipcore.toml").write_text("[llm.qwen]\nsize = 2\n")
    made = load_settings(overrides={"SIP_LOCAL_IP": "127.0.0.1"}, environ={"OPENAI_API_KEY": "sk-secret"}, cwd=tmp_path)
    with pytest.raises(ConfigError, match="openai, qwen are installed: name the one to use") as caught:
        plan(made, with_providers("llm", *LLMS))
    assert "sk-secret" not in str(caught.value)


def test_engines_that_all_need_settings_are_named(tmp_path):
    with pytest.raises(ConfigError, match="api, openai are installed"):
        plan(settings(tmp_path), with_providers("llm", *LLMS[:2]))


def test_the_key_of_the_environment_is_the_plugins_unless_its_table_has_one(tmp_path):
    made = load_settings(environ={"OPENAI_API_KEY": "sk-x"}, cwd=tmp_path)
    assert made.plugin_settings("llm", "openai", Service).api_key == SecretStr("sk-x")
    assert made.plugin_settings("tts", "openai", Service).api_key is None
    (tmp_path / "sipcore.toml").write_text('[llm.openai]\napi_key = "sk-y"\n')
    made = load_settings(environ={"OPENAI_API_KEY": "sk-x"}, cwd=tmp_path)
    assert made.plugin_settings("llm", "openai", Service).api_key == SecretStr("sk-y")


def test_the_key_of_the_environment_goes_to_openai_alone_and_to_no_server_of_ones_own(tmp_path):
    (tmp_path / "sipcore.toml").write_text('[llm.openai]\nbase_url = "http://127.0.0.1:8000/v1"\n')
    made = load_settings(environ={"OPENAI_API_KEY": "sk-x"}, cwd=tmp_path)
    assert made.plugin_settings("llm", "openai", Service).api_key is None


def test_a_key_that_is_wrong_is_named_as_it_was_given(tmp_path):
    class Strict(BaseModel, extra="forbid"):
        api_key: SecretStr = Field(min_length=20)

    made = load_settings(environ={"OPENAI_API_KEY": "sk-short"}, cwd=tmp_path)
    with pytest.raises(ConfigError, match=r"^OPENAI_API_KEY .*\(environment\)") as caught:
        made.plugin_settings("llm", "openai", Strict)
    assert "sk-short" not in str(caught.value)


ESPEAK, PIPER = engine("espeak", fallback=True), engine("piper")


def test_a_voice_of_last_resort_is_chosen_only_where_there_is_no_other(tmp_path):
    both = plan(settings(tmp_path), with_providers("tts", ESPEAK, PIPER))
    alone = plan(settings(tmp_path), with_providers("tts", ESPEAK))
    asked = plan(settings(tmp_path, assistant=[{"tts": "espeak"}]), with_providers("tts", ESPEAK, PIPER))
    assert (both.choices["tts"].provider, both.last_resort.provider) == (PIPER, ESPEAK)
    assert (alone.choices["tts"].provider, alone.last_resort) == (ESPEAK, None)
    assert (asked.choices["tts"].provider, asked.last_resort) == (ESPEAK, None)


def test_settings_of_a_voice_of_last_resort_do_not_make_it_the_first(tmp_path):
    (tmp_path / "sipcore.toml").write_text("[tts.espeak]\nsize = 2\n")
    chosen = plan(settings(tmp_path), with_providers("tts", ESPEAK, PIPER))
    assert chosen.choices["tts"].provider is PIPER
    assert chosen.last_resort.config == Config(size=2)


class English(FakeTTS):
    def synthesize(self, text, voice):
        if voice.language != "en":
            raise PluginError(f"no voice for {voice.language}: pull one")
        return super().synthesize(text, voice)


@pytest.mark.anyio
async def test_a_language_without_a_voice_is_spoken_by_the_last_resort(tmp_path, caplog):
    asked = settings(tmp_path, assistant=[{"languages": ["en", "fr"]}])
    chosen = plan(asked, with_providers("tts", ESPEAK, engine("piper", opened=English)))
    async with AsyncExitStack() as stack:
        assert isinstance(await open_conversation(chosen, None, stack), Pipeline)
    assert "piper has no voice for fr: espeak speaks it" in caplog.text


@pytest.mark.anyio
async def test_a_language_without_a_voice_and_no_last_resort_stops_the_start(tmp_path, caplog):
    def broken():
        raise PluginError("run `apt-get install espeak-ng`")

    asked = settings(tmp_path, assistant=[{"languages": ["en", "fr"]}])
    piper = engine("piper", opened=English)
    for providers in ((piper,), (engine("espeak", opened=broken, fallback=True), piper)):
        async with AsyncExitStack() as stack:
            with pytest.raises(PluginError, match="no voice for fr: pull one"):
                await open_conversation(plan(asked, with_providers("tts", *providers)), None, stack)
    assert "espeak cannot stand in for another voice: run `apt-get install espeak-ng`" in caplog.text


def test_an_identifier_is_opened_for_an_assistant_of_several_languages(tmp_path):
    there = with_providers("language", engine("py3langid"))
    assert "language" not in plan(settings(tmp_path), there).choices
    several = plan(settings(tmp_path, assistant=[{"voices": {"fr": "", "en": ""}}]), there)
    assert several.choices["language"].provider.name == "py3langid"
    asked = plan(settings(tmp_path, assistant=[{"identifier": "py3langid"}]), there)
    assert asked.choices["language"].provider.name == "py3langid"
    with pytest.raises(ConfigError, match=r'assistant.identifier = "x": no such language plugin'):
        plan(settings(tmp_path, assistant=[{"identifier": "x"}]), there)


def test_interim_transcripts_come_after_so_many_packets(tmp_path):
    assert plan(settings(tmp_path), manager(**ALL)).interim == pytest.approx(2.4)
    assert plan(settings(tmp_path, CALL_CENTER_BUFFER_SIZE=50), manager(**ALL)).interim == pytest.approx(1.0)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("form", "subtype", "rate", "channels"),
    [
        ("WAV", "PCM_24", 44100, 2),
        ("WAV", "ULAW", 8000, 1),
        ("WAV", "ALAW", 16000, 1),
        ("WAV", "FLOAT", 48000, 1),
        ("FLAC", "PCM_16", 44100, 2),
        ("OGG", "VORBIS", 22050, 1),
        ("MP3", "MPEG_LAYER_III", 44100, 1),
    ],
)
async def test_a_greeting_of_any_format_is_played_at_the_rate_of_the_call(tmp_path, form, subtype, rate, channels):
    source = tmp_path / "transcode" / "greeting.wav"
    source.parent.mkdir()
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    soundfile.write(source, np.column_stack([tone] * channels), rate, format=form, subtype=subtype)
    greeting = await load_greeting(tmp_path)
    assert greeting is not None
    assert greeting.sample_rate == 8000
    assert greeting.duration == pytest.approx(1.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(greeting.samples[1600:6400]))
    assert np.argmax(spectrum) * 8000 / 4800 == pytest.approx(440, abs=5)
    assert np.abs(greeting.samples).max() == pytest.approx(0.3 * 32768, rel=0.1)


@pytest.mark.anyio
async def test_a_greeting_that_is_cut_off_in_its_header_stops_the_start(tmp_path):
    source = tmp_path / "transcode" / "greeting.wav"
    source.parent.mkdir()
    soundfile.write(source, np.zeros(8000), 8000, format="FLAC")
    source.write_bytes(source.read_bytes()[:20])
    with pytest.raises(ConfigError, match=r"greeting.wav cannot be used as greeting.*was expected"):
        await load_greeting(tmp_path)
