"""A reply out of the chunks that it is streamed in (``chat.completion.chunk``). Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sipcore.plugins import Delta, PluginError, ToolCall
from sipcore.plugins.event_stream import EventReader
from sipcore.plugins.retry import TemporaryError

LONGEST_LINE: Final = 1 << 20
"""Bytes. A chunk has a few hundred."""
LONGEST_REPLY: Final = 100_000
"""Characters of text, thoughts and arguments together: hours of speech."""

_NO_CHOICE: Final[Sequence[Mapping[str, Any]]] = ({},)
"""Of the chunk that tells the usage."""


@dataclass(slots=True)
class _Fragments:
    """A function call that is being written."""

    index: object
    call_id: str
    name: str = ""
    arguments: str = ""


class ChunkReader:
    """Reads one reply. After an error it is of no more use.

    Args:
        quote: makes what the server says fit for an error.
    """

    def __init__(self, quote: Callable[[str], str]) -> None:
        self._quote = quote
        self._events = EventReader(LONGEST_LINE)
        self._calls: list[_Fragments] = []
        self._finish = ""
        self._size = 0
        self.done = False

    def feed(self, data: bytes) -> list[Delta]:
        """Take the next bytes. Returns what they add to the reply; empty deltas where the model only thinks or calls.

        Raises:
            PluginError: the server tells of an error, or this is no reply.
        """
        return [delta for event in self._events.feed(data) for delta in self._take(event)]

    def flush(self) -> list[Delta]:
        """The stream is over. Returns the functions that the model calls.

        Raises:
            TemporaryError: the reply is not over.
            PluginError: a call of a function is not whole.
        """
        rest = [delta for event in self._events.flush() for delta in self._take(event)]
        if not (self.done or self._finish):
            raise TemporaryError("the connection ended in the middle of a reply")
        if self._calls and self._finish == "length":
            raise PluginError("the reply was cut within a call of a function: raise [llm.openai] max_tokens")
        return [*rest, *(Delta(tool_call=_whole(call)) for call in self._calls)]

    def _take(self, event: str) -> list[Delta]:
        if event.startswith("[DONE]"):
            self.done = True
        if self.done:
            return []
        try:
            chunk = json.loads(event)
            if chunk.get("error"):
                raise PluginError(f"the server broke the reply off: {self._quote(_error_text(chunk['error']))}")
            return self._read(*(chunk.get("choices") or _NO_CHOICE))
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
            raise PluginError(f"a chunk of the reply is no chat.completion.chunk: {self._quote(event)}") from None

    def _read(self, choice: Mapping[str, Any], *_: object) -> list[Delta]:
        self._finish = choice.get("finish_reason") or self._finish
        delta: Mapping[str, Any] = choice.get("delta") or {}
        text = _string(delta.get("content"))
        thought = _string(delta.get("reasoning_content") or delta.get("reasoning"))
        fragments: Sequence[Mapping[str, Any]] = delta.get("tool_calls") or ()
        self._grow(len(text) + len(thought))
        for fragment in fragments:
            self._gather(fragment)
        return [Delta(text)] if text or thought or fragments else []

    def _gather(self, fragment: Mapping[str, Any]) -> None:
        """Add a fragment to its call: the one of its index, unless it has an id of its own."""
        index, call_id = fragment.get("index"), _string(fragment.get("id"))
        function: Mapping[str, Any] = fragment.get("function") or {}
        arguments = _string(function.get("arguments"))
        call = next((call for call in reversed(self._calls) if call.index == index), None)
        if call is None or (call_id and call_id != call.call_id):
            call = _Fragments(index, call_id or f"call_{len(self._calls)}")
            self._calls.append(call)
        call.name += _string(function.get("name"))
        call.arguments += arguments
        self._grow(1 + len(arguments))

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > LONGEST_REPLY:
            raise PluginError(f"the reply is longer than {LONGEST_REPLY} characters: set [llm.openai] max_tokens")


def _string(value: object) -> str:
    if not isinstance(value or "", str):
        raise TypeError
    return str(value or "")


def _error_text(error: Any) -> str:
    return str(error.get("message") or error) if isinstance(error, dict) else str(error)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]


def _whole(call: _Fragments) -> ToolCall:
    return ToolCall(call.call_id, call.name, call.arguments or "{}")
