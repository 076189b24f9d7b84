"""Words are chosen as the settings say."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from sipcore_llm_qwen.config import Config
from sipcore_llm_qwen.torch_choice import TOP_K, WordChoice

LOGITS = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()


def chosen(logits: torch.Tensor = LOGITS, count: int = 2000, **settings: Any) -> Counter[int]:
    choice = WordChoice(torch, "cpu", Config(**{"seed": 1, "top_p": 1, "temperature": 1, **settings}))
    return Counter(choice.choose(logits) for _ in range(count))


def test_without_temperature_it_is_the_likeliest() -> None:
    assert chosen(temperature=0, count=5) == {0: 5}


def test_words_come_as_often_as_they_are_likely() -> None:
    counts = chosen()
    assert all(abs(counts[token] / 2000 - share) < 0.05 for token, share in enumerate([0.5, 0.3, 0.15, 0.05]))


def test_only_words_that_make_up_top_p_are_chosen() -> None:
    assert chosen(top_p=0.4).keys() == {0}
    assert chosen(top_p=0.6).keys() == {0, 1}
    assert chosen(top_p=0.85, temperature=2).keys() == {0, 1, 2}


def test_temperature_makes_unlikely_words_likelier() -> None:
    cold, hot = chosen(temperature=0.3), chosen(temperature=2)
    assert cold[0] > chosen()[0] > hot[0]
    assert cold[3] < hot[3]


def test_noise_is_never_chosen() -> None:
    assert len(chosen(torch.zeros(1000), count=3000)) == TOP_K


def test_a_seed_makes_choices_repeat() -> None:
    def ten(seed: int | None) -> list[int]:
        choice = WordChoice(torch, "cpu", Config(seed=seed, temperature=1))
        return [choice.choose(torch.zeros(30)) for _ in range(10)]

    assert ten(5) == ten(5)
    assert ten(5) != ten(6)
    assert ten(None) != ten(None)
