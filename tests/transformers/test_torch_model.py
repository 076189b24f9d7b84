"""A model of transformers, step by step: what it writes, what it reads, and how it stops."""

from __future__ import annotations

import gc
import json
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from sipcore.plugins import Message, PluginError
from sipcore_llm_qwen.config import Config
from sipcore_llm_qwen.history import ContextFullError
from sipcore_llm_qwen.torch_loader import load_model
from sipcore_llm_qwen.torch_model import BATCH, TorchModel

SYSTEM = Message("system", "You answer the phone of a shop. It sells chairs, tables and many other things. " * 4)
STORY = (SYSTEM, Message("user", "Please tell me a very long story about chairs."))


@pytest.fixture
def make(folder: Path) -> Iterator[Callable[..., TorchModel]]:
    made: list[TorchModel] = []

    def load(path: Path = folder, **settings: Any) -> TorchModel:
        made.append(load_model(path, Config(**{"temperature": 0, "max_tokens": 20, **settings})))
        return made[-1]

    yield load
    for model in made:
        model.close()


def write(model: TorchModel, messages: Sequence[Message] = STORY, **options: Any) -> tuple[str, int]:
    """Return a reply, and in how many batches its prompt was read."""
    taken: list[str] = []

    def take(text: str) -> bool:
        taken.append(text)
        return True

    model.write(messages, take, **options)
    return "".join(taken), taken.count("")


def weights_in_memory() -> int:
    gc.collect()
    return sum(type(thing) is torch.nn.Parameter for thing in gc.get_objects())


