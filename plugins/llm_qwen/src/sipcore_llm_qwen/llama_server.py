"""llama.cpp with a model in it: prompts in, text out. Blocking; called in threads, by many at once.

It batches all replies that are being written, and keeps the keys and values of prompts that it has read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sipcore.plugins import Message, PluginError

from sipcore_llm_qwen.cores import compute_threads
from sipcore_llm_qwen.history import ContextFullError

if TYPE_CHECKING:
    from sipcore_llm_qwen.config import Config

BATCH = 32
"""Prompt tokens read at once. So long one caller's prompt holds up the others' words, and a cancelled one goes on."""

SILENT = 0
"""llama.cpp's verbosity: nothing on the terminal, which is the program's own."""


class LlamaServer:
    """A loaded model.

    Args:
        server: xllamacpp's server.
        config: how to choose words.
    """

    def __init__(self, server: Any, config: Config) -> None:
        self._server: Any = server
        self._config = config

    def read(self, messages: Sequence[Message], goes_on: Callable[[], bool]) -> None:
        """Read a prompt into every slot, so that whichever a caller gets need not read it again.

        Raises:
            PluginError: the engine refused it.
        """
        for slot in range(self._config.slots):
            if goes_on():
                self.write(messages, lambda _: goes_on(), max_tokens=1, slot=slot)

    def write(
        self,
        messages: Sequence[Message],
        take: Callable[[str], bool],
        *,
        max_tokens: int | None = None,
        slot: int | None = None,
    ) -> None:
        """Write a reply to ``messages``.

        Args:
            messages: the conversation so far.
            take: gets each bit of text, and the empty string after each batch of the prompt; False stops the reply.
            max_tokens: tokens in the longest reply; by default as configured.
            slot: where to write it; by default the free slot that read most of it before.

        Raises:
            ContextFullError: the conversation is too long.
            PluginError: the engine refused it.
        """
        failures: list[Mapping[str, Any]] = []

        def on_line(line: str) -> bool:
            """Return whether to stop."""
            chunk = json.loads(line)
            if "error" in chunk:
                failures.append(chunk["error"])
                return True
            return not take(_text(chunk))

        try:
            self._server.handle_chat_completions(json.dumps(self._request(messages, max_tokens, slot)), on_line)
        except RuntimeError as error:
            raise PluginError(f"llama.cpp refused the conversation: {error}") from error
        if failures:
            raise _as_error(failures[0])

    def close(self) -> None:
        """Let the model go: its memory is free when this returns."""
        self._server = None

    def _request(self, messages: Sequence[Message], max_tokens: int | None, slot: int | None) -> Mapping[str, Any]:
        config = self._config
        chosen = {"seed": config.seed, "id_slot": slot}
        return {
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "stream": True,
            "return_progress": True,
            "cache_prompt": True,
            "max_tokens": max_tokens or config.max_tokens,
            "temperature": config.temperature,
            "top_p": config.top_p,
            "chat_template_kwargs": {"enable_thinking": False},
            **{name: value for name, value in chosen.items() if value is not None},
        }


def load_server(path: Path, config: Config) -> LlamaServer:
    """Load a model and let it read its first prompt: the settings' prefix, if they have one.

    Takes seconds, and holds the GIL for most of them, so that no other Python runs.

    Raises:
        PluginError: llama.cpp cannot load it.
    """
    xllamacpp: Any = import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_parallel = config.slots
    params.n_ctx = config.context * config.slots
    params.n_batch = params.n_ubatch = BATCH
    params.cache_ram_mib = config.prompt_cache
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = config.threads or compute_threads()
    params.n_threads_http = 1
    params.verbosity = SILENT
    params.ui = params.endpoint_slots = False
    params.warmup = False  # the first prompt does it, without the GIL
    with TemporaryDirectory(prefix="sipcore-llama-") as private:
        # It always listens for HTTP: here, on a socket that is gone with its folder, so that nobody can connect.
        params.hostnames = [f"{private}/http.sock"]
        try:
            server = LlamaServer(xllamacpp.Server(params), config)
        except RuntimeError as error:
            raise PluginError(
                f"llama.cpp cannot load {path}: {error} Is it whole, and of a kind that this llama.cpp knows?"
            ) from error
    # Never skipped: a server that is let go before its loop has run waits for that loop for ever.
    prefix = [Message("system", config.prefix)] if config.prefix else []
    server.read([*prefix, Message("user", "Hello?")], lambda: True)
    return server


def _text(chunk: Mapping[str, Any]) -> str:
    """Return what a chunk of the stream adds to the reply; reasoning comes apart from it and is not to be said."""
    choices: Sequence[Mapping[str, Any]] = chunk.get("choices") or ()
    return next((choice.get("delta", {}).get("content") or "" for choice in choices), "")


def _as_error(error: Mapping[str, Any]) -> PluginError:
    text = str(error.get("message", error))
    if error.get("type") == "exceed_context_size_error":
        return ContextFullError(
            f"the conversation has {error.get('n_prompt_tokens')} tokens, [llm.qwen] context allows "
            f"{error.get('n_ctx')}: raise it, or shorten the prompt"
        )
    return PluginError(f"llama.cpp could not answer: {text}")
