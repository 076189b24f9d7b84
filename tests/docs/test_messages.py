"""What docs/howto/troubleshooting.md quotes is what sipcore says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "howto" / "troubleshooting.md"
SHORTEST = 9
"""Characters of a text that do not vary, at least, for it to count: fewer could be found anywhere."""
OF_OTHERS = (
    "Address already in use",
    "Format not recognised.",
    "Name or service not known",
    "No module named 'ctranslate2'",
    "No space left on device",
    "Permission denied",
    "Temporary failure in name resolution",
    "Busy Here",
    "Incorrect API key provided",
    "Rate limit reached",
)
"""What the system, a library or a far end says within our messages."""
VALUES = {"stt", "llm", "tts", "api", "openai", "qwen", "base", "mode", "ModuleNotFoundError", "from"}
"""Names that the examples put into messages, and the word of a range ("from 1 to 65535")."""
QUOTED = [
    line
    for block in re.findall(r"^```text\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


@cache
def templates() -> list[list[str]]:
    """Each text of the sources as its fixed parts: what lies between them varies."""
    files = [*(ROOT / "core" / "src").rglob("*.py"), *(ROOT / "plugins").glob("*/src/**/*.py")]
    return [parts for file in files for parts in _texts(ast.parse(file.read_text(encoding="utf-8")))]


def _texts(tree: ast.AST) -> Iterator[list[str]]:
    if isinstance(tree, ast.Constant) and isinstance(tree.value, str):
        yield [part for part in re.split(r"%[-+0-9.]*[sdrf]", tree.value) if part]
    elif isinstance(tree, ast.JoinedStr):
        yield [part.value for part in tree.values if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    else:
        for node in ast.iter_child_nodes(tree):
            yield from _texts(node)


def strange_words(line: str) -> list[str]:
    """The words of ``line`` that are no value of an example and stand in no text of the sources that fits it."""
    for text in OF_OTHERS:
        line = line.replace(text, "0" * len(text))
    ours = [False] * len(line)
    for parts in templates():
        for start, end in _found(parts, line) if sum(map(len, parts)) >= SHORTEST else ():
            ours[start:end] = [True] * (end - start)
    rest = "".join(" " if mine else char for char, mine in zip(line, ours, strict=True))
    rest = re.sub(r"""(?<!\w)(["']).*?\1""", " ", rest)
    words = re.findall(r"(?<!\S)[`(]*([A-Za-z]{3,})[.,:;?`)]*(?!\S)", rest)
    return [word for word in words if word not in VALUES]


def _found(parts: list[str], line: str) -> list[tuple[int, int]]:
    """Where a text's parts stand in ``line``, in their order; nothing when one is not there."""
    places: list[tuple[int, int]] = []
    for part in parts:
        at = line.find(part, places[-1][1] if places else 0)
        if at < 0:
            return []
        places.append((at, at + len(part)))
    return places


def test_there_are_messages_on_the_page() -> None:
    assert len(QUOTED) > 30


@pytest.mark.parametrize("line", QUOTED)
def test_a_quoted_message_is_one_of_ours(line: str) -> None:
    assert strange_words(line) == []


@pytest.mark.parametrize("line", ["the moon is in use on 192.168.1.10", "SIP_LOCAL_PORT 5062 is blue"])
def test_a_message_that_nobody_says_is_found_out(line: str) -> None:
    assert strange_words(line)


ORIGINAL = {
    "Port already in use",
    "No audio, or only one way",
    "SIP messages do not arrive",
    "A call fails at once",
    "OpenAI",
    "Speech is not noticed",
    "Answers are slow",
    "Recordings",
    "Docker",
}


def test_every_entry_of_the_originals_list_has_a_section() -> None:
    assert set(re.findall(r"^## (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)) >= ORIGINAL
