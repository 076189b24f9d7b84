"""Every error that sipcore raises on purpose."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


class SipcoreError(Exception):
    """Root of the family. Its text says what happened, what was expected and what to do."""


class LocalProtocolError(SipcoreError):
    """Our own side misused a protocol: a bug in the caller, never the peer's fault."""


class RemoteProtocolError(SipcoreError):
    """The peer sent something that its protocol does not allow.

    Args:
        message: what was wrong, for the log and a SIP ``Warning``.
        status: the SIP status code that the sender should get (RFC 3261 §21).
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class MediaError(SipcoreError):
    """The media engine could not do what was asked, or it is gone."""


class NoPortsFreeError(MediaError):
    """Every RTP port pair is in use: answer 503 with ``Retry-After``."""


class CallEndedError(SipcoreError):
    """The call that was spoken to is over."""


def is_call_ended(error: BaseException) -> bool:
    """Whether ``error`` says that the call is over, and nothing else: also as a group of such errors."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_call_ended, error.exceptions))  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    return isinstance(error, CallEndedError)


@contextmanager
def unwrapped() -> Generator[None]:
    """Raise the one error of a task group as itself: callers catch errors, not groups of one."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
            error = error.exceptions[0]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if error is group:
            raise
        raise error from None


class CallFailedError(SipcoreError):
    """An outgoing call was not answered.

    Args:
        status: the final SIP status, RFC 3261 §21.
        reason: its reason phrase.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason


class PluginError(SipcoreError):
    """A plugin could not be found, loaded or opened, or it broke its promise."""


class ModelMissingError(PluginError):
    """A model's files are not on this machine; the text names the command that fetches them."""


class ConfigError(SipcoreError):
    """Settings that cannot work. One line a problem, each with the setting's name."""
