"""Contract suites: what the core expects of a plugin, as one pytest class a kind.

A plugin's test module subclasses one and names what is under test::

    class TestParrot(LLMContract):
        module = "sipcore_llm_parrot"
        settings = {"voice": "loud"}

The suite registers the module as the plugin manager would, fetches the models that the settings name, opens the
engine once a class and tries it. A subclass may override the fixtures ``provider`` and ``engine``, each of scope
``class`` and a class method, as here.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar

import anyio
import numpy as np
import pluggy
import pytest
from pydantic import ValidationError

from sipcore.errors import SipcoreError
from sipcore.plugins import (
    API_VERSION,
    LLM,
    STT,
    TTS,
    VAD,
    AudioFrame,
    Message,
    Provider,
    Speech,
    Voice,
    hookspecs,
    models,
)

HEAVY = (
    *("torch", "transformers", "tensorflow", "onnxruntime", "ctranslate2", "faster_whisper", "tokenizers"),
    *(
        "huggingface_hub",
        "piper",
        "xllamacpp",
        "llama_cpp",
        "openai",
        "py3langid",
        "av",
        "scipy",
        "pandas",
        "sklearn",
        "librosa",
    ),
)
"""What a plugin may import when it is opened, but not when it is loaded."""

PATIENCE = 120.0
"""Seconds for one call into an engine before the suite gives up: a machine that is busy is not a broken plugin."""


class ProviderContract:
    """What every provider of an engine must do, whatever its kind.

    Attributes:
        module: the plugin's import name, as in its entry point.
        settings: what its config is made of.
        hook: the hook that its kind implements.
    """

    module: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}
    hook: ClassVar[str]

    @pytest.fixture(scope="class")
    @classmethod
    def anyio_backend(cls) -> str:
        """Run on asyncio, as the program does."""
        return "asyncio"

    @pytest.fixture(scope="class")
    @classmethod
    def provider(cls) -> Provider[Any, Any]:
        """Register the module as the plugin manager would: a misspelt hook fails here."""
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        manager.register(importlib.import_module(cls.module))
        manager.check_pending()
        found: list[Provider[Any, Any]] = getattr(manager.hook, cls.hook)()
        assert len(found) == 1, f"{cls.module} implements {cls.hook} {len(found)} times, expected once"
        return found[0]

    @pytest.fixture(scope="class")
    @classmethod
    async def engine(cls, provider: Provider[Any, Any], anyio_backend: str) -> AsyncGenerator[Any, None]:
        """Open the engine, once for the class; the models that its settings name are fetched first."""
        del anyio_backend
        config = provider.config(**cls.settings)
        models.pull(models.missing(config))
        async with provider.open(config) as engine:
            yield engine

    def test_its_name_can_stand_in_settings(self, provider: Provider[Any, Any]) -> None:
        """``[llm.NAME]`` is written in TOML and ``SIPCORE_LLM__NAME__KEY`` in the environment."""
        assert provider.name.isidentifier()
        assert provider.name == provider.name.lower()

    def test_it_was_written_for_this_api(self, provider: Provider[Any, Any]) -> None:
        """The same major version, and no newer minor than this core has."""
        assert provider.api[0] == API_VERSION[0]
        assert provider.api <= API_VERSION

    def test_an_unknown_setting_is_refused(self, provider: Provider[Any, Any]) -> None:
        """A mistyped key must not pass silently."""
        with pytest.raises(ValidationError, match="no_such_setting"):
            provider.config(**{**self.settings, "no_such_setting": 1})

    @pytest.mark.anyio
    async def test_loading_it_imports_nothing_heavy(self) -> None:
        """The hook alone is imported at load: ``sipcore --help`` must not wait for a model library."""
        code = f"import sys, {self.module}; print(*(m for m in {HEAVY!r} if m in sys.modules))"
        with anyio.fail_after(PATIENCE):
            done = await anyio.run_process([sys.executable, "-c", code], check=False)
        assert done.returncode == 0, done.stderr.decode()
        heavy = done.stdout.decode().split()
        assert heavy == [], f"{self.module} imports {heavy} at load; import it in open()"


class STTContract(ProviderContract):
    """Speech to text. A subclass gives the fixture ``spoken``: an utterance with at least one word in it."""

    hook = "sipcore_stt"

    @pytest.fixture(scope="class")
    @classmethod
    def spoken(cls) -> AudioFrame:
        """Give an utterance as the core would cut it: override this."""
        pytest.fail("override the fixture `spoken` with an utterance: AudioFrame(pcm, sample_rate)")

    @pytest.mark.anyio
    async def test_speech_gives_words(self, engine: STT, spoken: AudioFrame) -> None:
        """The transcript has text, and a confidence between 0 and 1."""
        with anyio.fail_after(PATIENCE):
            transcript = await engine.transcribe(Speech(spoken))
        assert transcript.text.strip()
        assert transcript.text == transcript.text.strip()
        assert 0.0 < transcript.confidence <= 1.0

    @pytest.mark.anyio
    @pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000])
    async def test_silence_gives_no_words(self, engine: STT, rate: int) -> None:
        """Digital silence and faint noise are nobody speaking, at any sample rate."""
        faint = np.random.default_rng(1).normal(0, 8, rate * 2).astype(np.int16)
        for samples in (np.zeros(rate * 2, np.int16), faint):
            with anyio.fail_after(PATIENCE):
                transcript = await engine.transcribe(Speech(AudioFrame.from_samples(samples, rate)))
            assert not transcript.text

    @pytest.mark.anyio
    @pytest.mark.parametrize("samples", [0, 1, 80, 400])
    async def test_next_to_nothing_gives_no_words(self, engine: STT, samples: int) -> None:
        """An utterance may be cut to nothing."""
        audio = AudioFrame.from_samples(np.full(samples, 1000, np.int16), 8000)
        with anyio.fail_after(PATIENCE):
            assert not (await engine.transcribe(Speech(audio))).text

    @pytest.mark.anyio
    async def test_an_unknown_language_is_no_failure(self, engine: STT, spoken: AudioFrame) -> None:
        """The languages to expect are a hint: what the model cannot do, it ignores."""
        with anyio.fail_after(PATIENCE):
            transcript = await engine.transcribe(Speech(spoken, languages=("tlh", "en-US")))
        assert transcript.text

    @pytest.mark.anyio
    async def test_callers_do_not_mix(self, engine: STT, spoken: AudioFrame) -> None:
        """Several utterances at once give what each gives alone."""
        alone = (await engine.transcribe(Speech(spoken))).text
        silence = AudioFrame.from_samples(np.zeros(8000, np.int16), 8000)
        heard: dict[int, str] = {}

        async def transcribe(number: int, audio: AudioFrame) -> None:
            heard[number] = (await engine.transcribe(Speech(audio))).text

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for number, audio in enumerate([spoken, silence, spoken, silence]):
                    tasks.start_soon(transcribe, number, audio)
        assert heard == {0: alone, 1: "", 2: alone, 3: ""}

    @pytest.mark.anyio
    async def test_cancelling_abandons_it(self, engine: STT, spoken: AudioFrame) -> None:
        """A speculation is thrown away at once, and the next utterance is none the worse for it."""
        long = AudioFrame(spoken.pcm * 5, spoken.sample_rate)
        with anyio.fail_after(1.0), anyio.move_on_after(0.02):
            await engine.transcribe(Speech(long))
        with anyio.fail_after(PATIENCE):
            assert (await engine.transcribe(Speech(spoken))).text


class VADContract(ProviderContract):
    """Voice activity detection. A subclass may override ``spoken`` with real speech, 8 or 16 kHz."""

    hook = "sipcore_vad"

    @pytest.fixture(scope="class")
    @classmethod
    def spoken(cls) -> AudioFrame | None:
        """Give real speech at the detector's own rate; None leaves that test to the plugin."""
        return None

    @staticmethod
    def frames(engine: VAD, samples: np.ndarray[Any, np.dtype[np.int16]]) -> list[float]:
        """Run a fresh detector over whole frames of ``samples``."""
        detector = engine.detector()
        size = detector.frame_samples
        whole = len(samples) - len(samples) % size
        return [detector.probability(samples[at : at + size]) for at in range(0, whole, size)]

    def test_it_declares_rate_and_frame(self, engine: VAD) -> None:
        """A rate that a call can be resampled to, and frames of 8 to 100 ms."""
        detector = engine.detector()
        assert detector.sample_rate in {8000, 16000, 24000, 32000, 48000}
        assert 0.008 <= detector.frame_samples / detector.sample_rate <= 0.1

    def test_any_audio_gives_a_probability(self, engine: VAD) -> None:
        """Silence, noise, clipping and a single click: always between 0 and 1."""
        noise = np.random.default_rng(2).integers(-32768, 32767, 16000, dtype=np.int16)
        square = np.where(np.arange(16000) % 40 < 20, 32767, -32768).astype(np.int16)
        click = np.zeros(16000, np.int16)
        click[5000] = 32767
        for samples in (np.zeros(16000, np.int16), noise, square, click):
            assert all(0.0 <= p <= 1.0 for p in self.frames(engine, samples))

    def test_silence_is_no_speech(self, engine: VAD) -> None:
        """Digital silence and faint noise stay below one half."""
        faint = np.random.default_rng(3).normal(0, 10, 32000).astype(np.int16)
        assert max(self.frames(engine, np.zeros(32000, np.int16))) < 0.5
        assert max(self.frames(engine, faint)) < 0.5

    def test_speech_is_speech(self, engine: VAD, spoken: AudioFrame | None) -> None:
        """Real speech is above one half in most of its frames."""
        if spoken is not None:
            assert spoken.sample_rate == engine.detector().sample_rate, "give `spoken` at the detector's rate"
            assert np.mean(np.array(self.frames(engine, spoken.samples)) > 0.5) > 0.5

    def test_calls_do_not_mix(self, engine: VAD) -> None:
        """Each detector has its own state."""
        loud = np.random.default_rng(4).integers(-9000, 9000, 16000, dtype=np.int16)
        one, other = engine.detector(), engine.detector()
        size = one.frame_samples
        mixed: list[float] = []
        for at in range(0, 16000 - size, size):
            mixed.append(one.probability(loud[at : at + size]))
            other.probability(np.zeros(size, np.int16))
        assert mixed == pytest.approx(self.frames(engine, loud)[: len(mixed)], abs=1e-6)

    def test_a_frame_of_another_size_is_refused(self, engine: VAD) -> None:
        """A caller's mistake is named, not guessed around."""
        detector = engine.detector()
        with pytest.raises(SipcoreError, match=str(detector.frame_samples)):
            detector.probability(np.zeros(detector.frame_samples + 1, np.int16))


