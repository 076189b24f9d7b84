"""Voice activity detection by Silero's model, on onnxruntime alone."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Literal, Protocol

import anyio.to_thread
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from sipcore.plugins import VAD, PluginError, Provider, SpeechDetector, find_model, hookimpl

MODEL = "silero-vad"
FILE = "silero_vad.onnx"
FRAME_SECONDS = 0.032
CONTEXT_SECONDS = 0.004
STATE_SHAPE = (2, 1, 128)


class Config(BaseModel, extra="forbid"):
    """Settings ``[vad.silero]``."""

    sample_rate: Literal[8000, 16000] = 8000
    """Samples a second that the model sees: 8000 is a phone call's own, 16000 is for wideband calls."""
    path: Path | None = None
    """The ONNX file; by default that of an installed ``silero-vad``, else the model ``silero-vad``."""

    def models(self) -> Sequence[str]:
        """Return the models that must be pulled: none when a file is there already."""
        return () if self.path or installed_file() else (MODEL,)


class Session(Protocol):
    """What is used of an onnxruntime session."""

    def run(self, output_names: Sequence[str] | None, input_feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the model once."""
        ...


class SileroDetector:
    """The detector of one call: 32 ms frames; the model's state and the last 4 ms are carried on."""

    def __init__(self, session: Session, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.frame_samples = round(FRAME_SECONDS * sample_rate)
        self._session = session
        self._context = round(CONTEXT_SECONDS * sample_rate)
        self._rate = np.array(sample_rate, np.int64)
        self._window = np.zeros((1, self._context + self.frame_samples), np.float32)
        self._state = np.zeros(STATE_SHAPE, np.float32)

    def probability(self, frame: NDArray[np.int16]) -> float:
        """Return how probably a frame holds speech, 0 to 1.

        Raises:
            PluginError: the frame has another size than ``frame_samples``.
        """
        if frame.shape != (self.frame_samples,):
            raise PluginError(f"a frame of {frame.size} samples cannot be judged: expected {self.frame_samples}")
        window = self._window
        window[0, : self._context] = window[0, -self._context :]
        window[0, self._context :] = frame
        window[0, self._context :] /= 32768
        output, self._state = self._session.run(None, {"input": window, "state": self._state, "sr": self._rate})
        return float(output[0, 0])


class Silero:
    """The model, shared by all calls; each has a detector of its own."""

    def __init__(self, session: Session, sample_rate: int) -> None:
        self._session = session
        self._rate = sample_rate

    def detector(self) -> SpeechDetector:
        """Make a detector for one call."""
        return SileroDetector(self._session, self._rate)


def installed_file() -> Path | None:
    """Return the model of an installed ``silero-vad``, which is found and not imported: it would import torch."""
    try:
        file = Path(str(distribution("silero-vad").locate_file(f"silero_vad/data/{FILE}")))
    except PackageNotFoundError:
        return None
    return file if file.is_file() else None


def load(file: Path) -> Session:
    """Load the model: one thread, which does not spin between frames.

    Raises:
        PluginError: the file is no such model.
    """
    onnxruntime: Any = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise PluginError(f"{file} cannot be loaded as Silero's model: {str(error).splitlines()[0]}") from error
    inputs = {entry.name for entry in session.get_inputs()}
    if inputs != {"input", "state", "sr"}:
        raise PluginError(f"{file} is another model than Silero's: its inputs are {', '.join(sorted(inputs))}")
    return session


@asynccontextmanager
async def open_silero(config: Config) -> AsyncGenerator[VAD, None]:
    """Load the model in a thread and run it once."""
    file = config.path or installed_file() or find_model(MODEL) / FILE
    engine = Silero(await anyio.to_thread.run_sync(load, file), config.sample_rate)
    detector = engine.detector()
    detector.probability(np.zeros(detector.frame_samples, np.int16))
    yield engine


@hookimpl
def sipcore_vad() -> Provider[Config, VAD]:
    """Provide the detector ``silero``."""
    return Provider("silero", Config, open_silero)
