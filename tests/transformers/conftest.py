"""A Qwen3 small enough to be made here: random weights, a tokenizer that learns its words from a page of text."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging

logging.disable_progress_bar()

SIGNS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
WORDLESS = len(SIGNS) + 256
"""So many tokens come before the first that was learnt: the signs, and the single bytes."""

TEMPLATE = """{%- if not messages %}{{ raise_exception('nobody has said anything') }}{% endif -%}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think>

</think>

{% endif %}{% endif -%}"""
"""As Qwen3's own, without tools."""

TEXT = """We are open Monday to Friday from nine to five. You find us at 12 Mill Street, next to the station.
Please tell me a very long story about chairs and tables. A colleague will call you back. Hello, who are you?
 system user assistant You answer the phone of a shop. It sells chairs, tables and many other things. Hm
"""


def learn_words() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=WORDLESS + 220, special_tokens=SIGNS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([TEXT] * 3, trainer)
    tokenizer.add_tokens(["<think>", "</think>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=TEMPLATE
    )


def build(tokenizer: PreTrainedTokenizerFast, *, hidden: int, layers: int, positions: int) -> Qwen3ForCausalLM:
    torch.manual_seed(7)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=positions,
        tie_word_embeddings=False,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen3ForCausalLM(config)


def save(folder: Path, model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that babbles words it has learnt, without end."""
    tokenizer = learn_words()
    model = build(tokenizer, hidden=64, layers=3, positions=1_000_000)
    with torch.no_grad():
        model.lm_head.weight[:WORDLESS] = 0
        model.lm_head.weight[-2:] = 0
    return save(tmp_path_factory.mktemp("babbles"), model, tokenizer)


@pytest.fixture
def saying(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that makes a model which says just this to whatever it hears: each token leads to the next."""

    def make(text: str) -> Path:
        tokenizer = learn_words()
        size = len(tokenizer)
        model = build(tokenizer, hidden=size, layers=1, positions=1024)
        last: int = tokenizer("</think>\n\n")["input_ids"][-1]
        chain = [last, *tokenizer(text)["input_ids"], tokenizer.eos_token_id]
        assert len(set(chain)) == len(chain), "no token may come twice"
        with torch.no_grad():
            model.model.embed_tokens.weight.copy_(torch.eye(size))
            for name, weight in model.model.layers.named_parameters():
                if "o_proj" in name or "down_proj" in name:
                    weight.zero_()
            model.lm_head.weight.zero_()
            for before, after in pairwise(chain):
                model.lm_head.weight[after, before] = 1
        return save(tmp_path / "says", model, tokenizer)

    return make
