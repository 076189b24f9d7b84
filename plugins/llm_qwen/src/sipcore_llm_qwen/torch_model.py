"""A model of transformers: prompts in, text out. Blocking; called in threads, by many at once.

All steps are computed in one thread, a step of each reply in turn: so replies grow side by side, torch's own threads
do not compete, and a step is never long.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from inspect import signature
from typing import Any, TypeVar

from sipcore.plugins import Message
from sipcore.plugins.threads import stand_back

from sipcore_llm_qwen.config import Config
from sipcore_llm_qwen.history import ContextFullError
from sipcore_llm_qwen.torch_choice import WordChoice
from sipcore_llm_qwen.torch_errors import as_error
from sipcore_llm_qwen.torch_prompt import Prompts
from sipcore_llm_qwen.torch_slot import Slot, best_slot

T = TypeVar("T")

BATCH = {"cpu": 32, "cuda": 512}
"""Prompt tokens read at once. So long one caller's prompt holds up the others' words, and a cancelled one goes on."""


class TorchModel:
    """A loaded model.

    Args:
        torch: the library.
        transformers: the library.
        model: a causal language model of transformers.
        prompts: how to speak to it.
        config: the settings.
        threads: how many compute on the CPU.
    """

    def __init__(
        self, torch: Any, transformers: Any, model: Any, prompts: Prompts, config: Config, threads: int
    ) -> None:
        self._torch = torch
        self._model: Any = model
        self._prompts = prompts
        self._config = config
        self._device: str = model.device.type
        self._batch = BATCH[self._device]
        # Older releases of transformers call it past_key_values.
        self._cache_name = "cache" if "cache" in signature(model.forward).parameters else "past_key_values"
        own = getattr(model.config.get_text_config(), "max_position_embeddings", None) or config.context
        self._context = min(config.context, own)
        ends: Any = model.generation_config.eos_token_id
        self._ends: Sequence[int | None] = ends if isinstance(ends, list) else [ends]
        new_cache = partial(transformers.DynamicCache, config=model.config)
        self._slots = [Slot(self._forward, new_cache) for _ in range(config.slots)]
        self._free = list(self._slots)
        self._choosing = threading.Lock()
        self._steps = ThreadPoolExecutor(1, "qwen-torch", initializer=partial(self._begin, threads))

    def read(self, messages: Sequence[Message], goes_on: Callable[[], bool]) -> None:
        """Read the system messages of ``messages`` into every slot whose own conversation is worth less than they are.

        Raises:
            PluginError: they cannot be read.
        """
        ids = self._fitting(self._prompts.beginning(messages))
        with self._taken(ids) as slot:
            if slot.shared(ids) == len(ids):
                return
            self._read(slot, ids, None, lambda _: goes_on())
            while goes_on() and (other := self._take_shorter(len(ids))) is not None:
                try:
                    self._step(other.copy, slot)
                finally:
                    self._give(other)

    def write(self, messages: Sequence[Message], take: Callable[[str], bool], *, max_tokens: int | None = None) -> None:
        """Write a reply to ``messages``.

        Args:
            messages: the conversation so far.
            take: gets each bit of text, and the empty string after each batch of the prompt; False stops the reply.
            max_tokens: tokens in the longest reply; by default as configured.

        Raises:
            ContextFullError: the conversation is too long.
            PluginError: the engine cannot answer.
        """
        ids = self._fitting(self._prompts.ids(messages))
        longest = min(max_tokens or self._config.max_tokens, self._context - len(ids))
        choice = WordChoice(self._torch, self._device, self._config)
        text = self._prompts.text()
        with self._taken(ids) as slot:
            token = self._read(slot, ids, choice, take)
            for written in range(longest):
                if token is None or token in self._ends or not take(text.add(token)) or written == longest - 1:
                    return
                token = self._step(self._next, slot, [token], choice)

    def close(self) -> None:
        """Give the memory of the model and of all conversations back."""
        self._steps.shutdown()
        self._model = None
        for slot in self._slots:
            slot.clear()
        gc.collect()
        if self._device == "cuda":
            self._torch.cuda.empty_cache()

    def _read(
        self, slot: Slot, ids: Sequence[int], choice: WordChoice | None, take: Callable[[str], bool]
    ) -> int | None:
        """Read a prompt in batches. Returns the word chosen to follow it; None when stopped, or with no choice."""
        # The last token is always read, because what follows it is asked for.
        self._step(slot.keep, min(slot.shared(ids), len(ids) - 1))
        token = None
        while slot.length < len(ids):
            batch = ids[slot.length : slot.length + self._batch]
            last = slot.length + len(batch) == len(ids)
            token = self._step(self._next, slot, batch, choice if last else None)
            if not take(""):
                return None
        return token

    def _next(self, slot: Slot, ids: Sequence[int], choice: WordChoice | None) -> int | None:
        logits = slot.read(ids)
        return None if choice is None else choice.choose(logits)

    def _forward(self, ids: Sequence[int], cache: Any) -> Any:
        tokens = self._torch.tensor([ids], device=self._device)
        return self._model(tokens, **{self._cache_name: cache}, use_cache=True, logits_to_keep=1).logits[0, -1]

    def _fitting(self, ids: Sequence[int]) -> Sequence[int]:
        if len(ids) < self._context:
            return ids
        raise ContextFullError(
            f"the conversation has {len(ids)} tokens, [llm.qwen] context allows {self._context}: "
            "raise it, or shorten the prompt"
        )

    @contextmanager
    def _taken(self, ids: Sequence[int]) -> Generator[Slot]:
        """Take the best free slot: there is one, since no more threads write than there are slots."""
        with self._choosing:
            slot = best_slot(self._free, ids)
            self._free.remove(slot)
        try:
            yield slot
        except BaseException:
            slot.clear()
            raise
        finally:
            self._give(slot)

    def _take_shorter(self, length: int) -> Slot | None:
        with self._choosing:
            found = next((slot for slot in self._free if slot.length < length), None)
            if found is not None:
                self._free.remove(found)
            return found

    def _give(self, slot: Slot) -> None:
        with self._choosing:
            self._free.append(slot)

    def _step(self, work: Callable[..., T], *args: Any) -> T:
        """Compute in the model's own thread, when it is this reply's turn."""
        try:
            return self._steps.submit(self._compute, work, *args).result()
        except RuntimeError as error:
            raise as_error(error, "transformers could not answer") from error

    def _compute(self, work: Callable[..., T], *args: Any) -> T:
        with self._torch.inference_mode():
            return work(*args)

    def _begin(self, threads: int) -> None:
        """Begin the model's own thread: torch's others, which it starts, inherit its priority."""
        stand_back(self._config.nice)
        if self._device == "cpu":
            self._torch.set_num_threads(threads)
