"""Recording files: names that nobody can steer, repair after a crash, removal of the old."""

from __future__ import annotations

import os
import re
import stat
import wave
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sipcore.audio import riff
from sipcore.call.recording import free_bytes, recording_path, remove_old, repair_recordings
from sipcore.plugins.interfaces import CallInfo, Direction

unhurried = hypothesis_settings(deadline=None)
STARTED = datetime(2026, 11, 23, 10, 15, 0, tzinfo=UTC)
NAME = re.compile(r"\d{8}-\d{6}_(incoming|outgoing)_[A-Za-z0-9+.-]{1,32}_[0-9a-f]{6}\.wav")


def call(call_id: str = "abc@host", caller: str = "sip:alice@host", callee: str = "sip:bob@host") -> CallInfo:
    return CallInfo(call_id, "incoming", caller, callee)


def age(path: Path, days: float) -> None:
    at = (STARTED - timedelta(days=days)).timestamp()
    os.utime(path, (at, at))


def crashed(path: Path, *, claimed: int, written: int) -> None:
    path.write_bytes(riff.header(claimed, 8000, 1) + b"\1" * written)


# --- names


def test_a_name_says_when_which_way_and_who(tmp_path: Path) -> None:
    path = recording_path(tmp_path / "a" / "b", call(), STARTED)
    assert path.parent == tmp_path / "a" / "b"
    assert re.fullmatch(r"20261123-101500_incoming_alice_[0-9a-f]{6}\.wav", path.name)


def test_an_outgoing_call_is_named_after_who_was_called(tmp_path: Path) -> None:
    info = CallInfo("x", "outgoing", "sip:me@here", "sip:+49301234@there")
    assert "_outgoing_+49301234_" in recording_path(tmp_path, info, STARTED).name


@pytest.mark.parametrize(
    ("caller", "user"),
    [
        ('"Alice" <sip:alice@host>;tag=1', "alice"),
        ("sips:alice:secret@host", "alice-secret"),
        ("tel:+4930123;phone-context=x", "+4930123"),
        ("1001", "1001"),
        ("sip:host", "host"),
        ("sip:@host", "anonymous"),
        ("", "anonymous"),
        ("sip:../../etc/passwd@host", "etc-passwd"),
        ("sip:-rf@host", "rf"),
        ("sip:Müller@host", "M-ller"),
        ("sip:" + "a" * 300 + "@host", "a" * 32),
    ],
)
def test_the_user_of_any_uri_makes_a_harmless_part_of_a_name(tmp_path: Path, caller: str, user: str) -> None:
    assert f"_incoming_{user}_" in recording_path(tmp_path, call(caller=caller), STARTED).name


def test_the_file_is_reserved_and_private(tmp_path: Path) -> None:
    path = recording_path(tmp_path / "new", call(), STARTED)
    assert path.stat().st_size == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not stat.S_IMODE(path.parent.stat().st_mode) & 0o007


def test_one_call_recorded_twice_in_a_second_gets_two_files(tmp_path: Path) -> None:
    paths = {recording_path(tmp_path, call(), STARTED) for _ in range(20)}
    assert len(paths) == 20
    assert all(NAME.fullmatch(path.name) for path in paths)


hostile = st.text() | st.sampled_from(["../../etc/x", "a\0b", "x" * 300, "/abs", "..", ".", "\ud800", "a/b\\c"])


@unhurried
@given(hostile, hostile, hostile, st.sampled_from(["incoming", "outgoing"]))
@example("../../etc/x", "sip:../../x@y", "\0", "incoming")
@example("\udcff", "\udcff", "\udcff", "outgoing")
def test_whatever_a_peer_sends_the_file_stays_in_its_folder(
    call_id: str, caller: str, callee: str, direction: Direction
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name) / "recording"
        path = recording_path(folder, CallInfo(call_id, direction, caller, callee), STARTED)
        assert NAME.fullmatch(path.name)
        assert list(Path(name).iterdir()) == [folder]
        assert list(folder.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        recording_path(tmp_path / "file" / "x", call(), STARTED)


# --- repair


def test_what_a_crash_cut_off_is_playable_again(tmp_path: Path) -> None:
    path = recording_path(tmp_path, call(), STARTED)
    crashed(path, claimed=16_000, written=24_001)
    assert repair_recordings(tmp_path) == [path]
    with wave.open(str(path), "rb") as recording:
        assert (recording.getnframes(), recording.getframerate()) == (12_000, 8000)


def test_a_repair_done_twice_changes_nothing_more(tmp_path: Path) -> None:
    path = recording_path(tmp_path, call(), STARTED)
    crashed(path, claimed=24_000, written=16_000)
    assert repair_recordings(tmp_path) == [path]
    before = path.read_bytes()
    assert repair_recordings(tmp_path) == []
    assert path.read_bytes() == before


def test_what_is_no_recording_of_ours_is_left_alone(tmp_path: Path) -> None:
    strange = recording_path(tmp_path, call(), STARTED)
    strange.write_bytes(b"no WAV at all")
    other = tmp_path / "mine.wav"
    crashed(other, claimed=0, written=1000)
    link = tmp_path / "20261123-101500_incoming_link_abcdef.wav"
    link.symlink_to(other)
    before = other.read_bytes()
    assert repair_recordings(tmp_path) == []
    assert (strange.read_bytes(), other.read_bytes(), link.is_symlink()) == (b"no WAV at all", before, True)


def test_a_name_reserved_for_nothing_goes_once_it_is_stale(tmp_path: Path) -> None:
    fresh = recording_path(tmp_path, call("1"), STARTED)
    stale = recording_path(tmp_path, call("2"), STARTED)
    age(stale, days=1)
    assert repair_recordings(tmp_path) == []
    assert list(tmp_path.iterdir()) == [fresh]


def test_a_folder_that_is_not_there_needs_no_repair(tmp_path: Path) -> None:
    assert repair_recordings(tmp_path / "none") == []
    assert remove_old(tmp_path / "none", 7, STARTED) == []


# --- retention


def test_recordings_older_than_the_limit_are_removed(tmp_path: Path) -> None:
    old, new = (recording_path(tmp_path, call(name), STARTED) for name in "ab")
    age(old, days=7.01)
    age(new, days=6.99)
    assert remove_old(tmp_path, 7, STARTED) == [old]
    assert list(tmp_path.iterdir()) == [new]


def test_zero_days_keep_everything_for_ever(tmp_path: Path) -> None:
    path = recording_path(tmp_path, call(), STARTED)
    age(path, days=10_000)
    assert remove_old(tmp_path, 0, STARTED) == []
    assert path.exists()


def test_other_files_are_never_removed(tmp_path: Path) -> None:
    names = ["holiday.wav", "20200101-000000_incoming_a_abcdef.wav.bak", "20200101-000000_incoming_a_abc.wav"]
    for name in names:
        (tmp_path / name).write_text("x")
        age(tmp_path / name, days=1000)
    (tmp_path / "20200101-000000_incoming_dir_abcdef.wav").mkdir()
    age(tmp_path / "20200101-000000_incoming_dir_abcdef.wav", days=1000)
    assert remove_old(tmp_path, 1, STARTED) == []
    assert len(list(tmp_path.iterdir())) == 4


def test_a_file_that_cannot_be_removed_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = recording_path(tmp_path, call(), STARTED)
    age(path, days=1000)

    def refuse(self: Path) -> None:
        raise PermissionError(self)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert remove_old(tmp_path, 1, STARTED) == []
    assert path.exists()


# --- space


def test_free_space_is_that_of_the_disk_the_folder_will_be_on(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "not" / "yet") > 0
