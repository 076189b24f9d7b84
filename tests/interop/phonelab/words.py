"""Words: write down what was heard, and count how many are wrong. It owes nothing to the code under test."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sipcore.plugins import models

from phonelab import waves


class Listener:
    """Whisper tiny, by itself."""

    def __init__(self) -> None:
        from faster_whisper import WhisperModel

        self._model = WhisperModel(str(models.find("tiny.en")), device="cpu", compute_type="int8", cpu_threads=2)

    def write_down(self, samples: waves.Samples) -> str:
        """The words in a recording at 8 kHz."""
        segments, _ = self._model.transcribe(_for_whisper(samples), beam_size=1, language="en")
        return " ".join(segment.text.strip() for segment in segments)


class LanguageJudge:
    """Whisper base, by itself: which language a recording is in. It owes nothing to the code under test."""

    def __init__(self) -> None:
        from faster_whisper import WhisperModel

        self._model = WhisperModel(str(models.find("base")), device="cpu", compute_type="int8", cpu_threads=2)

    def listen(self, samples: waves.Samples) -> tuple[str, str]:
        """The code of the language that is spoken in a recording at 8 kHz, of all that Whisper knows; and the words."""
        loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > 500)
        spoken = samples[max(0, loud[0] - 2000) : loud[-1] + 2000] if len(loud) else samples
        segments, found = self._model.transcribe(_for_whisper(spoken), beam_size=1)
        return found.language, " ".join(segment.text.strip() for segment in segments)


def _for_whisper(samples: waves.Samples) -> NDArray[np.float32]:
    twice = np.interp(np.arange(2 * len(samples)) / 2, np.arange(len(samples)), samples) / 32768
    return twice.astype(np.float32)


def word_error_rate(said: str, understood: str) -> float:
    """Substituted, left out and added words as a share of those said; case and signs do not count."""
    reference, heard = words(said), words(understood)
    return _distance(reference, heard) / max(1, len(reference))


def words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return re.findall(r"[a-z0-9']+", text.lower())


def _distance(first: Sequence[str], second: Sequence[str]) -> int:
    row = list(range(len(second) + 1))
    for number, one in enumerate(first, 1):
        diagonal, row[0] = row[0], number
        for place, other in enumerate(second, 1):
            diagonal, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, diagonal + (one != other))
    return row[-1]
