"""Between text and the model's tokens: prompts by its chat template, and the text of a reply as it grows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from sipcore.plugins import Message, PluginError

from sipcore_llm_qwen.signs import without
from sipcore_llm_qwen.torch_slot import common


class Prompts:
    """Writes conversations down as the model was taught to read them.

    Args:
        tokenizer: of transformers, with a chat template.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        special = [re.escape(str(token)) for token in tokenizer.added_tokens_decoder.values() if token.special]
        self._signs = re.compile("|".join(special) or r"(?!)")

    def ids(self, messages: Sequence[Message]) -> list[int]:
        """Return the tokens of a conversation, up to where the reply begins; thinking is switched off.

        Raises:
            PluginError: the chat template refuses it.
        """
        spoken = [{"role": message.role, "content": without(message.content, self._signs)} for message in messages]
        try:
            text: str = self._tokenizer.apply_chat_template(
                spoken, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
            ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        except Exception as error:  # a template is a program: it may fail in any way
            raise PluginError(f"the model's chat template refused the conversation: {error}") from error
        if not ids:
            raise PluginError("the model's chat template made nothing of the conversation")
        return ids

    def beginning(self, messages: Sequence[Message]) -> list[int]:
        """Return the tokens that every conversation with the system messages of ``messages`` begins with.

        Raises:
            PluginError: the chat template refuses them.
        """
        system = [message for message in messages if message.role == "system"]
        one, other = (self.ids([*system, Message("user", word)]) for word in ("Hello?", "And now?"))
        return one[: common(one, other)]

    def text(self) -> ReplyText:
        """Return an empty reply."""
        return ReplyText(self._tokenizer.backend_tokenizer)


class ReplyText:
    """The text of one reply.

    Args:
        tokenizer: of the tokenizers library.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._stream: Any = import_module("tokenizers.decoders").DecodeStream(skip_special_tokens=True)

    def add(self, token: int) -> str:
        """Return what the next token adds; nothing yet when a character is in several tokens."""
        return self._stream.step(self._tokenizer, token) or ""