def test_it_writes_what_the_library_itself_would(folder: Path, make: Callable[..., TorchModel]) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    reference = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    spoken = [{"role": message.role, "content": message.content} for message in STORY]
    text = tokenizer.apply_chat_template(spoken, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    assert ids.shape[1] > 2 * BATCH["cpu"]
    written = reference.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False)
    reply, batches = write(make())
    assert reply == tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True)
    assert batches == -(-ids.shape[1] // BATCH["cpu"])


def test_a_prompt_is_read_once(make: Callable[..., TorchModel]) -> None:
    model = make(slots=1)
    first, cold = write(model)
    again, warm = write(model)
    assert first == again
    assert (cold > 2, warm) == (True, 1)
    _, later = write(model, [*STORY, Message("assistant", first), Message("user", "Hello?")])
    assert later < cold


def test_a_model_with_a_sliding_window_reads_anew(
    folder: Path, tmp_path: Path, make: Callable[..., TorchModel]
) -> None:
    shutil.copytree(folder, tmp_path / "slides")
    settings = tmp_path / "slides" / "config.json"
    window = {
        "use_sliding_window": True,
        "sliding_window": 16,
        "layer_types": ["full_attention"] + ["sliding_attention"] * 2,
    }
    settings.write_text(json.dumps({**json.loads(settings.read_text()), **window}))
    model = make(tmp_path / "slides", slots=1)
    assert write(model) == write(model)
    assert write(model)[0] != write(make())[0]


def test_a_prompt_read_ahead_is_ready_in_every_slot(make: Callable[..., TorchModel]) -> None:
    model, unread = make(slots=2), make(slots=2)
    model.read([SYSTEM], lambda: True)
    model.read([SYSTEM, Message("user", "Hello, who are you?")], lambda: True)
    both = threading.Barrier(2)
    read: list[tuple[str, int]] = []

    def call(question: str) -> None:
        taken: list[str] = []

        def take(text: str) -> bool:
            if not taken:
                both.wait(60)
            taken.append(text)
            return True

        model.write([SYSTEM, Message("user", question)], take)
        read.append((question, taken.count("")))

    callers = [threading.Thread(target=call, args=(question,)) for question in ("chairs", "tables")]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert sorted(read) == [("chairs", 1), ("tables", 1)]
    assert write(model) == (write(unread)[0], 1)


def test_the_settings_prompt_is_read_at_start(make: Callable[..., TorchModel]) -> None:
    assert write(make(prefix=SYSTEM.content))[1] == 1
    assert write(make())[1] > 2


def test_a_prompt_read_ahead_takes_no_conversation_away(make: Callable[..., TorchModel]) -> None:
    model = make(slots=1)
    write(model)
    model.read([SYSTEM], lambda: True)
    assert write(model)[1] == 1


def test_reading_ahead_can_be_stopped(make: Callable[..., TorchModel]) -> None:
    model = make(slots=2)
    asked: list[bool] = []

    def goes_on() -> bool:
        asked.append(True)
        return len(asked) < 2

    model.read([SYSTEM], goes_on)
    assert len(asked) == 3
    assert write(model)[0] == write(make())[0]


def test_it_stops_within_a_token(make: Callable[..., TorchModel]) -> None:
    model = make(slots=1, max_tokens=30_000, context=1_000_000)
    taken: list[str] = []

    def take(text: str) -> bool:
        taken.append(text)
        return not text

    model.write(STORY, take)
    assert len([text for text in taken if text]) == 1


def test_it_stops_within_a_batch_of_the_prompt(make: Callable[..., TorchModel]) -> None:
    model = make(slots=1)
    taken: list[str] = []

    def take(text: str) -> bool:
        taken.append(text)
        return len(taken) < 2

    model.write(STORY, take)
    assert taken == ["", ""]
    assert write(model)[0] == write(make())[0]


def test_a_reply_has_no_more_tokens_than_were_allowed(make: Callable[..., TorchModel]) -> None:
    model = make()
    whole, _ = write(model)
    short, _ = write(model, max_tokens=5)
    assert whole.startswith(short)
    assert len(short) < len(whole)


def test_a_reply_ends_where_the_model_ends_it(folder: Path, tmp_path: Path, make: Callable[..., TorchModel]) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    whole = write(make(), max_tokens=20)[0]
    said = tokenizer(whole, add_special_tokens=False)["input_ids"]
    end = next(token for number, token in enumerate(said) if number > 2 and token not in said[:number])
    shutil.copytree(folder, tmp_path / "ends")
    settings = tmp_path / "ends" / "generation_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "eos_token_id": [2, end]}))
    assert write(make(tmp_path / "ends"))[0] == whole[: whole.index(tokenizer.decode([end]))]


def test_a_reply_ends_with_the_context(make: Callable[..., TorchModel]) -> None:
    model = make(context=256, max_tokens=4000)
    assert 0 < len(write(model)[0]) < 4000


def test_the_models_own_limit_counts_too(saying: Callable[[str], Path], make: Callable[..., TorchModel]) -> None:
    model = make(saying("We are open."), context=100_000)
    with pytest.raises(ContextFullError, match="context allows 1024"):
        write(model, [Message("user", "please listen " * 800)])
    with pytest.raises(ContextFullError, match="context allows 1024"):
        model.read([Message("system", "please listen " * 800)], lambda: True)


def test_what_the_template_refuses_is_a_plugin_error(make: Callable[..., TorchModel]) -> None:
    with pytest.raises(PluginError, match="chat template refused the conversation: "):
        write(make(), [])


def test_a_failure_in_the_model_is_a_plugin_error_and_forgotten(make: Callable[..., TorchModel]) -> None:
    model = make(slots=1)
    taken = write(model)[0]
    hook = model._model.register_forward_pre_hook(lambda *_: torch.empty(2**60))
    with pytest.raises(PluginError, match=r"could not answer: there is not enough memory .*Take a smaller model"):
        write(model)
    hook.remove()
    assert write(model)[0] == taken


def test_closing_gives_the_memory_back(folder: Path) -> None:
    before = weights_in_memory()
    model = load_model(folder, Config())
    assert weights_in_memory() > before
    model.close()
    assert weights_in_memory() == before
    with pytest.raises(ContextFullError):
        load_model(folder, Config(prefix="please listen " * 800))
    assert weights_in_memory() == before
