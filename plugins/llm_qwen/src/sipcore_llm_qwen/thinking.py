"""What a reasoning model writes for itself is not for the caller."""

from __future__ import annotations

OPEN, CLOSE = "<think>", "</think>"


class ThinkFilter:
    """Drops ``<think>…</think>``, and the whitespace around it at the start of a reply, from text that streams by."""

    def __init__(self) -> None:
        self._held = ""
        self._thinking = False
        self._begun = False

    def feed(self, text: str) -> str:
        """Take the next bit of a reply. Returns what of it can be said by now."""
        self._held += text
        said = ""
        while (at := self._held.find(CLOSE if self._thinking else OPEN)) >= 0:
            said += "" if self._thinking else self._held[:at]
            self._held = self._held[at + len(CLOSE if self._thinking else OPEN) :]
            self._thinking = not self._thinking
        keep = _overlap(self._held, CLOSE if self._thinking else OPEN)
        ready = len(self._held) - keep
        said += "" if self._thinking else self._held[:ready]
        self._held = self._held[ready:]
        return self._started(said)

    def flush(self) -> str:
        """The reply is over. Returns what was held back."""
        rest, self._held = ("" if self._thinking else self._held), ""
        return self._started(rest)

    def _started(self, text: str) -> str:
        if not self._begun:
            text = text.lstrip()
            self._begun = bool(text)
        return text


def _overlap(text: str, tag: str) -> int:
    """Return how many characters at the end of ``text`` may be the beginning of ``tag``."""
    return next((size for size in range(min(len(text), len(tag) - 1), 0, -1) if tag.startswith(text[-size:])), 0)
