"""Audio files: read, written, repaired."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sipcore.audio.frame import AudioFrame
from sipcore.audio.tones import sine
from sipcore.audio.wav import read_audio, repair, write_wav
from sipcore.errors import MediaError


@pytest.mark.parametrize(
    ("name", "subtype"), [("a.wav", "PCM_16"), ("a.wav", "FLOAT"), ("a.flac", "PCM_16"), ("a.wav", "ULAW")]
)
def test_a_file_of_any_kind_is_read(tmp_path: Path, name: str, subtype: str) -> None:
    soundfile.write(tmp_path / name, sine(440, 0.5) / 32768, 8000, subtype=subtype)

    audio = read_audio(tmp_path / name, 8000)

    assert audio.sample_rate == 8000
    assert np.abs(audio.samples.astype(int) - sine(440, 0.5)).max() < 300


def test_stereo_at_another_rate_is_averaged_and_resampled(tmp_path: Path) -> None:
    left = sine(440, 0.5, 44100)
    soundfile.write(tmp_path / "a.wav", np.stack([left, -left], axis=1), 44100)

    audio = read_audio(tmp_path / "a.wav", 8000)

    assert audio.duration == pytest.approx(0.5)
    assert np.abs(audio.samples).max() <= 1


def test_an_open_file_is_read_too() -> None:
    file = io.BytesIO()
    soundfile.write(file, sine(440, 0.1), 8000, format="WAV")
    file.seek(0)
    assert read_audio(file, 8000).samples.tolist() == sine(440, 0.1).tolist()


def test_what_cannot_be_read_is_said_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.int16), 8000)

    for name, text in (("text.wav", "cannot be read"), ("none.wav", "cannot be read"), ("empty.wav", "holds no audio")):
        with pytest.raises(MediaError, match=f"{name} {text}"):
            read_audio(tmp_path / name, 8000)


def test_what_is_written_is_read_back_and_repaired_after_a_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_wav(path, AudioFrame.from_samples(sine(440, 0.1), 8000))
    assert (read_audio(path, 8000).samples == sine(440, 0.1)).all()

    path.write_bytes(path.read_bytes()[:-101])
    assert repair(path)
    assert not repair(path)
    assert len(read_audio(path, 8000).samples) == 800 - 51
