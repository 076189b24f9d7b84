"""A long call goes on: the oldest of it is forgotten, and never what the assistant is."""

from hypothesis import given
from hypothesis import strategies as st
from sipcore.plugins import Message
from sipcore_llm_qwen.history import forget_oldest

SYSTEM = Message("system", "Be brief.")


def turns(count: int) -> list[Message]:
    return [
        message
        for n in range(count)
        for message in (Message("user", f"question {n}"), Message("assistant", f"answer {n}"))
    ]


def test_the_older_half_goes() -> None:
    history = [SYSTEM, *turns(4), Message("user", "now")]
    assert forget_oldest(history) == [SYSTEM, *turns(4)[6:], Message("user", "now")]


def test_the_question_itself_stays() -> None:
    alone = [SYSTEM, Message("user", "now")]
    assert forget_oldest(alone) == alone
    assert forget_oldest([SYSTEM]) == [SYSTEM]
    assert forget_oldest([]) == []


ROLES = st.sampled_from(["system", "user", "assistant", "tool"])


@given(st.lists(st.builds(Message, ROLES, st.text(max_size=3)), max_size=20))
def test_it_is_shorter_or_the_same_and_ends_alike(messages: list[Message]) -> None:
    shorter = forget_oldest(messages)
    assert len(shorter) < len(messages) or shorter == messages
    assert [m for m in shorter if m.role == "system"] == [m for m in messages if m.role == "system"]
    spoken, kept = ([m for m in some if m.role != "system"] for some in (messages, shorter))
    assert kept == spoken[len(spoken) - len(kept) :]
