"""Recordings, when the disk works and when it does not."""

import errno
import os
import time

import numpy as np
import pytest
from sipcore.audio.wav import read_audio
from sipcore.errors import MediaError
from sipcore.media import recorder as module
from sipcore.media.recorder import BLOCK_FRAMES, Recorder

FRAMES = np.arange(2 * 160, dtype=np.int16).reshape(2, 160)


@pytest.fixture
def recorder():
    failures = []
    made = Recorder(3, lambda handle, reason: failures.append((handle, reason)))
    made.failures = failures
    yield made
    made.close(5.0)


def wait_for(what) -> None:
    end = time.monotonic() + 5
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_only_the_calls_that_are_recorded_are_and_each_in_its_own_file(recorder, tmp_path) -> None:
    recorder.add(np.array([0, 1]), FRAMES, FRAMES)
    recorder.start(1, 11, str(tmp_path / "one.wav"), 1)
    recorder.add(np.array([0, 1]), FRAMES, -FRAMES)
    recorder.add(np.array([0]), FRAMES[:1], FRAMES[:1])
    recorder.start(0, 10, str(tmp_path / "two.wav"), 2)
    recorder.add(np.array([0, 1]), FRAMES, -FRAMES)

    assert [recorder.stop(row) for row in range(3)] == [0.02, 0.04, 0.0]
    recorder.close(5.0)
    assert (read_audio(tmp_path / "one.wav", 8000).samples == np.tile(FRAMES[1], 2)).all()
    stereo = np.frombuffer((tmp_path / "two.wav").read_bytes()[44:], np.int16).reshape(-1, 2)
    assert (stereo == np.stack([FRAMES[0], -FRAMES[0]], axis=1)).all()
    assert recorder.failures == []


def test_the_file_is_there_from_the_start_and_grows_by_half_seconds(recorder, tmp_path) -> None:
    path = tmp_path / "call.wav"
    recorder.start(0, 10, str(path), 1)
    wait_for(lambda: path.exists() and path.stat().st_size == 44)
    for _ in range(2 * BLOCK_FRAMES + 3):
        recorder.add(np.array([0]), FRAMES[:1], FRAMES[:1])

    wait_for(lambda: path.stat().st_size == 44 + 2 * 2 * BLOCK_FRAMES * 160)
    assert read_audio(path, 8000).duration == 1.0


def test_a_call_is_recorded_once_at_a_time_and_no_file_is_written_over(recorder, tmp_path) -> None:
    (tmp_path / "old.wav").write_text("mine")
    recorder.start(0, 10, str(tmp_path / "old.wav"), 1)
    with pytest.raises(MediaError, match="already"):
        recorder.start(0, 10, str(tmp_path / "new.wav"), 1)

    wait_for(lambda: recorder.failures)
    assert recorder.failures[0][0] == 10
    assert "there is something in it already" in recorder.failures[0][1]
    assert (tmp_path / "old.wav").read_text() == "mine"


def test_a_name_that_was_reserved_by_an_empty_file_is_used(recorder, tmp_path) -> None:
    (tmp_path / "call.wav").touch(0o600)
    recorder.start(0, 10, str(tmp_path / "call.wav"), 1)
    recorder.add(np.array([0]), FRAMES[:1], FRAMES[:1])
    recorder.stop(0)
    recorder.close(5.0)
    assert read_audio(tmp_path / "call.wav", 8000).duration == 0.02


def test_a_full_disk_stops_the_recording_that_stays_playable(recorder, tmp_path, monkeypatch) -> None:
    path = tmp_path / "call.wav"
    recorder.start(0, 10, str(path), 1)
    write, room = os.write, [44 + 8000 + 44 + 5000]

    def full(descriptor, data) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = write(descriptor, data[: room[0]])
        room[0] -= count
        return count

    monkeypatch.setattr(module.os, "write", full)
    for _ in range(5 * BLOCK_FRAMES):
        recorder.add(np.array([0]), FRAMES[:1], FRAMES[:1])

    wait_for(lambda: recorder.failures)
    recorder.stop(0)
    recorder.close(5.0)
    assert recorder.failures == [(10, f"{path}: No space left on device")]
    assert read_audio(path, 8000).duration == 0.5


def test_a_disk_that_hangs_costs_the_recording_and_no_memory(recorder, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "BACKLOG_BLOCKS", 3)
    recorder.start(0, 10, str(tmp_path / "call.wav"), 1)
    wait_for((tmp_path / "call.wav").exists)
    write = os.write
    monkeypatch.setattr(module.os, "write", lambda *data: time.sleep(0.3) or write(*data))
    for _ in range(6 * BLOCK_FRAMES):
        recorder.add(np.array([0]), FRAMES[:1], FRAMES[:1])

    assert len(recorder.failures) == 1
    assert "does not keep up" in recorder.failures[0][1]
