"""Logs in the original's form, ``[LEVEL] - TIMESTAMP - MESSAGE - FILE:LINE``: one event, one line, whatever is in it.

A thread of its own writes them, so that a slow or full disk holds nothing up; what cannot be kept is counted and told.
"""

from __future__ import annotations

import logging
import os
import queue
import re
import sys
import unicodedata
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from io import TextIOWrapper
from logging.handlers import QueueHandler, QueueListener, WatchedFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sipcore.errors import ConfigError

if TYPE_CHECKING:
    from sipcore.app.config import Settings

FORMAT = "[%(levelname)s] - %(asctime)s - %(message)s - %(filename)s:%(lineno)d"
LONGEST_MESSAGE = 4096
"""Characters of one line's message; a longer one is cut, and says so."""
WAITING_LINES = 10_000
"""Lines that may wait to be written; further ones are dropped and counted."""

_NOISY = (
    *("asyncio", "httpx", "httpcore", "httpx2", "httpcore2", "openai", "urllib3", "websockets"),
    *("faster_whisper", "numba", "filelock"),
)
_SHORTEST_SECRET = 4
_AUTHORIZATION = re.compile(r"((?:proxy-)?authorization\s*:\s*)[^\r\n]*", re.IGNORECASE)
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"
"""Format characters that words need: Persian, Indic scripts, emoji."""
_call: ContextVar[str] = ContextVar("sipcore_call", default="")


@contextmanager
def call_context(call_id: str) -> Generator[None]:
    """Put ``[call <id>]`` before every message logged within, in this task and those it starts."""
    token = _call.set(call_id)
    try:
        yield
    finally:
        _call.reset(token)


def one_line(text: str) -> str:
    """Return ``text`` as one harmless line: control, format and separator characters become escapes.

    So a SIP header can neither forge a log line nor steer the terminal that shows it.
    """
    if len(text) > LONGEST_MESSAGE:
        text = f"{text[:LONGEST_MESSAGE]}… ({len(text) - LONGEST_MESSAGE} more characters)"
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_harmless, text))


def _harmless(char: str) -> str:
    if unicodedata.category(char) not in _UNPRINTABLE or char in _JOINERS:
        return char
    return char.encode("unicode_escape").decode("ascii")


def redactor(secrets: Iterable[str]) -> Callable[[str], str]:
    """Return a function that masks ``secrets`` and the credentials of Authorization headers in a text."""
    known = sorted({secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, known))) if known else None

    def redact(text: str) -> str:
        text = pattern.sub("****", text) if pattern is not None else text
        return _AUTHORIZATION.sub(r"\1****", text)

    return redact


@contextmanager
def setup_logging(settings: Settings, file: Path | None = None, *, terminal: bool = True) -> Generator[None]:
    """Log to ``file`` and to the terminal (stderr) while the block runs; leaving it writes what still waits.

    Args:
        settings: for the level, and for the secrets that no line may hold.
        file: the log file, appended to; its folder is made. None: no file.
        terminal: whether lines also go to stderr.

    Raises:
        ConfigError: the file cannot be written.
    """
    handlers: list[logging.Handler] = [LogFile(file)] if file is not None else []
    handlers += [Terminal()] if terminal else []
    for handler in handlers:
        handler.setFormatter(logging.Formatter(FORMAT))
    waiting = WaitingLines(redactor(settings.secrets()))
    listener = QueueListener(waiting.queue, *handlers)
    listener.start()
    try:
        with _root_logs_to(waiting, settings.log_level):
            yield
    finally:
        listener.stop()
        for handler in handlers:
            handler.close()


@contextmanager
def _root_logs_to(handler: logging.Handler, level: str) -> Generator[None]:
    root = logging.getLogger()
    noisy = [logging.getLogger(name) for name in _NOISY]
    before = [(logger, logger.level) for logger in (root, *noisy)]
    root.addHandler(handler)
    root.setLevel(level)
    for logger in noisy:
        logger.setLevel(max(root.level, logging.WARNING))
    try:
        yield
    finally:
        root.removeHandler(handler)
        for logger, old in before:
            logger.setLevel(old)


class WaitingLines(QueueHandler):
    """Makes each record into finished lines, on the thread that logs, and queues them without ever waiting.

    Args:
        redact: masks secrets in a text.
        limit: how many lines may wait.
    """

    def __init__(self, redact: Callable[[str], str], limit: int = WAITING_LINES) -> None:
        super().__init__(queue.Queue[Any](limit))
        self._redact = redact
        self._traceback = logging.Formatter()
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record's message, then its traceback, a line each."""
        try:
            texts = [record.getMessage()]
        except Exception as error:
            texts = [f"{record.msg!r} % {record.args!r}: {error}"]
        if record.exc_info:
            texts += [f"| {line}" for line in self._traceback.formatException(record.exc_info).split("\n")]
        call = _call.get()
        prefix = f"[call {call[:64]}] " if call else ""
        for text in texts:
            self.enqueue(_line_of(record, one_line(self._redact(prefix + text))))

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue a record; when the queue is full, drop it, and tell how many were dropped once there is room."""
        try:
            if self.dropped:
                text = f"{self.dropped} log lines were dropped: they came faster than they could be written"
                self.queue.put_nowait(_line_of(record, text, logging.WARNING))
                self.dropped = 0
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


def _line_of(record: logging.LogRecord, text: str, level: int | None = None) -> logging.LogRecord:
    line = logging.LogRecord(record.name, level or record.levelno, record.pathname, record.lineno, text, None, None)
    line.created, line.msecs = record.created, record.msecs
    return line


class Terminal(logging.StreamHandler[Any]):
    """Lines on stderr. A terminal that is gone is no reason to stop."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- logging's own name
        """Say nothing: there is nobody left to say it to."""


class LogFile(WatchedFileHandler):
    """A log file, mode 0640, reopened when it was rotated away. A full disk loses lines, and one warning says so.

    Args:
        path: the file; its folder is made.

    Raises:
        ConfigError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._failing = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            super().__init__(path, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            text = "a file that can be written was expected. Correct SIP_LOG_FILE or CALL_CENTER_LOG_FILE."
            raise ConfigError(f"the log file {path} cannot be opened ({error.strerror}): {text}") from error

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            self.reopenIfNeeded()
            logging.FileHandler.emit(self, record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- logging's own name
        """Warn on stderr, once for as long as it lasts."""
        if not self._failing:
            self._failing = True
            error = sys.exc_info()[1]
            with suppress(OSError, ValueError):
                sys.stderr.write(
                    f"[WARNING] the log file {self.baseFilename} cannot be written ({error}): lines are lost.\n"
                )

    def flush(self) -> None:
        """Flush; what fails here is told by `handleError`."""
        super().flush()
        self._failing = False

    def close(self) -> None:
        """Close; what a full disk could not take is given up."""
        with suppress(OSError):
            super().close()
