"""Logs: the original's form, one line an event, no secret, and never in the way."""

from __future__ import annotations

import io
import logging
import re
import stat
import threading
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sipcore.app.config import Settings
from sipcore.app.logs import (
    LONGEST_MESSAGE,
    LogFile,
    WaitingLines,
    call_context,
    one_line,
    redactor,
    setup_logging,
)
from sipcore.errors import ConfigError

unhurried = hypothesis_settings(deadline=None)
LINE = re.compile(r"\[(\w+)\] - (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) - (.*) - ([\w.]+:\d+)")
logger = logging.getLogger("sipcore.test")


def fail(text: str) -> None:
    raise ValueError(text)


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def messages_of(path: Path) -> list[str]:
    found = [LINE.fullmatch(line) for line in lines_of(path)]
    assert all(found)
    return [match[3] for match in found if match]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "sip_server.log"


def test_a_line_has_the_original_s_form(path: Path) -> None:
    with setup_logging(Settings(), path, terminal=False):
        logger.info("listening on %s", "127.0.0.1:5062")
    (line,) = lines_of(path)
    found = LINE.fullmatch(line)
    assert found
    assert (found[1], found[3]) == ("INFO", "listening on 127.0.0.1:5062")
    assert re.fullmatch(r"test_logs\.py:\d+", found[4])


def test_lines_also_go_to_the_terminal(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with setup_logging(Settings(), path, terminal=True):
        logger.warning("hello")
    assert LINE.fullmatch(capsys.readouterr().err.strip())
    assert messages_of(path) == ["hello"]


def test_the_terminal_alone_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    with setup_logging(Settings()):
        logger.error("hello")
    assert "[ERROR] - " in capsys.readouterr().err


def test_the_level_decides_and_is_put_back(path: Path) -> None:
    before = logging.getLogger().level, list(logging.getLogger().handlers)
    with setup_logging(Settings(log_level="WARNING"), path, terminal=False):
        logger.info("not this")
        logger.warning("this")
    assert messages_of(path) == ["this"]
    assert before == (logging.getLogger().level, list(logging.getLogger().handlers))


def test_libraries_that_chatter_are_heard_from_warning_up(path: Path) -> None:
    with setup_logging(Settings(log_level="DEBUG"), path, terminal=False):
        logging.getLogger("httpx").info("HTTP Request: POST …")
        logging.getLogger("httpx").warning("trouble")
    assert messages_of(path) == ["trouble"]


def test_lines_are_appended_and_the_file_is_not_for_everybody(path: Path) -> None:
    for text in ("one", "two"):
        with setup_logging(Settings(), path, terminal=False):
            logger.info(text)
    assert messages_of(path) == ["one", "two"]
    assert not stat.S_IMODE(path.stat().st_mode) & 0o007


@pytest.mark.anyio
async def test_the_call_is_named_in_its_own_task_and_those_it_starts(path: Path) -> None:
    async def part(name: str) -> None:
        await anyio.sleep(0)
        logger.info("in %s", name)

    async def call(name: str) -> None:
        with call_context(name):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(part, name)

    with setup_logging(Settings(), path, terminal=False):
        async with anyio.create_task_group() as calls:
            calls.start_soon(call, "a1")
            calls.start_soon(call, "b2")
        logger.info("outside")
    assert sorted(messages_of(path)) == ["[call a1] in a1", "[call b2] in b2", "outside"]


def test_a_peer_can_neither_forge_a_line_nor_steer_the_terminal(path: Path) -> None:
    with setup_logging(Settings(), path, terminal=False), call_context("x\r\n[ERROR] - forged"):
        logger.info("From: %s", "alice\r\n[INFO] - 2026 - forged - a.py:1\x1b[2J\x00\u2028\u202e\x9b")
    assert messages_of(path) == [
        r"[call x\r\n[ERROR] - forged] From: alice\r\n[INFO] - 2026 - forged - a.py:1\x1b[2J\x00\u2028\u202e\x9b"
    ]


@unhurried
@given(st.text())
def test_whatever_the_text_it_becomes_one_printable_line(text: str) -> None:
    line = one_line(text)
    assert len(f"x{line}x".splitlines()) == 1
    assert not {"Cc", "Cs", "Zl", "Zp"} & {unicodedata.category(char) for char in line}
    assert {char for char in line if unicodedata.category(char) == "Cf"} <= {"\u200c", "\u200d"}


def test_words_of_any_language_stay_as_they_are() -> None:
    assert one_line("Grüße, 你好, می\u200cخواهم 👩\u200d💻") == "Grüße, 你好, می\u200cخواهم 👩\u200d💻"


def test_a_very_long_message_is_cut_and_says_so() -> None:
    line = one_line("x" * (LONGEST_MESSAGE + 5))
    assert line.endswith("x… (5 more characters)")


def test_a_traceback_keeps_to_the_form_line_by_line(path: Path) -> None:
    with setup_logging(Settings(), path, terminal=False):
        try:
            fail("first\nsecond")
        except ValueError:
            logger.exception("it failed")
    messages = messages_of(path)
    assert messages[0] == "it failed"
    assert messages[1] == "| Traceback (most recent call last):"
    assert messages[-2:] == ["| ValueError: first", "| second"]


def test_a_message_that_does_not_fit_its_arguments_is_logged_all_the_same() -> None:
    lines = WaitingLines(redactor([]))
    lines.handle(logging.LogRecord("x", logging.INFO, "a.py", 1, "%d calls", ("no number",), None))
    assert lines.queue.get_nowait().getMessage().startswith("'%d calls' % ('no number',): ")


def test_secrets_are_masked(path: Path) -> None:
    settings = Settings(ws_token="letmein", llm={"x": {"api_key": "sk-12345"}})  # pyright: ignore[reportArgumentType]
    with setup_logging(settings, path, terminal=False):
        logger.info("got letmein and %s", "sk-12345")
        logger.info("Authorization: Digest username=a, response=b\r\nVia: x")
    assert messages_of(path) == ["got **** and ****", r"Authorization: ****\r\nVia: x"]


def test_a_secret_too_short_to_be_one_masks_nothing() -> None:
    assert redactor(["a", ""])("a banana") == "a banana"
    assert redactor(["secret", "secret-long"])("secret-long secret") == "**** ****"


def test_a_log_file_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigError, match=r"the log file .*file/x\.log cannot be opened .*SIP_LOG_FILE"),
        setup_logging(Settings(), tmp_path / "file" / "x.log", terminal=False),
    ):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_once_and_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with setup_logging(Settings(), Path("/dev/full"), terminal=False):
        for _ in range(3):
            logger.info("x" * 4000)
    warning = capsys.readouterr().err
    assert warning.count("\n") == 1
    assert "the log file /dev/full cannot be written" in warning
    assert "No space left" in warning


