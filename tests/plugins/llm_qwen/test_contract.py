"""Qwen keeps the promises of every LLM; tried with the smallest model."""

from typing import Any, ClassVar

from sipcore.testing.contract import LLMContract


class TestSmall(LLMContract):
    module = "sipcore_llm_qwen"
    settings: ClassVar[dict[str, Any]] = {"model": "smollm2-135m-instruct", "max_tokens": 40, "slots": 2, "seed": 1}
