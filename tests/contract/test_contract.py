"""The contract suites catch a plugin that breaks a rule, rule by rule, and let a good one pass."""

import inspect
import sys
import time
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

import anyio
import numpy as np
import pytest
from pydantic import BaseModel
from sipcore.plugins import AudioFrame, Delta, PluginError, Provider, Transcript
from sipcore.testing import contract
from sipcore.testing.contract import LLMContract, ProviderContract, STTContract, TTSContract, VADContract

pytestmark = pytest.mark.anyio
SPOKEN = AudioFrame.from_samples(np.random.default_rng(0).integers(-9000, 9000, 16000, dtype=np.int16), 8000)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(contract, "PATIENCE", 3.0)


async def run(suite: ProviderContract, rule: str, engine: object, **more: object) -> None:
    """Run one rule of a suite on an engine."""
    done = getattr(suite, rule)(engine, **more)
    if inspect.isawaitable(done):
        await done


class GoodSTT:
    async def transcribe(self, speech):
        await anyio.sleep(0.01)
        loud = len(speech.audio.samples) > 1000 and np.abs(speech.audio.samples).max() > 500
        return Transcript("hello", "en", 0.9) if loud else Transcript("", confidence=0.0)


class Invents(GoodSTT):
    async def transcribe(self, speech):
        return Transcript("Thank you.", "en", 0.5)


class Chokes(GoodSTT):
    async def transcribe(self, speech):
        if not speech.audio.pcm:
            raise IndexError
        return await super().transcribe(speech)


class Deaf(GoodSTT):
    async def transcribe(self, speech):
        return Transcript("")


class Overconfident(GoodSTT):
    async def transcribe(self, speech):
        return Transcript("hello", confidence=7.0)


class Narrow(GoodSTT):
    async def transcribe(self, speech):
        if set(speech.languages) - {"en"}:
            raise KeyError(speech.languages)
        return await super().transcribe(speech)


class Blocks(GoodSTT):
    async def transcribe(self, speech):
        time.sleep(1.2)
        return await super().transcribe(speech)


class Mixes(GoodSTT):
    last: Transcript

    async def transcribe(self, speech):
        self.last = await super().transcribe(speech)
        await anyio.sleep(0.05)
        return self.last


STT_RULES = {
    "test_speech_gives_words": Deaf,
    "test_silence_gives_no_words": Invents,
    "test_next_to_nothing_gives_no_words": Chokes,
    "test_an_unknown_language_is_no_failure": Narrow,
    "test_callers_do_not_mix": Mixes,
    "test_cancelling_abandons_it": Blocks,
}
STT_ARGUMENTS = {
    "test_silence_gives_no_words": {"rate": 8000},
    "test_next_to_nothing_gives_no_words": {"samples": 0},
}


def stt_arguments(rule: str) -> dict[str, object]:
    return STT_ARGUMENTS.get(rule, {"spoken": SPOKEN})


@pytest.mark.parametrize("rule", STT_RULES)
async def test_a_good_stt_passes(rule):
    await run(STTContract(), rule, GoodSTT(), **stt_arguments(rule))


@pytest.mark.parametrize("rule", STT_RULES)
async def test_a_bad_stt_is_caught(rule):
    with pytest.raises((AssertionError, IndexError, KeyError, TimeoutError)):
        await run(STTContract(), rule, STT_RULES[rule](), **stt_arguments(rule))


async def test_an_impossible_confidence_is_caught():
    with pytest.raises(AssertionError):
        await run(STTContract(), "test_speech_gives_words", Overconfident(), spoken=SPOKEN)


class GoodDetector:
    sample_rate = 8000
    frame_samples = 256

    def probability(self, frame):
        if len(frame) != 256:
            raise PluginError("expected 256 samples")
        return float(np.abs(frame.astype(int)).mean() > 500)


class Detector(GoodDetector):
    """A detector that breaks one rule."""

    def __init__(self, **broken) -> None:
        vars(self).update(broken)


class VADOf:
    def __init__(self, make) -> None:
        self.detector = make


def sticky() -> Detector:
    loud: list[bool] = []

    def probability(frame) -> float:
        loud.append(bool(np.abs(frame.astype(int)).mean() > 500))
        return sum(loud) / len(loud)

    shared = Detector(probability=probability)
    return VADOf(lambda: shared)


