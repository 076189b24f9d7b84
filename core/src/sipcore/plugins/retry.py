"""Asking a remote service again: only for what may pass, only before its answer began, and not for ever."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Final, TypeVar, cast

import anyio

from sipcore.errors import PluginError

T = TypeVar("T")

TEMPORARY_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
"""HTTP statuses of which the same request may be free a moment later (RFC 9110 §15; 529: overloaded)."""

_FIRST_WAIT: Final = 0.25
_END: Final = object()


class TemporaryError(PluginError):
    """A failure that may be over when the service is asked again.

    Args:
        message: what happened, and what to do if it stays so.
        after: seconds that the service wants to be left alone first.
    """

    def __init__(self, message: str, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a service may take. Times are in seconds.

    Args:
        table: the settings' table that holds them, ``llm.openai``, for messages.
        tries: how often it is asked, at most.
        first_token_timeout: until the first item of its answer, over all tries and the waits between them.
        token_timeout: from one item to the next after that.
    """

    table: str
    tries: int = 3
    first_token_timeout: float = 10.0
    token_timeout: float = 10.0


async def retried(ask: Callable[[], AsyncGenerator[T, None]], limits: Limits) -> AsyncGenerator[T, None]:
    """Iterate what ``ask()`` gives; when that fails with a `TemporaryError` before its first item, ask again.

    Between two tries it waits as long as the service wants, else a little longer each time, each time a bit
    differently, so that many callers do not come back at once.

    Raises:
        PluginError: what the last try failed with, or a time-out.
    """
    deadline = anyio.current_time() + limits.first_token_timeout
    for tried in count(1):
        async with aclosing(ask()) as items:
            late = f"no reply began within {limits.first_token_timeout:g} s: raise [{limits.table}] first_token_timeout"
            try:
                item = await _next(items, deadline, late)
            except TemporaryError as error:
                failure = error
            else:
                late = f"the reply stopped for {limits.token_timeout:g} s: raise [{limits.table}] token_timeout"
                while item is not _END:
                    yield cast("T", item)
                    item = await _next(items, anyio.current_time() + limits.token_timeout, late)
                return
        await anyio.sleep(_wait(failure, tried, limits, deadline - anyio.current_time()))


def retry_after(value: str | None) -> float:
    """Return the seconds that a ``Retry-After`` header asks for (RFC 9110 §10.2.3): 0 without one that is right."""
    try:
        return max(0.0, float(value or 0))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value or "") - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


async def _next(items: AsyncGenerator[T, None], deadline: float, late: str) -> object:
    with anyio.CancelScope(deadline=deadline):
        try:
            return await anext(items)
        except StopAsyncIteration:
            return _END
    raise PluginError(f"{late} if the service is only slow")


def _wait(failure: TemporaryError, tried: int, limits: Limits, left: float) -> float:
    """Return the seconds until the next try.

    Raises:
        PluginError: there is none.
    """
    times = f"asked {tried} times" if tried > 1 else "asked once"
    if tried == limits.tries:
        raise PluginError(f"{failure} ({times})")
    backing_off = _FIRST_WAIT * 2 ** (tried - 1) * (1 + random.random())  # noqa: S311 -- no secret
    wait = max(failure.after, backing_off)
    if wait >= left:
        raise PluginError(f"{failure} ({times}; it is too late to ask again in {wait:.1f} s)")
    return wait
