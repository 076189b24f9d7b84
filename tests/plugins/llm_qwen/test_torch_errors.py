"""What fails in torch is said with what to do."""

import pytest
from sipcore_llm_qwen.torch_errors import as_error, first_line


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has a total capacity of 4 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_memory_that_is_short_is_named_with_the_settings(error: Exception) -> None:
    text = str(as_error(error, "transformers cannot load it"))
    assert text.startswith("transformers cannot load it: there is not enough memory")
    assert "Take a smaller model, fewer slots or a shorter context in [llm.qwen]" in text
    assert "\n" not in text


def test_another_failure_keeps_its_first_line() -> None:
    assert str(as_error(ValueError("\n no such type \n Advice"), "It failed")) == "It failed: no such type"
    assert first_line(KeyError()) == "KeyError"
