"""A reply out of the bytes that it comes in. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from sipcore.plugins import PluginError
from sipcore.plugins.event_stream import EventReader, LineReader

from sipcore_llm_api.config import Config, Format

Quote: TypeAlias = Callable[[str], str]

_FORMATS: Final[Mapping[str, Format]] = {
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/x-jsonlines": "ndjson",
    "application/json-lines": "ndjson",
    "application/stream+json": "ndjson",
    "text/event-stream": "sse",
}


def format_of(content_type: str, config: Config) -> Format:
    """Return how a reply of this ``Content-Type`` is written.

    Raises:
        PluginError: it is of no known type, and the settings name no format.
    """
    if config.format != "auto":
        return config.format
    found = _FORMATS.get(content_type.partition(";")[0].strip().lower())
    if found is None:
        raise PluginError(
            f"the answer is {content_type or 'of no known type'}, expected {', '.join(sorted(set(_FORMATS)))}: are "
            "[llm.api] base_url and path right? If it is one of them all the same, set [llm.api] format"
        )
    return found


class ReplyReader:
    """Reads one reply. After an error it is of no more use.

    Args:
        form: how it is written.
        config: where the text stands in it, and how long it may be.
        quote: makes what the server says fit for an error.
    """

    def __init__(self, form: Format, config: Config, quote: Quote) -> None:
        self._config = config
        self._quote = quote
        self._items = {"json": _Document, "ndjson": LineReader, "sse": EventReader}[form](config.max_line)
        self._is_stream = form != "json"
        self._is_plain = form == "sse" and not config.reply_field
        self._said = ""
        self._size = 0
        self._seen = ""
        self._found = False
        self.done = False

    def feed(self, data: bytes) -> list[str]:
        """Take the next bytes. Returns what they add to the reply.

        Raises:
            PluginError: the server tells of an error, the reply is too long, or this is none.
        """
        return self._read(self._items.feed(data))

    def flush(self) -> list[str]:
        """The answer is over. Returns what remains of the reply.

        Raises:
            PluginError: as `feed`; or there was no text in all of it.
        """
        rest = self._read(self._items.flush())
        if not self._found and self._seen:
            raise PluginError(f"the reply has no {self._field}: set [llm.api] reply_field. It is {self._seen}")
        return rest

    @property
    def _field(self) -> str:
        return f"field {self._config.reply_field!r}" if self._config.reply_field else "text"

    def _read(self, items: Sequence[str]) -> list[str]:
        texts = (self._text(item) for item in items if item.strip() or self._is_plain)
        return [text for text in texts if text]

    def _text(self, item: str) -> str:
        if self._is_stream and item.strip() == "[DONE]":
            self.done = True
        if self.done:
            return ""
        text = self._dig(item)
        if text is None:
            self._seen = self._seen or self._quote(item)
            return ""
        self._found = True
        new = self._new(text)
        self._size += len(new)
        if self._size > self._config.max_reply:
            raise PluginError(
                f"the reply is longer than {self._config.max_reply} characters: raise [llm.api] max_reply"
            )
        return new

    def _dig(self, item: str) -> str | None:
        """Return the text in an item; None when it has none, as the first and the last of a stream often do."""
        if self._is_plain:
            return item
        try:
            value: Any = json.loads(item)
        except (ValueError, RecursionError):
            raise PluginError(f"the reply is not JSON: {self._quote(item)}") from None
        found = value
        for step in self._config.reply_field.split(".") if self._config.reply_field else ():
            found = _step(found, step)
        if found is None and (error := _step(value, "error")):
            raise PluginError(f"the server tells of an error: {self._quote(str(error))}")
        if found is not None and not isinstance(found, str):
            raise PluginError(f"expected a string as {self._field} of the reply, which is {self._quote(item)}")
        return found

    def _new(self, text: str) -> str:
        if not (self._config.cumulative and self._is_stream):
            return text
        if not text.startswith(self._said):
            raise PluginError("the text of the reply does not grow: set [llm.api] cumulative = false")
        new, self._said = text[len(self._said) :], text
        return new


class _Document:
    """A single item.

    Args:
        longest: bytes that it may have.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._data = bytearray()

    def feed(self, data: bytes) -> list[str]:
        """Take the next bytes.

        Raises:
            PluginError: there are too many.
        """
        self._data += data
        if len(self._data) > self._longest:
            raise PluginError(f"the reply has more than {self._longest} bytes: raise [llm.api] max_line")
        return []

    def flush(self) -> list[str]:
        """Return the item."""
        return [self._data.decode(errors="replace")]


def _step(value: Any, step: str) -> Any:
    """Return what ``value`` holds under a name or, in a list, at a number; None when it holds nothing there."""
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).get(step)
    if isinstance(value, list) and step.isdecimal() and int(step) < len(cast("list[Any]", value)):
        return cast("list[Any]", value)[int(step)]
    return None
