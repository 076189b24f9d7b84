"""Replies are kept as files, in the background, and a full disk costs no call."""

import numpy as np
import pytest
from sipcore.app import replies
from sipcore.app.replies import open_keeper
from sipcore.audio.frame import AudioFrame
from sipcore.audio.wav import read_audio
from sipcore.plugins import CallInfo

pytestmark = pytest.mark.anyio
AUDIO = AudioFrame.from_samples(np.arange(800, dtype=np.int16), 8000)


def info(call_id):
    return CallInfo(call_id, "incoming", "sip:alice@test", "sip:bob@test")


async def test_each_reply_is_a_file_that_nobody_else_may_read(tmp_path):
    folder = tmp_path / "output" / "response"
    async with open_keeper(folder) as keeper:
        for number in (1, 2):
            keeper.keep(info("a"), number, AUDIO)
    first, second = sorted(folder.iterdir(), key=lambda path: path.stem[-1])
    assert (first.stem[-2:], second.stem[-2:]) == ("_1", "_2")
    assert first.stem.split("_")[1] == second.stem.split("_")[1], "the tag of the call"
    assert first.stat().st_mode & 0o777 == 0o600
    assert read_audio(first, 8000).pcm == AUDIO.pcm


async def test_no_call_id_leads_out_of_the_folder(tmp_path):
    async with open_keeper(tmp_path / "response") as keeper:
        for call_id in ("../../etc/passwd", "/etc/passwd", "\ud800\0", "{}{0}"):
            keeper.keep(info(call_id), 1, AUDIO)
    assert len(list((tmp_path / "response").iterdir())) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["response"]


async def test_a_folder_that_cannot_be_made_is_told_once(tmp_path, caplog):
    (tmp_path / "response").write_text("in the way")
    async with open_keeper(tmp_path / "response") as keeper:
        for number in (1, 2, 3):
            keeper.keep(info("a"), number, AUDIO)
    assert caplog.text.count("a reply is not kept, and no further one until this is mended") == 1


async def test_a_slow_disk_costs_replies_and_not_memory(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(replies, "WAITING", 2)
    async with open_keeper(tmp_path / "response") as keeper:
        for number in range(1, 6):
            keeper.keep(info("a"), number, AUDIO)
    assert len(list((tmp_path / "response").iterdir())) == 2
    assert caplog.text.count("2 replies wait for a slow disk") == 1