def test_a_rotated_file_is_left_and_a_new_one_begun(path: Path) -> None:
    with setup_logging(Settings(), path, terminal=False):
        logger.info("one")
        wait_until(lambda: path.exists() and bool(lines_of(path)))
        path.rename(path.with_suffix(".1"))
        logger.info("two")
    assert (messages_of(path.with_suffix(".1")), messages_of(path)) == (["one"], ["two"])


def test_a_log_folder_that_disappears_is_told_and_stops_nothing(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with setup_logging(Settings(), path, terminal=False):
        path.unlink()
        path.parent.rmdir()
        logger.info("lost")
    assert "cannot be written" in capsys.readouterr().err


def test_writing_that_works_again_is_told_again_when_it_fails(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = logging.LogRecord("x", logging.INFO, "a.py", 1, "x", None, None)
    path.parent.mkdir()
    file = LogFile(path)
    folder = path.parent.rename(path.parent.with_name("away"))
    file.emit(record)
    file.emit(record)
    folder.rename(path.parent)
    file.emit(record)
    path.parent.rename(folder)
    file.emit(record)
    file.close()
    assert capsys.readouterr().err.count("cannot be written") == 2


def test_a_slow_disk_holds_nothing_up_and_what_is_dropped_is_counted() -> None:
    lines = WaitingLines(redactor([]), limit=2)
    record = logging.LogRecord("x", logging.INFO, "a.py", 1, "x", None, None)
    started = time.monotonic()
    for _ in range(5):
        lines.handle(record)
    assert time.monotonic() - started < 1
    assert lines.dropped == 3
    for _ in range(2):
        lines.queue.get_nowait()
    lines.handle(record)
    told, line = lines.queue.get_nowait(), lines.queue.get_nowait()
    assert told.getMessage() == "3 log lines were dropped: they came faster than they could be written"
    assert (told.levelname, line.getMessage(), lines.dropped) == ("WARNING", "x", 0)


def test_a_terminal_that_is_gone_stops_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Gone())
    with setup_logging(Settings(), path, terminal=True):
        logger.info("still here")
    assert messages_of(path) == ["still here"]


def test_no_thread_is_left_behind(path: Path) -> None:
    before = threading.active_count()
    with setup_logging(Settings(), path, terminal=False):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def wait_until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
