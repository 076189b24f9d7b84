"""One utterance through Whisper: a window that fits it, its language, its words, and whether to believe them."""

from __future__ import annotations

import importlib
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sipcore.plugins import Transcript

from sipcore_stt_whisper import Config
from sipcore_stt_whisper.audio import RATE

WINDOWS = (10, 15, 30)
"""Seconds that the encoder sees. It was trained on 30; 10 cost a percent of words, and less makes it loop."""
SLACK = 0.4
"""Seconds of a window that stay empty: the decoder needs them to find the end."""
FRAMES_A_SECOND = 100
LONGEST = 448
LOOP_RATIO = 2.4
"""Text that compresses better than this repeats itself; where there is no speech, this is enough:"""
BEEP_RATIO = 1.2
NO_SPEECH = 0.5
"""The model's own probability that nobody speaks; prompts lie below 0.3, noise and tones above 0.55."""
UNSURE = -0.7
"""Mean log probability of a token below which, without speech, text is invented; prompts lie above -0.4."""
GARBLED = -1.0

Abandoned = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the decoder made of an utterance.

    Args:
        text: the words.
        log_probability: mean of its tokens', 0 being certain.
        no_speech: how probably there is no speech in it.
        cut: whether the decoder had to be stopped.
    """

    text: str
    log_probability: float
    no_speech: float
    cut: bool = False

    @property
    def is_invented(self) -> bool:
        """Whether this is what Whisper says to noise: no word at all, or unsure or beeping ones where nobody speaks."""
        if not any(letter.isalnum() for letter in self.text):
            return True
        return self.no_speech > NO_SPEECH and (self.log_probability < UNSURE or self._repetition > BEEP_RATIO)

    @property
    def is_doubtful(self) -> bool:
        """Whether the stock path should have a second look: it loops, or hardly believes its own words."""
        return self.cut or self._repetition > LOOP_RATIO or self.log_probability < GARBLED

    @property
    def _repetition(self) -> float:
        encoded = self.text.encode()
        return len(encoded) / len(zlib.compress(encoded))


class Transcriber:
    """Blocking transcription on one loaded model; several threads may use it at once.

    Args:
        model: a ``faster_whisper.WhisperModel``.
        config: the plugin's settings.
    """

    def __init__(self, model: Any, config: Config) -> None:
        self._model = model
        self._config = config
        self._library: Any = importlib.import_module("faster_whisper.transcribe")
        self._pad: Callable[[Any, int], Any] = importlib.import_module("faster_whisper.audio").pad_or_trim
        self._languages = frozenset[str](model.supported_languages)
        self._suppressed = self._library.get_suppressed_tokens(self._tokenizer("en"), [-1])

    def warm_up(self) -> None:
        """Run every step once: the first run allocates."""
        noise = np.random.default_rng(0).normal(0, 0.01, RATE).astype(np.float32)
        self.transcribe(noise, ("en",), lambda: False)

    def transcribe(self, samples: NDArray[np.float32], expected: Sequence[str], abandoned: Abandoned) -> Transcript:
        """Transcribe an utterance.

        Args:
            samples: 16 kHz, -1 to 1, shape (n,); empty gives no text.
            expected: BCP 47 languages to choose from; those that the model does not know are ignored.
            abandoned: asked between steps; once true the result is of no interest and may be empty.
        """
        seconds = len(samples) / RATE
        window = self._window(seconds)
        if not len(samples) or abandoned():
            return Transcript("", confidence=0.0)
        features = self._model.feature_extractor(samples)
        if abandoned():
            return Transcript("", confidence=0.0)
        encoded = self._model.encode(self._pad(features, window * FRAMES_A_SECOND))
        if abandoned():
            return Transcript("", confidence=0.0)
        language, certainty = self._language(encoded, expected)
        if seconds > WINDOWS[-1]:
            return self._transcript(self._stock(samples, language, abandoned), language, certainty)
        decoded = self._decode(encoded, language, seconds)
        if not decoded.is_invented and decoded.is_doubtful and not abandoned():
            decoded = self._stock(samples, language, abandoned)
        return self._transcript(decoded, language, certainty)

    def _window(self, seconds: float) -> int:
        fitting = [window for window in WINDOWS if window >= seconds + SLACK]
        return fitting[0] if fitting and self._config.short_window else WINDOWS[-1]

    def _language(self, encoded: Any, expected: Sequence[str]) -> tuple[str, float]:
        """Return the most probable of the expected languages, and how probable it is among them."""
        known = {tag.partition("-")[0].lower() for tag in expected or self._config.languages} & self._languages
        choice = known or self._languages
        if len(choice) == 1:
            return next(iter(choice)), 1.0
        probabilities: dict[str, float] = {token[2:-2]: p for token, p in self._model.model.detect_language(encoded)[0]}
        among = {language: probabilities.get(language, 0.0) for language in sorted(choice)}
        best = max(among, key=lambda language: among[language])
        return best, among[best] / (sum(among.values()) or 1.0)

    def _tokenizer(self, language: str) -> Any:
        model = self._model
        return self._library.Tokenizer(
            model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language=language
        )

    def _decode(self, encoded: Any, language: str, seconds: float) -> Decoded:
        tokenizer = self._tokenizer(language)
        prompt = self._model.get_prompt(tokenizer, [], without_timestamps=True)
        most = min(LONGEST - len(prompt), 12 + round(10 * seconds))
        (result,) = self._model.model.generate(
            encoded,
            [prompt],
            beam_size=self._config.beam_size,
            max_length=len(prompt) + most,
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=self._suppressed,
        )
        tokens: list[int] = result.sequences_ids[0]
        mean = result.scores[0] * len(tokens) / (len(tokens) + 1)
        text = str(tokenizer.decode(tokens)).strip()
        return Decoded(text, mean, result.no_speech_prob, cut=len(tokens) >= most)

    def _stock(self, samples: NDArray[np.float32], language: str, abandoned: Abandoned) -> Decoded:
        """Use faster-whisper's own path: 30 s windows one after another, with temperature fallback."""
        segments, _ = self._model.transcribe(
            samples,
            language=language,
            beam_size=max(self._config.beam_size, 5),
            without_timestamps=len(samples) <= WINDOWS[-1] * RATE,
            condition_on_previous_text=False,
        )
        texts: list[str] = []
        weights: list[tuple[float, float]] = []
        silent = 1.0
        for segment in segments:
            if abandoned():
                break
            texts.append(str(segment.text).strip())
            weights.append((float(segment.avg_logprob), max(1, len(segment.tokens))))
            silent = min(silent, float(segment.no_speech_prob))
        total = sum(weight for _, weight in weights) or 1
        mean = sum(log * weight for log, weight in weights) / total
        return Decoded(" ".join(texts), mean, silent)

    @staticmethod
    def _transcript(decoded: Decoded, language: str, certainty: float) -> Transcript:
        if decoded.is_invented:
            return Transcript("", confidence=0.0)
        sure = math.exp(min(0.0, decoded.log_probability)) * certainty
        return Transcript(decoded.text, language, max(0.001, min(1.0, sure)))
