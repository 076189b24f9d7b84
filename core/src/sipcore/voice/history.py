"""What was said so far, as the language model is told it."""

from __future__ import annotations

from sipcore.plugins.interfaces import Message


class History:
    """The messages of a conversation: the prompt, then user and assistant in turn.

    The assistant's messages hold what the caller *heard*, not what was generated.

    Args:
        prompt: the system prompt; empty: none.
        longest: so many user and assistant messages are kept; the oldest go first.
    """

    def __init__(self, prompt: str, longest: int = 40) -> None:
        self._prompt = _told(prompt)
        self._longest = longest
        self._said: list[Message] = []

    def messages(self, said: str = "", prompt: str | None = None) -> list[Message]:
        """All messages, and ``said`` as if the caller had said it: what a reply is made from.

        Args:
            said: what the caller says now.
            prompt: the system prompt of this reply, instead of the conversation's.
        """
        told = self._prompt if prompt is None else _told(prompt)
        return [*told, *(_joined(self._said, Message("user", said)) if said else self._said)]

    def add_user(self, text: str) -> None:
        """The caller said ``text``; two utterances without a heard reply between them are one message."""
        self._said = _joined(self._said, Message("user", text))[-self._longest :]

    def add_assistant(self, heard: str) -> None:
        """The caller heard ``heard``; nothing is kept when that is nothing."""
        if heard:
            self._said = _joined(self._said, Message("assistant", heard))[-self._longest :]


def _told(prompt: str) -> list[Message]:
    return [Message("system", prompt)] if prompt else []


def _joined(said: list[Message], new: Message) -> list[Message]:
    if said and said[-1].role == new.role:
        return [*said[:-1], Message(new.role, f"{said[-1].content} {new.content}")]
    return [*said, new]