VAD_RULES = {
    "test_it_declares_rate_and_frame": VADOf(lambda: Detector(sample_rate=11025)),
    "test_any_audio_gives_a_probability": VADOf(lambda: Detector(probability=lambda frame: float(np.abs(frame).max()))),
    "test_silence_is_no_speech": VADOf(lambda: Detector(probability=lambda frame: 0.9)),
    "test_speech_is_speech": VADOf(lambda: Detector(probability=lambda frame: 0.1)),
    "test_calls_do_not_mix": sticky(),
    "test_a_frame_of_another_size_is_refused": VADOf(lambda: Detector(probability=lambda frame: 0.0)),
}


@pytest.mark.parametrize("rule", VAD_RULES)
async def test_vad_rules(rule):
    more = {"spoken": SPOKEN} if rule == "test_speech_is_speech" else {}
    await run(VADContract(), rule, VADOf(GoodDetector), **more)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await run(VADContract(), rule, VAD_RULES[rule], **more)


class GoodTTS:
    first = 0.005

    @asynccontextmanager
    async def synthesize(self, text: AsyncIterable[str], voice):
        async with aclosing(self.frames(text)) as frames:
            yield frames

    async def frames(self, text) -> AsyncIterator[AudioFrame]:
        async for sentence in text:
            await anyio.sleep(self.first)
            letters = sum(letter.isalnum() for letter in sentence)
            yield AudioFrame.from_samples(np.full(letters * 1000, 9000, np.int16), 22050)


class Gathers(GoodTTS):
    """Reads the whole text before it speaks."""

    async def frames(self, text):
        whole = [sentence async for sentence in text]
        async for frame in super().frames(contract._items(whole)):
            yield frame


class Mute(GoodTTS):
    async def frames(self, text):
        async for _ in text:
            yield AudioFrame(bytes(32000), 16000)


class Wavers(GoodTTS):
    async def frames(self, text):
        async for frame in super().frames(text):
            yield frame
            yield AudioFrame(frame.pcm, 8000)


class SaysOnce(GoodTTS):
    async def frames(self, text):
        async for frame in super().frames(text):
            yield frame
            return


class BreaksWhenLeft(GoodTTS):
    broken = False

    async def frames(self, text):
        if self.broken:
            return
        self.broken = True
        async for frame in super().frames(text):
            yield frame
        self.broken = False


class BlocksLoop(GoodTTS):
    async def frames(self, text):
        async for frame in super().frames(text):
            time.sleep(2.5)
            yield frame


class OneAtATime(GoodTTS):
    busy = False

    async def frames(self, text):
        if self.busy:
            return
        self.busy = True
        async for frame in super().frames(text):
            await anyio.sleep(0.05)
            yield frame
        self.busy = False


class FearsSigns(GoodTTS):
    async def frames(self, text):
        async for sentence in text:
            yield AudioFrame(sentence.encode("ascii") * 2, 8000)


class TalksAnyway(GoodTTS):
    async def frames(self, text):
        yield AudioFrame(bytes(3200), 8000)
        async for frame in super().frames(text):
            yield frame


TTS_RULES = {
    "test_a_sentence_is_spoken": (Mute, Wavers),
    "test_more_text_is_more_audio": (SaysOnce,),
    "test_the_first_sentence_does_not_wait_for_the_rest": (Gathers,),
    "test_leaving_stops_it": (BreaksWhenLeft,),
    "test_cancelling_stops_it": (BlocksLoop,),
    "test_callers_do_not_mix": (OneAtATime,),
    "test_odd_text_does_no_harm": (FearsSigns,),
    "test_no_text_is_no_audio": (TalksAnyway,),
}


@pytest.mark.parametrize("rule", TTS_RULES)
async def test_tts_rules(rule):
    more = {"text": "☎️ 😀"} if rule == "test_odd_text_does_no_harm" else {}
    await run(TTSContract(), rule, GoodTTS(), **more)
    for broken in TTS_RULES[rule]:
        with pytest.raises((AssertionError, TimeoutError, UnicodeEncodeError)):
            await run(TTSContract(), rule, broken(), **more)


