"""A caller hears the answer, never the model's thoughts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sipcore_llm_qwen.thinking import ThinkFilter


def said(*deltas: str) -> str:
    thinking = ThinkFilter()
    return "".join(thinking.feed(delta) for delta in deltas) + thinking.flush()


@pytest.mark.parametrize(
    ("deltas", "text"),
    [
        (["We are open."], "We are open."),
        (["<think>Hm.</think>\n\nWe are open."], "We are open."),
        (["<think>\n\n</think>\n\n", "We", " are", " open."], "We are open."),
        (["<thi", "nk>a < b", "</th", "ink>", " ", "Yes", "."], "Yes."),
        (["Yes <think>no</think>and no"], "Yes and no"),
        (["<think>never ends"], ""),
        (["a <", "b and <thin"], "a <b and <thin"),
        (["\n", " ", "Yes"], "Yes"),
    ],
)
def test_thoughts_are_not_said(deltas: list[str], text: str) -> None:
    assert said(*deltas) == text


def test_nothing_is_held_back_that_can_be_said() -> None:
    thinking = ThinkFilter()
    assert thinking.feed("We are") == "We are"
    assert thinking.feed(" <") == " "
    assert thinking.feed("5 ") == "<5 "


@given(st.lists(st.sampled_from(["<think>", "</think>", "<", "think>", "a", " ", "b.\n"]), max_size=12).map("".join))
def test_it_does_not_matter_how_the_text_arrives(text: str) -> None:
    assert said(*text) == said(text)
    if "<" not in text:
        assert said(text) == text.lstrip()
