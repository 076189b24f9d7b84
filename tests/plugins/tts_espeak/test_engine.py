"""espeak-ng on calls: languages, speed, what it must not obey, and that no process outlives its listener."""

import os
from pathlib import Path

import anyio
import pytest
from sipcore.plugins import PluginError, Voice
from sipcore_tts_espeak import engine as engine_module
from sipcore_tts_espeak.config import Config
from sipcore_tts_espeak.engine import open_espeak, plain

pytestmark = pytest.mark.anyio
SENTENCE = "Thank you for calling, one moment please."


async def texts(*items):
    for item in items:
        yield item


async def audio(engine, voice, *items):
    async with engine.synthesize(texts(*items), voice) as frames:
        return [frame async for frame in frames]


async def seconds(engine, voice, *items):
    return sum(frame.duration for frame in await audio(engine, voice, *items))


def children():
    """The processes that this one has started and that still run."""
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    return [child for task in tasks for child in (task / "children").read_text().split()]


def fake(tmp_path, script):
    """A program that lists voices like espeak-ng and then does what the script says."""
    program = tmp_path / "espeak-ng"
    program.write_text(f'#!/bin/sh\n[ "$1" = --voices ] && exec espeak-ng --voices\n{script}\n')
    program.chmod(0o755)
    return Config(program=str(program))


async def test_speed_is_the_settings_and_the_voices():
    async with open_espeak(Config()) as engine:
        normal = await seconds(engine, Voice(), SENTENCE)
        fast = await seconds(engine, Voice(speed=2.0), SENTENCE)
    async with open_espeak(Config(speed=2.0)) as engine:
        assert await seconds(engine, Voice(), SENTENCE) == fast
    assert normal > 1.5 * fast


async def test_the_rate_is_the_programs_own():
    async with open_espeak(Config()) as engine:
        assert {frame.sample_rate for frame in await audio(engine, Voice(), SENTENCE)} == {22050}


@pytest.mark.parametrize(
    "language", ["en", "en-US", "en_gb", "fr", "fr-FR", "fr-CA", "es-MX", "pt-BR", "zh", "zh-CN", ""]
)
async def test_a_language_and_its_varieties_have_a_voice(language):
    async with open_espeak(Config()) as engine:
        assert await seconds(engine, Voice(language), "1 2 3") > 0.3


async def test_a_voice_can_be_named_by_the_call_or_the_settings():
    async with open_espeak(Config(voices={"fr": "fr-be", "en": "English_(America)"})) as engine:
        assert await seconds(engine, Voice("fr"), "Bonjour à tous.") > 0.3
        assert await seconds(engine, Voice("en", "en-gb+f3"), SENTENCE) > 0.3


@pytest.mark.parametrize(
    "voice", [Voice("tlh"), Voice("en", "nobody"), Voice("en", "en-gb+../../x"), Voice("en", "--stdin")]
)
async def test_a_voice_that_is_not_there_is_told_before_a_word(voice):
    async with open_espeak(Config()) as engine:
        with pytest.raises(PluginError, match="espeak-ng has no voice"):
            await audio(engine, voice, SENTENCE)


async def test_a_voice_of_the_settings_that_is_not_there_stops_the_start():
    with pytest.raises(PluginError, match="no voice 'nobody'"):
        async with open_espeak(Config(voices={"fr": "nobody"})):
            pass


async def test_a_missing_program_says_what_to_install():
    with pytest.raises(PluginError, match="apt-get install espeak-ng"):
        async with open_espeak(Config(program="/nowhere/espeak-ng")):
            pass


async def test_a_program_without_voices_is_told(tmp_path):
    program = tmp_path / "espeak-ng"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(PluginError, match="names no voice"):
        async with open_espeak(Config(program=str(program))):
            pass


async def test_markup_is_read_and_phonemes_are_not_obeyed():
    assert plain("[[h@l@U]]\x00\x07 you") == "[ [h@l@U]]   you"
    async with open_espeak(Config()) as engine:
        plainly = await seconds(engine, Voice(), "a pause")
        marked = await seconds(engine, Voice(), 'a <break time="60s"/> pause')
    assert plainly < marked < 20


async def test_text_is_no_argument_of_the_program(tmp_path):
    config = fake(tmp_path, f'echo "$@" > {tmp_path}/said; exec espeak-ng "$@"')
    async with open_espeak(config) as engine:
        assert await seconds(engine, Voice(), "--help; $(reboot)") > 0.3
    assert "reboot" not in (tmp_path / "said").read_text()


async def test_leaving_the_block_kills_the_process(tmp_path):
    before = children()
    async with open_espeak(Config()) as engine:
        async with engine.synthesize(texts(*[SENTENCE * 40] * 10), Voice()) as frames:
            async for _ in frames:
                assert len(children()) == len(before) + 1, "one process a stream"
                break
        assert children() == before


async def test_a_cancelled_stream_kills_a_process_that_hangs(tmp_path):
    before = children()
    async with open_espeak(fake(tmp_path, "exec sleep 600")) as engine:
        with anyio.move_on_after(0.3) as scope:
            await audio(engine, Voice(), SENTENCE)
        assert scope.cancelled_caught
        assert children() == before


async def test_a_process_that_does_not_go_on_is_given_up(tmp_path, monkeypatch):
    async with open_espeak(fake(tmp_path, "exec sleep 600")) as engine:
        monkeypatch.setattr(engine_module, "STALL", 0.2)
        with pytest.raises(PluginError, match=r"wrote nothing for 0\.2 s"):
            await audio(engine, Voice(), SENTENCE)


@pytest.mark.parametrize(("script", "said"), [("echo broken >&2; exit 4", "broken"), ("exit 4", "did not say why")])
async def test_a_process_that_fails_says_why(tmp_path, script, said):
    async with open_espeak(fake(tmp_path, script)) as engine:
        with pytest.raises(PluginError, match=f"failed with status 4: .*{said}"):
            await audio(engine, Voice(), SENTENCE * 3000)
