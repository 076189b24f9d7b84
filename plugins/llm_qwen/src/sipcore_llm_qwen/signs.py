"""A chat template's own signs: in what somebody said they would let the caller speak as the system."""

from __future__ import annotations

import re

CONTROL = re.compile(r"<\|[^<>|]*\|>")
"""The signs of ChatML and its relatives: ``<|im_start|>``."""


def without(text: str, signs: re.Pattern[str] = CONTROL) -> str:
    """Return ``text`` without any sign, also such as come together only when others have been taken out."""
    while (cleaned := signs.sub("", text)) != text:
        text = cleaned
    return text
