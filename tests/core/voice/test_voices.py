"""A voice of last resort speaks what the chosen engine cannot."""

from contextlib import asynccontextmanager

import pytest
from sipcore.plugins import PluginError, Voice
from sipcore.testing.clock import VirtualTimeLoop
from sipcore.testing.fakes import FakeTTS, loud
from sipcore.voice.voices import NamedTTS, Voices

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return ("asyncio", {"loop_factory": VirtualTimeLoop})


class Only(FakeTTS):
    """Knows some languages."""

    def __init__(self, *languages):
        super().__init__()
        self.languages = languages
        self.asked = 0

    def synthesize(self, text, voice):
        self.asked += 1
        if voice.language not in self.languages:
            raise PluginError(f"no voice for {voice.language}: pull one")
        return super().synthesize(text, voice)


class Breaks(FakeTTS):
    """Fails after so many frames."""

    def __init__(self, frames):
        super().__init__()
        self.frames = frames

    @asynccontextmanager
    async def synthesize(self, text, voice):
        yield self._break(text)

    async def _break(self, text):
        async for _ in text:
            for _ in range(self.frames):
                yield loud(0.1)
            raise RuntimeError("no memory")


def voices(main, fallback):
    return Voices(NamedTTS("piper", main), NamedTTS("espeak", fallback))


async def text(*pieces):
    for piece in pieces:
        yield piece


async def say(tts, language, *pieces):
    async with tts.synthesize(text(*pieces), Voice(language)) as frames:
        return [frame async for frame in frames]


async def test_each_engine_speaks_its_languages_and_the_change_is_told_once(caplog):
    main, fallback = Only("en"), Only("en", "fr")
    both = voices(main, fallback)
    assert await say(both, "en", "Hello.")
    assert await say(both, "fr", "Bonjour.")
    assert await say(both, "fr", "Merci.")
    assert (main.spoken, fallback.spoken) == (["Hello."], ["Bonjour.", "Merci."])
    assert main.asked == 2, "it is not asked again"
    assert caplog.text.count("piper has no voice for fr: espeak speaks it (no voice for fr: pull one)") == 1


async def test_a_voice_that_neither_has_is_what_the_main_engine_says_of_it():
    with pytest.raises(PluginError, match="no voice for tlh: pull one"):
        await say(voices(Only("en"), Only("fr")), "tlh", "nuqneH")


async def test_an_engine_that_fails_before_a_sound_is_stood_in_for(caplog):
    fallback = Only("en")
    assert await say(voices(Breaks(0), fallback), "en", "One.", "Two.")
    assert fallback.spoken == ["One.", "Two."]
    assert "piper failed, espeak speaks instead: no memory" in caplog.text


async def test_a_sentence_is_not_said_twice():
    fallback = Only("en")
    with pytest.raises(RuntimeError, match="no memory"):
        await say(voices(Breaks(1), fallback), "en", "One.")
    assert fallback.spoken == []


async def test_both_may_fail():
    with pytest.raises(PluginError, match="no voice for en"):
        await say(voices(Breaks(0), Only("fr")), "en", "One.")
