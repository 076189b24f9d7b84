"""What the tests of the plugins share: real weights in the normal store, and real speech."""

import csv
import wave
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from sipcore.plugins import AudioFrame, models

SPEECH = Path(__file__).parents[1] / "vectors" / "speech"


@pytest.fixture(scope="session")
def pulled() -> Callable[[str], Path]:
    """Return a model's folder by its name, fetched first when it is not there yet."""

    def pull(name: str) -> Path:
        models.pull([name])
        return models.find(name)

    return pull


@dataclass(frozen=True, slots=True)
class Prompt:
    """A spoken prompt and its text."""

    audio: AudioFrame
    text: str


@pytest.fixture(scope="session")
def prompts() -> Mapping[str, Prompt]:
    """Real prompts at 8 kHz, by the name of their file."""
    with (SPEECH / "index.tsv").open() as index:
        rows = list(csv.DictReader(index, delimiter="\t"))
    return {Path(row["file"]).stem: Prompt(_read(SPEECH / row["file"]), row["text"]) for row in rows}


def _read(path: Path) -> AudioFrame:
    with wave.open(str(path)) as file:
        return AudioFrame(file.readframes(file.getnframes()), file.getframerate())
