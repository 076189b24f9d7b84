"""One conversation inside the model: the keys and values of what has been read, so that it is read only once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import takewhile
from typing import Any


class Slot:
    """A conversation that the model knows. Its methods compute: they are called in the model's own thread.

    Args:
        forward: the model: ``(token ids, cache)`` to the logits of the word that follows them.
        new_cache: makes an empty cache of keys and values.
    """

    def __init__(self, forward: Callable[[Sequence[int], Any], Any], new_cache: Callable[[], Any]) -> None:
        self._forward = forward
        self._new_cache = new_cache
        self.clear()

    @property
    def length(self) -> int:
        """How many tokens have been read."""
        return len(self._read)

    def shared(self, ids: Sequence[int]) -> int:
        """Return how many of ``ids``, from the first on, have been read."""
        return common(self._read, ids)

    def read(self, ids: Sequence[int]) -> Any:
        """Read on. Returns the logits of the word that follows."""
        logits = self._forward(ids, self._cache)
        self._read += ids
        return logits

    def keep(self, length: int) -> None:
        """Forget all but the first ``length`` tokens; a kind of model that cannot do that forgets everything."""
        beyond = self.length - length
        if beyond and _can_forget(self._cache):
            self._cache.crop(-beyond)
            del self._read[length:]
        elif beyond:
            self.clear()

    def copy(self, other: Slot) -> None:
        """Know what ``other`` knows."""
        self._cache = deepcopy(other._cache)
        self._read = list(other._read)

    def clear(self) -> None:
        """Forget everything."""
        self._cache = self._new_cache()
        self._read: list[int] = []


def best_slot(slots: Sequence[Slot], ids: Sequence[int]) -> Slot:
    """Return the slot where least must be read anew: of ``ids`` now, and later of what is forgotten for them."""
    return max(slots, key=lambda slot: 2 * slot.shared(ids) - slot.length)


def _can_forget(cache: Any) -> bool:
    """Whether the end of what was read can be cut off: not where a layer keeps a sliding window or a running sum."""
    return not any(cache.is_sliding) and getattr(cache, "is_croppable", True)


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """Return with how many equal tokens both begin."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
