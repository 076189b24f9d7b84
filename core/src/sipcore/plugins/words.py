"""How well speech was understood: word errors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def word_error_rate(pairs: Iterable[tuple[str, str]]) -> float:
    """Return the share of the words said that were understood wrongly; 0 when nothing was said.

    Args:
        pairs: what was said, and what was understood. Case and punctuation do not count.
    """
    errors = words = 0
    for said, understood in pairs:
        reference = split_words(said)
        errors += count_errors(reference, split_words(understood))
        words += len(reference)
    return errors / words if words else 0.0


def split_words(text: str) -> list[str]:
    """Return the words of ``text`` in lower case, without punctuation."""
    return re.findall(r"[\w']+", text.lower())


def count_errors(reference: Sequence[str], heard: Sequence[str]) -> int:
    """Return how many words must be changed, added or dropped to make ``reference`` of ``heard``."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]
