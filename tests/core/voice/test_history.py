"""What the language model is told of the conversation so far."""

from sipcore.plugins import Message
from sipcore.voice.history import History


def test_it_starts_with_the_prompt():
    assert History("Be brief.").messages("Hello") == [Message("system", "Be brief."), Message("user", "Hello")]


def test_without_a_prompt_there_is_none():
    assert History("").messages() == []


def test_asking_does_not_write():
    history = History("")
    history.messages("Hello")
    assert history.messages() == []


def test_two_utterances_without_a_heard_reply_are_one_message():
    history = History("")
    history.add_user("I want")
    history.add_assistant("")
    assert history.messages("a pizza") == [Message("user", "I want a pizza")]


def test_the_oldest_go_first_and_the_prompt_stays():
    history = History("P", longest=2)
    for text in "abc":
        history.add_user(text)
        history.add_assistant(text.upper())
    assert [m.content for m in history.messages()] == ["P", "c", "C"]