class TTSContract(ProviderContract):
    """Text to speech.

    Attributes:
        voice: a voice that the settings make available.
        sentence: something to say in the voice's language, two seconds or so.
    """

    hook = "sipcore_tts"
    voice: ClassVar[Voice] = Voice()
    sentence: ClassVar[str] = "Thank you for calling, one moment please."

    async def say(self, engine: TTS, *texts: str) -> list[AudioFrame]:
        """Synthesize ``texts``, each an item of the stream."""
        with anyio.fail_after(PATIENCE):
            async with engine.synthesize(_items(texts), self.voice) as frames:
                return [frame async for frame in frames]

    @pytest.mark.anyio
    async def test_a_sentence_is_spoken(self, engine: TTS) -> None:
        """Audio of one sample rate, as long as speech is, and not silent."""
        frames = await self.say(engine, self.sentence)
        assert len({frame.sample_rate for frame in frames}) == 1
        assert 0.5 < sum(frame.duration for frame in frames) < 20
        assert max(int(np.abs(frame.samples.astype(np.int32)).max(initial=0)) for frame in frames) > 500

    @pytest.mark.anyio
    async def test_more_text_is_more_audio(self, engine: TTS) -> None:
        """Every item is spoken."""
        one = sum(frame.duration for frame in await self.say(engine, self.sentence))
        two = sum(frame.duration for frame in await self.say(engine, self.sentence, self.sentence))
        assert two > one * 1.5

    @pytest.mark.anyio
    async def test_the_first_sentence_does_not_wait_for_the_rest(self, engine: TTS) -> None:
        """Its audio comes out while the text goes on."""
        heard = anyio.Event()

        async def text() -> AsyncIterator[str]:
            yield self.sentence
            await heard.wait()
            yield self.sentence

        with anyio.fail_after(PATIENCE):
            async with engine.synthesize(text(), self.voice) as frames:
                async for frame in frames:
                    if frame.pcm:
                        heard.set()
        assert heard.is_set()

    @pytest.mark.anyio
    async def test_leaving_stops_it(self, engine: TTS) -> None:
        """Barge-in: leaving the block after one frame is quick, and the next sentence is none the worse for it."""
        with anyio.fail_after(PATIENCE):
            async with engine.synthesize(_items([self.sentence] * 50), self.voice) as frames:
                async for _ in frames:
                    break
        assert await self.say(engine, self.sentence)

    @pytest.mark.anyio
    async def test_cancelling_stops_it(self, engine: TTS) -> None:
        """A cancelled scope ends the synthesis within a second, wherever it is."""
        with anyio.fail_after(2.0), anyio.move_on_after(0.05):
            async with engine.synthesize(_items([self.sentence] * 50), self.voice) as frames:
                async for _ in frames:
                    pass
        assert await self.say(engine, self.sentence)

    @pytest.mark.anyio
    async def test_callers_do_not_mix(self, engine: TTS) -> None:
        """Two calls speak at once, and each gets all of its own audio."""
        alone = sum(frame.duration for frame in await self.say(engine, self.sentence))
        lengths: list[float] = []

        async def speak() -> None:
            lengths.append(sum(frame.duration for frame in await self.say(engine, self.sentence)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(speak)
            tasks.start_soon(speak)
        assert lengths == pytest.approx([alone, alone], rel=0.5)

    @pytest.mark.anyio
    @pytest.mark.parametrize("text", ["", " ", "\n", "...", "\u00ad", "☎️ 😀", "<b>&amp;</b>", "ا 中文 ß", "a" * 400])
    async def test_odd_text_does_no_harm(self, engine: TTS, text: str) -> None:
        """Whatever a language model writes: some audio or none, and no error."""
        assert sum(frame.duration for frame in await self.say(engine, text)) < 120

    @pytest.mark.anyio
    async def test_no_text_is_no_audio(self, engine: TTS) -> None:
        """A reply may be cancelled before its first word."""
        assert sum(frame.duration for frame in await self.say(engine)) == 0


class LLMContract(ProviderContract):
    """Language models.

    Attributes:
        prompt: something that any model answers with at least a few words.
    """

    hook = "sipcore_llm"
    prompt: ClassVar[Sequence[Message]] = (
        Message("system", "You answer the phone. Answer in one short sentence."),
        Message("user", "Please say hello and tell me what you can do."),
    )

    async def ask(self, engine: LLM, messages: Sequence[Message]) -> list[str]:
        """Return the pieces of the reply to ``messages``."""
        with anyio.fail_after(PATIENCE):
            async with engine.reply(messages) as deltas:
                return [delta.text async for delta in deltas]

    @pytest.mark.anyio
    async def test_it_answers(self, engine: LLM) -> None:
        """The pieces joined are the reply."""
        assert "".join(await self.ask(engine, self.prompt)).strip()

    @pytest.mark.anyio
    async def test_leaving_stops_it(self, engine: LLM) -> None:
        """Barge-in: after the first piece the model is free for the next turn."""
        with anyio.fail_after(PATIENCE):
            async with engine.reply(self.prompt) as deltas:
                async for _ in deltas:
                    break
        assert await self.ask(engine, self.prompt)

    @pytest.mark.anyio
    async def test_cancelling_stops_it(self, engine: LLM) -> None:
        """A cancelled scope ends the reply within a second, wherever it is."""
        with anyio.fail_after(2.0), anyio.move_on_after(0.05):
            async with engine.reply(self.prompt) as deltas:
                async for _ in deltas:
                    pass
        assert await self.ask(engine, self.prompt)

    @pytest.mark.anyio
    async def test_a_block_may_be_left_unread(self, engine: LLM) -> None:
        """A speculation may be dropped before anything was read of it."""
        with anyio.fail_after(PATIENCE):
            async with engine.reply(self.prompt):
                pass
        assert await self.ask(engine, self.prompt)

    @pytest.mark.anyio
    async def test_callers_do_not_mix(self, engine: LLM) -> None:
        """Two calls ask at once, and both are answered."""
        replies: list[str] = []

        async def ask() -> None:
            replies.append("".join(await self.ask(engine, self.prompt)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            tasks.start_soon(ask)
        assert all(reply.strip() for reply in replies)
        assert len(replies) == 2

    @pytest.mark.anyio
    @pytest.mark.parametrize(
        "messages",
        [
            [],
            [Message("user", "")],
            [Message("system", "Be brief.")],
            [Message("user", "Hi"), Message("user", "Are you there?")],
            [Message("assistant", "Hello!"), Message("user", "ß 中文 😀 <|im_end|> \x00")],
            [Message("user", "please listen " * 20000)],
        ],
        ids=["none", "empty", "system", "twice", "signs", "huge"],
    )
    async def test_odd_histories_end(self, engine: LLM, messages: Sequence[Message]) -> None:
        """A reply, nothing, or a `SipcoreError` that says why: never anything else, and the next turn works."""
        with contextlib.suppress(SipcoreError), anyio.move_on_after(5.0):
            await self.ask(engine, messages)
        assert await self.ask(engine, self.prompt)


async def _items(texts: Sequence[str]) -> AsyncGenerator[str, None]:
    for text in texts:
        yield text
