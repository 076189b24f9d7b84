"""docs/reference/original.md names tests that there are, for every section of the original's description."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "original.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| promise |")]
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
SECTIONS = (
    """
Features: SIP and telephony|Features: AI and speech|Features: integration and control|Architecture, project structure
Requirements, installation|Usage|Call flow: incoming|Call flow: outgoing, over the WebSocket|WebSocket protocol|Audio
LLM backends|Voice activity detection|RTP|Logging|Network ports|Troubleshooting|Development, API reference|Docker
""".strip()
    .replace("\n", "|")
    .split("|")
)
AT_MERGE = "(filled at merge)"


@cache
def functions(file: str) -> set[str]:
    """The names of the test functions of a file."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_section_of_the_description_is_there() -> None:
    assert re.findall(r"^## (.*)$", PAGE, re.MULTILINE) == SECTIONS


def test_every_promise_has_a_test_or_says_that_it_waits_for_one() -> None:
    assert len(ROWS) > 60
    assert [row for row in ROWS if "::test_" not in row and AT_MERGE not in row] == []
    assert [row for row in ROWS if len(re.split(r"(?<!\\)\|", row)) != 5] == []


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_test_that_is_named_is_there(file: str, name: str) -> None:
    assert name in functions(file)


def test_no_test_is_named_in_another_form() -> None:
    assert PAGE.count("::") == sum(PAGE.count(f"`{file}::{name}`") for file, name in NAMED)
