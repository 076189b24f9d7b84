"""Cutting a reply into pieces to speak, while it is still being written; and taking the markup out of it.

A cut is made as soon as the text so far proves it, and never depends on how the text was cut into deltas.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator
from typing import Final, Literal, TypeAlias

Verdict: TypeAlias = Literal["cut", "no", "wait"]

MAX_LENGTH: Final = 240
"""Characters in the longest piece: about 15 seconds of speech."""

_LOOKAHEAD: Final = 8
"""Characters after a position that a verdict on it may need."""

_NARROW_ENDS: Final = frozenset(".!?…؟۔।‼⁇⁈⁉")
_WIDE_ENDS: Final = frozenset("。！？｡．")
_ENDS: Final = _NARROW_ENDS | _WIDE_ENDS
_CLOSERS: Final = frozenset("\"'”’»›)]}」』】）》〉*_`~")
_CLAUSE_ENDS: Final = frozenset(",;:،؛")
_WIDE_CLAUSE_ENDS: Final = frozenset("，、；：")
_DASHES: Final = frozenset("-–—")

_ABBREVIATION: Final = re.compile(
    r"mrs?|ms|dr|prof|sra?|st|mt|rev|gen|col|capt|lt|sgt|hon|pres|gov|sen|rep|fr|hr|dipl|ing|vs|cf|ca|al|approx|est|dept"
    r"|e\.g|i\.e|z\.b|d\.h|u\.a|bzw|\(?[A-Z]",
    re.IGNORECASE,
)
"""What stands before a full stop that never ends a sentence: titles, "e.g." and initials."""

_BEFORE_NUMBER: Final = re.compile(r"nos?|nr|fig|vol|tel|ext|pp?|art|sec|ch", re.IGNORECASE)
_CLOCK: Final = re.compile(r"\d*(?:[ap]\.m|am|pm)", re.IGNORECASE)
_CALENDAR: Final = re.compile(
    r"mon|tue|wed|thu|fri|sat|sun|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|est|edt|cst|pst|gmt|utc|cet",
    re.IGNORECASE,
)
_WORD_BEFORE: Final = re.compile(r"[^\s\"'“‘«(\[*_]*\Z")
_LIST_NUMBER: Final = re.compile(r"[\s*_#>-]*\(?\d{1,3}\Z")
_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+(?:['’.,:-][^\W_]+)*")


class SentenceSplitter:
    """Cuts text that arrives bit by bit into pieces to speak: sentences, lines, and at first perhaps a clause.

    Whitespace at the edges of a piece is dropped and runs of it become one; every other character comes out, in order.

    Args:
        first_clause: let the first piece be a clause, so that the first audio comes sooner.
        first_words: how many words such a clause has at least.
        max_length: characters in the longest piece; longer sentences are cut at a clause or between words.
    """

    def __init__(self, *, first_clause: bool = True, first_words: int = 3, max_length: int = MAX_LENGTH) -> None:
        if max_length < 1 or first_words < 1:
            raise ValueError(f"max_length {max_length} and first_words {first_words} must be at least 1")
        self._clause_allowed = first_clause
        self._first_words = first_words
        self._max_length = max_length
        self._text = ""
        self._gap = ""

    def feed(self, delta: str) -> list[str]:
        """Take the next bit of text. Returns the pieces that are complete now."""
        self._append(delta)
        return self._pieces(final=False)

    def flush(self) -> list[str]:
        """The text is over. Returns what remains; the splitter is as new, but for the first clause."""
        self._gap = ""
        return self._pieces(final=True)

    def _append(self, delta: str) -> None:
        """Add text; a run of whitespace counts as one newline if it has one, else as one space."""
        parts = re.split(r"(\s+)", delta)
        for index, part in enumerate(parts):
            if index % 2:
                self._gap = "\n" if "\n" in part + self._gap else " "
            elif part:
                self._text += (self._gap if self._text else "") + part
                self._gap = ""

    def _pieces(self, *, final: bool) -> list[str]:
        pieces: list[str] = []
        while self._text:
            end = self._cut(final=final)
            if end is None:
                break
            pieces.append(self._text[:end].rstrip())
            self._text = self._text[end:].lstrip()
            self._clause_allowed = False
        return pieces

    def _cut(self, *, final: bool) -> int | None:
        """Find where the first piece ends; None: that depends on what follows.

        Only the window of the longest piece and its lookahead is seen, so that the answer is the same however much
        text is there already.
        """
        window = self._text[: self._max_length + _LOOKAHEAD]
        full = len(window) == self._max_length + _LOOKAHEAD
        for position in range(1, min(len(window), self._max_length) + 1):
            verdict = self._verdict(window, position)
            if verdict == "cut":
                return position
            if verdict == "wait" and not (full or final):
                return None
        if full or len(window) > self._max_length:
            return self._forced(window) if full or final else None
        return len(window) if final else None

    def _verdict(self, text: str, position: int) -> Verdict:
        """Judge whether a piece may end before ``position``."""
        last = text[position - 1]
        if last == "\n" or text[position : position + 1] == "\n":
            return "cut"
        if last in _ENDS or last in _CLOSERS:
            return _sentence_verdict(text, position)
        verdict = _clause_verdict(text, position) if self._clause_allowed else "no"
        if verdict != "no" and len(_WORD.findall(text, 0, position)) < self._first_words:
            return "no"
        return verdict

    def _forced(self, window: str) -> int:
        """Cut an overlong piece: after a clause in its second half, else between words, else anywhere."""
        limit = self._max_length
        for position in range(limit, limit // 2, -1):
            if _clause_verdict(window, position) == "cut":
                return position
        space = window.rfind(" ", 1, limit + 1)
        return space if space > 0 else limit


def _sentence_verdict(text: str, position: int) -> Verdict:
    """Judge whether a sentence ends before ``position``, where a terminator or a closing sign stands last."""
    stop = position - 1
    while stop >= 0 and text[stop] in _CLOSERS:
        stop -= 1
    if stop < 0 or text[stop] not in _ENDS:
        return "no"
    following = text[position : position + _LOOKAHEAD]
    if not following:
        return "wait"
    if following[0] in _ENDS or following[0] in _CLOSERS:
        return "no"
    if text[stop] in _WIDE_ENDS:
        return "cut"
    if following[0] != " ":
        return "no"
    return _verdict_before_space(text[: stop + 1], following[1:])


def _verdict_before_space(before: str, after: str) -> Verdict:
    """Judge a terminator at the end of ``before`` that a space and then ``after`` follow."""
    if after[0].islower():
        return "no"
    if before[-1] != "." or before.endswith(".."):
        return "cut"
    match = _WORD_BEFORE.search(before[:-1])
    word = match.group() if match else ""
    if _CLOCK.fullmatch(word):
        return _verdict_after_clock(after)
    numbered = _LIST_NUMBER.fullmatch(before[:-1]) or (_BEFORE_NUMBER.fullmatch(word) and after[0].isdigit())
    return "no" if numbered or _ABBREVIATION.fullmatch(word) else "cut"


def _verdict_after_clock(after: str) -> Verdict:
    """Judge a.m. and p.m.: "9 a.m. Monday" goes on, "9 a.m. We" does not."""
    if _CALENDAR.fullmatch(after[:3]):
        return "no"
    return "wait" if after.isalpha() and len(after) < 3 else "cut"


def _clause_verdict(text: str, position: int) -> Verdict:
    """Judge whether a clause ends before ``position``."""
    last = text[position - 1]
    if last in _WIDE_CLAUSE_ENDS:
        return "cut"
    following = text[position : position + 2]
    if last in _CLAUSE_ENDS and following[:1] == " ":
        return "cut" if len(following) == 2 and not following[1].isdigit() else "wait" if len(following) < 2 else "no"
    if last == "—" or (last in _DASHES and text[position - 2 : position - 1] == " "):
        return "cut" if following[:1] == " " else "no" if following else "wait"
    return "no" if following or last not in _CLAUSE_ENDS else "wait"


async def sentences(
    deltas: AsyncIterable[str], *, first_clause: bool = True, first_words: int = 3, max_length: int = MAX_LENGTH
) -> AsyncIterator[str]:
    """Cut a reply into pieces to speak, each as soon as it is complete; see `SentenceSplitter`."""
    splitter = SentenceSplitter(first_clause=first_clause, first_words=first_words, max_length=max_length)
    async for delta in deltas:
        for piece in splitter.feed(delta):
            yield piece
    for piece in splitter.flush():
        yield piece


_EMOJI: Final = (
    "[\u200d\u20e3\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299"
    "\ufe0e\ufe0f\U0001f000-\U0001faff\U000e0020-\U000e007f]+"
)
_MARKUP: Final = tuple(
    (re.compile(pattern, re.MULTILINE), replacement)
    for pattern, replacement in (
        (r"^[ \t]*(?:```|~~~).*$", ""),  # the fence, not what it holds
        (r"^[ \t]*\|?[ \t]*:?-{2,}:?[ \t]*(?:\|[ \t:|-]*)?$", ""),  # rules, and under a table's head
        (r"^[ \t]*(?:[*_][ \t]*){3,}$", ""),
        (r"^[ \t]*(?:>[ \t]?)+", ""),
        (r"^[ \t]*#{1,6}[ \t]+", ""),
        (r"^[ \t]*[-*+•‣◦▪·][ \t]+(?:\[[ xX]\][ \t]+)?", ""),
        (r"!?\[([^\[\]]*)\]\([^()\s]*(?:\([^()]*\)[^()\s]*)?(?:[ \t]+\"[^\"]*\")?\)", r"\1"),
        (r"<(https?://[^<>\s]+)>", r"\1"),
        (r"</?[A-Za-z][^<>]*>", " "),
        (r"\bhttps?://(?:www\.)?", ""),
        (r"`+|~~", ""),
        (r"(?<!\d)\*+(?=\S)|(?<=\S)\*+(?!\d)", ""),
        (r"(?<!\w)_+(?=\S)|(?<=\S)_+(?!\w)", ""),
        (r"^[ \t]*\|[ \t]*|[ \t]*\|[ \t]*$", ""),
        (r"[ \t]*\|[ \t]*", ", "),
        (_EMOJI, " "),
        (r"[^\S\n]+", " "),
        (r" +(?=[,.!?…;:](?:\s|$))", ""),
        (r"^ +| +$", ""),
        (r"\n{2,}", "\n"),
    )
)


def for_speech(text: str) -> str:
    """Take out what is written but not said: Markdown, HTML tags and emoji. The words stay, a line a line."""
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return text.strip()
