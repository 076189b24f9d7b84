"""A conversation that was read is known, as far as the kind of model allows."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from sipcore_llm_qwen.torch_slot import Slot, best_slot


def forward(ids: Sequence[int], cache: Any) -> list[int]:
    states = torch.tensor(ids, dtype=torch.float32).reshape(1, 1, -1, 1)
    keys, _ = cache.update(states, states, 0)
    return [int(key) for key in keys.flatten()]


@pytest.fixture
def slot() -> Slot:
    return Slot(forward, transformers.DynamicCache)


def reading(*ids: int) -> Slot:
    slot = Slot(forward, transformers.DynamicCache)
    if ids:
        slot.read(ids)
    return slot


def test_what_is_read_is_added(slot: Slot) -> None:
    assert slot.read([1, 2, 3]) == [1, 2, 3]
    assert slot.read([4]) == [1, 2, 3, 4]
    assert slot.length == 4
    assert (slot.shared([1, 2, 9]), slot.shared([]), slot.shared([1, 2, 3, 4, 5])) == (2, 0, 4)


def test_the_end_can_be_forgotten(slot: Slot) -> None:
    slot.read([1, 2, 3])
    slot.keep(3)
    slot.keep(1)
    assert slot.read([7]) == [1, 7]


@pytest.mark.parametrize(
    "kind", [{"is_sliding": [True, False], "is_croppable": True}, {"is_sliding": [False], "is_croppable": False}]
)
def test_a_model_that_cannot_forget_a_part_forgets_all(kind: dict[str, Any]) -> None:
    made: list[SimpleNamespace] = []

    def new_cache() -> SimpleNamespace:
        made.append(SimpleNamespace(**kind))
        return made[-1]

    slot = Slot(lambda ids, cache: None, new_cache)
    slot.read([1, 2, 3])
    slot.keep(3)
    assert (slot.length, len(made)) == (3, 1)
    slot.keep(2)
    assert (slot.length, len(made)) == (0, 2)


def test_a_copy_goes_its_own_way(slot: Slot) -> None:
    slot.read([1, 2])
    other = reading(9)
    other.copy(slot)
    assert other.read([3]) == [1, 2, 3]
    assert slot.read([4]) == [1, 2, 4]


def test_the_slot_where_least_is_lost_is_taken() -> None:
    empty, prompt, long = reading(), reading(1, 2), reading(1, 2, 3, 4, 5, 6)
    assert best_slot([empty, prompt, long], [1, 2, 9]) is prompt
    assert best_slot([empty, long], [1, 2, 9]) is empty
    assert best_slot([empty, prompt, long], [1, 2, 3, 4, 5, 6, 7]) is long
    assert best_slot([prompt, long], [8]) is prompt
