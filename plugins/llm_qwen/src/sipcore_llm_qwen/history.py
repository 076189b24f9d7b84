"""A conversation that has grown too long for the model: the oldest of it is forgotten."""

from __future__ import annotations

from collections.abc import Sequence

from sipcore.plugins import Message, PluginError


class ContextFullError(PluginError):
    """The conversation has more tokens than the model may see."""


def forget_oldest(messages: Sequence[Message]) -> Sequence[Message]:
    """Return a shorter history: the system's messages and the later half of the others, from a user's message on.

    Half at once, because each cut makes the model read the rest anew. Unchanged when nothing can go.
    """
    spoken = [message for message in messages if message.role != "system"]
    kept = spoken[(len(spoken) + 1) // 2 :]
    while kept and kept[0].role != "user":
        kept = kept[1:]
    if not kept:
        return messages
    return [message for message in messages if message.role == "system"] + kept
