"""Silero at a call's own 8 kHz and at 16 kHz."""

import sys
from pathlib import Path

import numpy as np
import pytest
import sipcore_vad_silero
from sipcore.plugins import ModelMissingError, PluginError, Resampler, models
from sipcore_vad_silero import Config, installed_file, load, open_silero

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", autouse=True)
def model(pulled) -> Path:
    return pulled("silero-vad") / "silero_vad.onnx"


def judge(engine, samples) -> np.ndarray:
    detector = engine.detector()
    size = detector.frame_samples
    return np.array([detector.probability(samples[at : at + size]) for at in range(0, len(samples) - size, size)])


@pytest.mark.parametrize(("rate", "size"), [(8000, 256), (16000, 512)])
async def test_speech_is_told_from_what_is_not(prompts, rate, size):
    async with open_silero(Config(sample_rate=rate)) as engine:
        detector = engine.detector()
        assert (detector.sample_rate, detector.frame_samples) == (rate, size)
        for name, prompt in prompts.items():
            samples = Resampler(8000, rate).process(prompt.audio.samples, last=True)
            probabilities = judge(engine, samples)
            frames = samples[: len(probabilities) * size].reshape(-1, size).astype(float)
            loud = np.sqrt((frames**2).mean(axis=1)) > 500
            assert (probabilities[loud] > 0.5).mean() > 0.9, name
        time = np.arange(rate * 4) / rate
        random = np.random.default_rng(0)
        for sound in (
            np.zeros(rate * 4),
            random.normal(0, 300, rate * 4),
            random.normal(0, 3000, rate * 4),
            8000 * np.sin(2 * np.pi * 425 * time),
            8000 * (np.sin(2 * np.pi * 697 * time) + np.sin(2 * np.pi * 1209 * time)),
        ):
            assert judge(engine, sound.astype(np.int16)).max() < 0.3


async def test_a_model_that_is_not_here_names_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("SIPCORE_MODELS", str(tmp_path))
    monkeypatch.setattr(sipcore_vad_silero, "installed_file", lambda: None)
    assert Config().models() == ("silero-vad",)
    with pytest.raises(ModelMissingError, match=r"run `sipcore models pull silero-vad`"):
        async with open_silero(Config()):
            pass


async def test_an_installed_silero_vad_is_found_and_not_imported(monkeypatch, tmp_path, model):
    info = tmp_path / "silero_vad-6.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: silero-vad\nVersion: 6.2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installed_file() is None, "the distribution has no such file"
    file = tmp_path / "silero_vad" / "data" / "silero_vad.onnx"
    file.parent.mkdir(parents=True)
    (tmp_path / "silero_vad" / "__init__.py").write_text("raise ImportError('torch')")
    file.write_bytes(model.read_bytes())
    assert installed_file() == file
    assert Config().models() == ()
    assert models.missing(Config()) == ()
    async with open_silero(Config()) as engine:
        assert judge(engine, np.zeros(2000, np.int16)).max() < 0.5
    assert "silero_vad" not in sys.modules


def test_a_file_that_is_no_model_is_named(tmp_path):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"nothing")
    with pytest.raises(PluginError, match=r"bad.onnx cannot be loaded as Silero's model: "):
        load(bad)


def test_another_model_is_refused(pulled):
    voice = pulled("en_US-joe-medium") / "en_US-joe-medium.onnx"
    with pytest.raises(PluginError, match=r"is another model .*: its inputs are input, input_lengths, scales"):
        load(voice)


def test_a_file_of_ones_own_needs_no_model():
    assert Config(path=Path("own.onnx")).models() == ()
