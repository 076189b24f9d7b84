"""app/sound_files.py: what PLAY may play."""

import os

import numpy as np
import pytest
from sipcore.app.sound_files import SoundFiles
from sipcore.audio.frame import AudioFrame
from sipcore.audio.tones import sine
from sipcore.audio.wav import write_wav
from sipcore.errors import RemoteProtocolError

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "output"
    (folder / "menu").mkdir(parents=True)
    write_wav(folder / "menu" / "hello.wav", AudioFrame.from_samples(sine(400, 0.5, 16000), 16000))
    write_wav(folder / "a b##c.wav", AudioFrame.from_samples(sine(400, 0.1), 8000))
    write_wav(tmp_path / "secret.wav", AudioFrame.from_samples(sine(400, 0.1), 8000))
    (tmp_path / "output-old").mkdir()
    write_wav(tmp_path / "output-old" / "x.wav", AudioFrame.from_samples(sine(400, 0.1), 8000))
    return folder


async def refusal(folder, name):
    with pytest.raises(RemoteProtocolError) as caught:
        await SoundFiles(folder, 8000).load(name)
    return caught.value.status


@pytest.mark.parametrize("name", ["menu/hello.wav", "./menu/hello.wav", "menu/../menu/hello.wav"])
async def test_a_file_below_the_folder_is_played_at_the_rate_of_the_call(folder, name):
    frame = await SoundFiles(folder, 8000).load(name)
    assert frame.sample_rate == 8000
    assert frame.duration == pytest.approx(0.5, abs=0.01)


async def test_a_name_may_hold_spaces_and_separators(folder):
    assert (await SoundFiles(folder, 8000).load("a b##c.wav")).duration == pytest.approx(0.1)


async def test_a_link_within_the_folder_is_followed_and_the_folder_may_be_one(folder, tmp_path):
    (folder / "link.wav").symlink_to("menu/hello.wav")
    (tmp_path / "here").symlink_to(folder)
    assert (await SoundFiles(tmp_path / "here", 8000).load("link.wav")).duration == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    "name", ["../secret.wav", "menu/../../secret.wav", "/etc/passwd", "../output-old/x.wav", "..", "/", "../missing"]
)
async def test_what_lies_elsewhere_is_forbidden_whether_it_is_there_or_not(folder, name):
    assert await refusal(folder, name) == 403


async def test_a_link_out_of_the_folder_is_forbidden(folder, tmp_path):
    (folder / "out.wav").symlink_to(tmp_path / "secret.wav")
    (folder / "outside").symlink_to(tmp_path)
    assert await refusal(folder, "out.wav") == 403
    assert await refusal(folder, "outside/secret.wav") == 403


@pytest.mark.parametrize("name", ["missing.wav", "menu", ".", "", "x" * 300, "x/" * 2000, "menu/hello.wav/x", "a\0b"])
async def test_what_is_no_file_is_not_found(folder, name):
    assert await refusal(folder, name) == 404


async def test_links_in_a_circle_and_pipes_are_not_found(folder):
    (folder / "one.wav").symlink_to("two.wav")
    (folder / "two.wav").symlink_to("one.wav")
    os.mkfifo(folder / "pipe.wav")
    assert await refusal(folder, "one.wav") == 404
    assert await refusal(folder, "pipe.wav") == 404


@pytest.mark.parametrize("content", [b"", b"RIFF", b"#!/bin/sh\n", os.urandom(5000)])
async def test_what_is_no_sound_cannot_be_played(folder, content):
    (folder / "noise.wav").write_bytes(content)
    assert await refusal(folder, "noise.wav") == 415


async def test_what_is_too_long_is_not_played(folder):
    write_wav(folder / "long.wav", AudioFrame.from_samples(np.zeros(601 * 8000, np.int16), 8000))
    assert await refusal(folder, "long.wav") == 413
