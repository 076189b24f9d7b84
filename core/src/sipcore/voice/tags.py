"""Language tags (BCP 47), compared as far as an assistant needs it."""

from __future__ import annotations

from collections.abc import Iterable


def primary(tag: str) -> str:
    """The primary subtag (RFC 5646 §2.2.1): ``en`` of ``en-GB``."""
    return tag.partition("-")[0].lower()


def variety(tag: str, known: Iterable[str]) -> str:
    """Return which of ``known`` is ``tag``, else which is another variety of its language; empty: none is."""
    tags = list(known)
    same = (other for other in tags if other.lower() == tag.lower())
    alike = (other for other in tags if primary(other) == primary(tag))
    return next(same, "") or next(alike, "")
