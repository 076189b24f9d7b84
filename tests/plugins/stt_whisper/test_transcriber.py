"""Whisper's words, its doubts and its windows, on real speech and real noise."""

import numpy as np
import pytest
from sipcore.plugins.words import count_errors, split_words
from sipcore_stt_whisper import Config
from sipcore_stt_whisper.audio import RATE, for_whisper
from sipcore_stt_whisper.loading import load
from sipcore_stt_whisper.transcriber import Decoded, Transcriber

NEVER = bool
DIGITS = {"7": "seven", "8": "eight", "1": "one", "2": "two"}


@pytest.fixture(scope="module")
def english(pulled):
    pulled("tiny.en")
    config = Config(model="tiny.en", device="cpu")
    return Transcriber(load(config, 2), config)


@pytest.fixture(scope="module")
def multilingual(pulled):
    pulled("base")
    config = Config(model="base", device="cpu")
    return Transcriber(load(config, 2), config)


def words(text: str) -> list[str]:
    return [DIGITS.get(word, word) for word in split_words(text)]


def test_telephone_speech_is_understood(english, prompts):
    wrong = total = 0
    for prompt in prompts.values():
        transcript = english.transcribe(for_whisper(prompt.audio), (), NEVER)
        wrong += count_errors(words(prompt.text), words(transcript.text))
        total += len(words(prompt.text))
        assert transcript.language == "en"
        assert 0.6 < transcript.confidence <= 1.0
    assert wrong / total <= 0.08


def joined(prompts, names: list[str]) -> np.ndarray:
    return np.concatenate([for_whisper(prompts[name].audio) for name in names])


@pytest.mark.parametrize("count", [2, 4, 12], ids=["10 s window", "15 s window", "longer than any window"])
def test_long_utterances_are_understood_to_the_end(english, prompts, count):
    names = (list(prompts) * 3)[:count]
    samples = joined(prompts, names)
    reference = [word for name in names for word in words(prompts[name].text)]
    heard = words(english.transcribe(samples, (), NEVER).text)
    assert count_errors(reference, heard) / len(reference) <= 0.12


@pytest.mark.parametrize("level", [30, 300, 3000], ids=["faint", "line noise", "loud"])
@pytest.mark.parametrize("seconds", [0.3, 1.0, 4.0])
def test_noise_has_no_words(english, multilingual, level, seconds):
    noise = np.random.default_rng(0).normal(0, level / 32768, round(seconds * RATE)).astype(np.float32)
    assert english.transcribe(noise, (), NEVER).text == ""
    assert multilingual.transcribe(noise, ("en",), NEVER).text == ""


@pytest.mark.parametrize("frequencies", [(440,), (697, 1209), (425,)], ids=["a tone", "a key", "busy"])
@pytest.mark.parametrize("seconds", [0.5, 0.8, 2.0])
def test_tones_have_no_words(english, frequencies, seconds):
    time = np.arange(seconds * RATE) / RATE
    sound = sum(0.2 * np.sin(2 * np.pi * f * time) for f in frequencies).astype(np.float32)
    transcript = english.transcribe(sound, (), NEVER)
    assert (transcript.text, transcript.language, transcript.confidence) == ("", "", 0.0)


def test_the_language_is_guessed_among_those_expected(multilingual, prompts):
    samples = for_whisper(prompts["vm-newuser"].audio)
    free = multilingual.transcribe(samples, (), NEVER)
    told = multilingual.transcribe(samples, ("en-US",), NEVER)
    either = multilingual.transcribe(samples, ("de-DE", "en-GB"), NEVER)
    assert free.language == told.language == either.language == "en"
    assert told.text == either.text
    assert 0 < either.confidence <= told.confidence
    assert multilingual.transcribe(samples, ("de", "fr"), NEVER).language in {"de", "fr"}


def test_languages_of_the_settings_hold_when_the_assistant_names_none(pulled, prompts):
    pulled("base")
    config = Config(model="base", device="cpu", languages=["de"])
    german = Transcriber(load(config, 2), config)
    assert german.transcribe(for_whisper(prompts["vm-delete"].audio), (), NEVER).language == "de"


def test_the_stock_window_gives_the_same_words(english, prompts, pulled):
    pulled("tiny.en")
    config = Config(model="tiny.en", device="cpu", short_window=False)
    stock = Transcriber(load(config, 2), config)
    samples = for_whisper(prompts["conf-getpin"].audio)
    assert stock.transcribe(samples, (), NEVER).text == english.transcribe(samples, (), NEVER).text


def test_a_loop_gets_a_second_look_by_the_stock_path(english, prompts, monkeypatch):
    loop = Decoded("pin number " * 40, -0.1, 0.0)
    monkeypatch.setattr(english, "_decode", lambda encoded, language, seconds: loop)
    transcript = english.transcribe(for_whisper(prompts["conf-getpin"].audio), (), NEVER)
    assert words(transcript.text) == words(prompts["conf-getpin"].text)


@pytest.mark.parametrize(
    ("decoded", "invented", "doubtful"),
    [
        (Decoded("Please wait.", -0.2, 0.02), False, False),
        (Decoded("Please wait.", -0.2, 0.95), False, False),
        (Decoded("Thank you.", -0.9, 0.8), True, False),
        (Decoded("Beep Beep Beep Beep Be", -0.3, 0.8), True, False),
        (Decoded("No, no, no!", -0.3, 0.1), False, False),
        (Decoded(". . . . . .", -0.1, 0.1), True, False),
        (Decoded("", -0.1, 0.1), True, False),
        (Decoded("well " * 60, -0.1, 0.1), False, True),
        (Decoded("garbled words", -1.4, 0.1), False, True),
        (Decoded("cut off", -0.2, 0.1, cut=True), False, True),
    ],
)
def test_what_is_believed(decoded, invented, doubtful):
    assert decoded.is_invented is invented
    assert decoded.is_doubtful is doubtful


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_an_abandoned_utterance_stops_at_the_next_step(english, prompts, steps):
    asked = []

    def abandoned() -> bool:
        asked.append(1)
        return len(asked) > steps

    assert english.transcribe(for_whisper(prompts["conf-getpin"].audio), (), abandoned).text == ""
    assert len(asked) == steps + 1


def test_an_abandoned_long_utterance_stops_at_the_next_segment(english, prompts):
    samples = joined(prompts, list(prompts) * 3)
    asked = []

    def abandoned() -> bool:
        asked.append(1)
        return len(asked) > 4

    heard = english.transcribe(samples, (), abandoned).text
    assert len(words(heard)) < 60
