"""Whisper's short window against its stock path, on telephone speech: words wrong, and time for an utterance.

    .venv/bin/python bench/stt.py [--model tiny.en] [--speech FOLDER] [--rounds 3]

The folder holds 8 kHz WAV files and an index.tsv (file, seconds, text). Times are wall time, best of the rounds.
"""

from __future__ import annotations

import argparse
import csv
import time
import wave
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sipcore.plugins import AudioFrame, models
from sipcore.plugins.words import count_errors, split_words
from sipcore_stt_whisper import Config
from sipcore_stt_whisper.audio import RATE, for_whisper
from sipcore_stt_whisper.engine import threads_for
from sipcore_stt_whisper.loading import load
from sipcore_stt_whisper.transcriber import Transcriber

SPEECH = Path(__file__).parents[1] / "tests" / "vectors" / "speech"
DIGITS = {"0": "zero", "1": "one", "2": "two", "3": "three", "7": "seven", "8": "eight"}
MU = 255.0


def over_the_phone(path: Path) -> NDArray[np.float32]:
    """Read a WAV and pass it through µ-law, as a call would."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
        rate = file.getframerate()
    curve = np.sign(samples) * np.log1p(MU * np.abs(samples)) / np.log1p(MU)
    coded = np.round(curve * 127) / 127
    heard = np.sign(coded) * np.expm1(np.abs(coded) * np.log1p(MU)) / MU
    return for_whisper(AudioFrame.from_samples((heard * 32767).astype(np.int16), rate))


def words(text: str) -> list[str]:
    """Return a text's words, digits spelt out."""
    return [DIGITS.get(word, word) for word in split_words(text)]


def stock(model: Any, samples: NDArray[np.float32], beam: int) -> str:
    """Transcribe as faster-whisper does by itself."""
    segments, _ = model.transcribe(samples, language="en", beam_size=beam, condition_on_previous_text=False)
    return " ".join(segment.text.strip() for segment in segments)


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", action="append", help="tiny.en by default; may be given again")
    options.add_argument("--speech", type=Path, default=SPEECH)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    with (chosen.speech / "index.tsv").open() as index:
        rows = list(csv.DictReader(index, delimiter="\t"))
    speech = [(over_the_phone(chosen.speech / row["file"]), words(row["text"])) for row in rows]
    seconds = sum(len(samples) for samples, _ in speech) / RATE
    print(f"{len(speech)} utterances, {seconds:.0f} s, {sum(len(text) for _, text in speech)} words")
    print(f"{'model':10} {'path':12} {'WER':>6} {'ms each':>8} {'real time':>9} {'ratio':>6}")
    for name in chosen.model or ["tiny.en"]:
        models.pull([name])
        config = Config(model=name)
        model = load(config, threads_for(config))
        ours = Transcriber(model, config)
        paths = {
            "stock beam 5": lambda x, model=model: stock(model, x, 5),
            "stock beam 1": lambda x, model=model: stock(model, x, 1),
            "short window": lambda x, ours=ours: ours.transcribe(x, ("en",), lambda: False).text,
        }
        base = 0.0
        for path, transcribe in paths.items():
            wrong, best = 0, float("inf")
            for _ in range(chosen.rounds):
                started = time.perf_counter()
                heard = [transcribe(samples) for samples, _ in speech]
                best = min(best, time.perf_counter() - started)
                pairs = zip(speech, heard, strict=True)
                wrong = sum(count_errors(text, words(said)) for (_, text), said in pairs)
            base = base or best
            rate = wrong / sum(len(text) for _, text in speech)
            each = best / len(speech) * 1000
            print(f"{name:10} {path:12} {rate:6.1%} {each:8.0f} {best / seconds:9.3f} {base / best:5.1f}x")


if __name__ == "__main__":
    main()
