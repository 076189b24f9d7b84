"""Choosing the next word among those that the model finds likely."""

from __future__ import annotations

from typing import Any

from sipcore_llm_qwen.config import Config

TOP_K = 40
"""Of so many words at most, as llama.cpp does: the rest of the vocabulary is noise."""


class WordChoice:
    """Chooses the words of one reply, in the order of llama.cpp: ``top_p``, then ``temperature``.

    Args:
        torch: the library.
        device: where the logits are.
        config: the settings.
    """

    def __init__(self, torch: Any, device: str, config: Config) -> None:
        self._torch = torch
        self._config = config
        self._random = torch.Generator(device)
        if config.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(config.seed)

    def choose(self, logits: Any) -> int:
        """Return a token, given the logits of the whole vocabulary."""
        if self._config.temperature == 0:
            return int(logits.argmax())
        likely, tokens = logits.float().topk(min(TOP_K, logits.shape[-1]))
        probabilities = likely.softmax(-1)
        before = probabilities.cumsum(-1) - probabilities
        likely[before >= self._config.top_p] = -self._torch.inf
        chances = (likely / self._config.temperature).softmax(-1)
        return int(tokens[self._torch.multinomial(chances, 1, generator=self._random)])