class GoodLLM:
    @asynccontextmanager
    async def reply(self, messages: Sequence, tools: Sequence = ()):
        async with aclosing(self.deltas(messages)) as deltas:
            yield deltas

    async def deltas(self, messages) -> AsyncIterator[Delta]:
        for word in ("Hello, ", "I ", "can ", "help."):
            await anyio.sleep(0.002)
            yield Delta(word)


class Speechless(GoodLLM):
    async def deltas(self, messages):
        yield Delta(" ")


class Jams(GoodLLM):
    """Hangs for good when a reply was left before its end."""

    jammed = False

    async def deltas(self, messages):
        while self.jammed:
            await anyio.sleep(0.01)
        self.jammed = True
        async for delta in super().deltas(messages):
            await anyio.sleep(0.03)
            yield delta
        self.jammed = False


class BlocksLLM(GoodLLM):
    async def deltas(self, messages):
        time.sleep(2.5)
        async for delta in super().deltas(messages):
            yield delta


class CountsReplies(GoodLLM):
    opened = 0

    @asynccontextmanager
    async def reply(self, messages, tools=()):
        self.opened += 1
        async with super().reply(messages) as deltas:
            yield deltas if self.opened == 1 else contract._items([])


class SecondIsMute(GoodLLM):
    busy = False

    async def deltas(self, messages):
        if self.busy:
            return
        self.busy = True
        async for delta in super().deltas(messages):
            yield delta
        self.busy = False


class FearsNobody(GoodLLM):
    async def deltas(self, messages):
        messages[0]
        async for delta in super().deltas(messages):
            yield delta


LLM_RULES = {
    "test_it_answers": Speechless,
    "test_leaving_stops_it": Jams,
    "test_cancelling_stops_it": BlocksLLM,
    "test_a_block_may_be_left_unread": CountsReplies,
    "test_callers_do_not_mix": SecondIsMute,
    "test_odd_histories_end": FearsNobody,
}


@pytest.mark.parametrize("rule", LLM_RULES)
async def test_llm_rules(rule):
    more = {"messages": []} if rule == "test_odd_histories_end" else {}
    await run(LLMContract(), rule, GoodLLM(), **more)
    with pytest.raises((AssertionError, TimeoutError, IndexError)):
        await run(LLMContract(), rule, LLM_RULES[rule](), **more)


class Strict(BaseModel, extra="forbid"):
    pass


class Lax(BaseModel, extra="ignore"):
    pass


def test_provider_rules():
    suite = ProviderContract()
    good = Provider("parrot", Strict, asynccontextmanager(lambda config: contract._items([])))
    suite.test_its_name_can_stand_in_settings(good)
    suite.test_it_was_written_for_this_api(good)
    suite.test_an_unknown_setting_is_refused(good)
    for rule, bad in (
        (suite.test_its_name_can_stand_in_settings, Provider("a parrot", Strict, good.open)),
        (suite.test_its_name_can_stand_in_settings, Provider("Parrot", Strict, good.open)),
        (suite.test_it_was_written_for_this_api, Provider("parrot", Strict, good.open, api=(2, 0))),
        (suite.test_it_was_written_for_this_api, Provider("parrot", Strict, good.open, api=(1, 99))),
    ):
        with pytest.raises(AssertionError):
            rule(bad)
    with pytest.raises(pytest.fail.Exception):
        suite.test_an_unknown_setting_is_refused(Provider("parrot", Lax, good.open))


@pytest.mark.parametrize(("source", "caught"), [("import json", False), ("import piper", True), ("1/0", True)])
async def test_a_heavy_import_at_load_is_caught(tmp_path, monkeypatch, source, caught):
    (tmp_path / "loaded_plugin.py").write_text(source)
    (tmp_path / "piper.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(contract, "PATIENCE", 30.0)

    class Suite(ProviderContract):
        module = "loaded_plugin"

    if not caught:
        await Suite().test_loading_it_imports_nothing_heavy()
        return
    with pytest.raises(AssertionError, match=r"ZeroDivision|imports ..piper.. at load; import it in open"):
        await Suite().test_loading_it_imports_nothing_heavy()
    assert "loaded_plugin" not in sys.modules
