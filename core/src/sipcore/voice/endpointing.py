"""Where an utterance begins and ends: speech probabilities in, events out. No clock: time is audio."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sipcore.audio.frame import AudioFrame
from sipcore.audio.resample import Resampler
from sipcore.plugins.interfaces import SpeechDetector
from sipcore.voice.assistant import TurnTaking

HYSTERESIS = 0.15
LOWEST_BAR = 0.01
"""Speech probability under which a frame is silence, whatever the settings."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The caller speaks, since ``at`` (seconds of audio heard)."""

    at: float


@dataclass(frozen=True, slots=True)
class CandidateEnded:
    """The caller paused: ``audio`` is the utterance so far, whose speech ended at ``at``."""

    at: float
    audio: AudioFrame


@dataclass(frozen=True, slots=True)
class SpeechResumed:
    """The caller went on after a pause: the candidate was none."""

    at: float


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The caller is done; the last candidate is the utterance."""

    at: float


@dataclass(frozen=True, slots=True)
class SpeechWentOn:
    """The caller speaks and speaks: ``audio`` is the utterance so far, up to ``at``."""

    at: float
    audio: AudioFrame


SpeechEvent: TypeAlias = SpeechStarted | SpeechWentOn | CandidateEnded | SpeechResumed | TurnEnded
State: TypeAlias = Literal["silent", "speaking", "paused"]


class Endpointer:
    """Cuts what one caller says into utterances.

    ``silent → speaking`` after `min_speech`; ``speaking → paused`` after `candidate_silence`, with the utterance so
    far; ``paused → speaking`` when speech comes back; ``paused → silent`` after `end_silence`: the turn is over.
    While it is ``speaking``, every `interim` seconds the utterance so far comes out; nothing is cut by that.
    """

    def __init__(self, rules: TurnTaking, detector: SpeechDetector, sample_rate: int) -> None:
        self._rules = rules
        self._detector = detector
        self._step = detector.frame_samples / detector.sample_rate
        self._resampler = Resampler(sample_rate, detector.sample_rate) if sample_rate != detector.sample_rate else None
        self._pending = np.empty(0, np.int16)
        self._before: deque[NDArray[np.int16]] = deque(
            maxlen=round((rules.pre_roll + rules.min_speech) / self._step) + 1
        )
        self._utterance: list[NDArray[np.int16]] = []
        self._position = 0.0
        self._run = 0.0
        self._silence = 0.0
        self._started = 0.0
        self._last_speech = 0.0
        self._told = 0.0
        self.state: State = "silent"

    @property
    def position(self) -> float:
        """Seconds of audio heard, that of the detector's unfinished frame included."""
        return self._position + len(self._pending) / self._detector.sample_rate

    @property
    def speech(self) -> float:
        """Seconds that the caller has been speaking without a pause; 0 when silent."""
        return self._last_speech - self._started if self.state == "speaking" else 0.0

    @property
    def silence(self) -> float:
        """Seconds since the last frame of speech."""
        return self._silence

    def hear(self, frame: AudioFrame) -> Iterator[SpeechEvent]:
        """Take the next audio of the call, any length; yield what follows from it."""
        samples = frame.samples
        if self._resampler is not None:
            samples = self._resampler.process(samples)
        samples = np.concatenate((self._pending, samples))
        size = self._detector.frame_samples
        whole = len(samples) // size * size
        self._pending = samples[whole:]
        for block in samples[:whole].reshape(-1, size):
            yield from self._block(block)

    def _block(self, block: NDArray[np.int16]) -> Iterator[SpeechEvent]:
        probability = self._detector.probability(block)
        self._position += self._step
        bar = self._rules.threshold - (HYSTERESIS if self._run or self.state == "speaking" else 0.0)
        if probability >= max(bar, LOWEST_BAR):
            self._run += self._step
            self._silence = 0.0
        else:
            self._run = 0.0
            self._silence += self._step
        if self.state == "silent":
            yield from self._while_silent(block)
        else:
            self._utterance.append(block)
            yield from self._while_speaking() if self.state == "speaking" else self._while_paused()

    def _while_silent(self, block: NDArray[np.int16]) -> Iterator[SpeechEvent]:
        self._before.append(block)
        if not self._run or self._run < self._rules.min_speech:
            return
        self.state = "speaking"
        self._started = self._position - self._run
        self._last_speech = self._position
        self._told = self._started
        self._utterance = list(self._before)
        self._before.clear()
        yield SpeechStarted(self._started)

    def _while_speaking(self) -> Iterator[SpeechEvent]:
        if self._run:
            self._last_speech = self._position
        length = self._position - self._started
        if self._silence >= self._rules.candidate_silence or length >= self._rules.max_utterance:
            self.state = "paused"
            yield CandidateEnded(self._last_speech, self._audio())
            if length >= self._rules.max_utterance:
                yield self._end()
        elif self._run and 0 < self._rules.interim <= self._position - self._told:
            self._told = self._position
            yield SpeechWentOn(self._position, self._audio())

    def _while_paused(self) -> Iterator[SpeechEvent]:
        if self._run and self._run >= self._rules.min_speech:
            self.state = "speaking"
            self._last_speech = self._told = self._position
            yield SpeechResumed(self._position - self._run)
        elif self._position - self._last_speech >= self._rules.end_silence and not self._run:
            yield self._end()

    def _end(self) -> TurnEnded:
        self.state = "silent"
        self._utterance = []
        self._run = 0.0
        return TurnEnded(self._last_speech)

    def _audio(self) -> AudioFrame:
        return AudioFrame.from_samples(np.concatenate(self._utterance), self._detector.sample_rate)
