"""What torch says when it fails, in the user's words."""

from __future__ import annotations

from sipcore.plugins import PluginError

_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def as_error(error: BaseException, what: str) -> PluginError:
    """Return the error to raise for one of torch or transformers.

    Args:
        error: what the library raised.
        what: what could not be done.
    """
    text = first_line(error)
    if isinstance(error, MemoryError) or any(sign in text.lower() for sign in _NO_MEMORY):
        return PluginError(
            f"{what}: there is not enough memory ({text}). Take a smaller model, fewer slots or a shorter context "
            "in [llm.qwen], or end what else uses the memory"
        )
    return PluginError(f"{what}: {text}")


def first_line(error: BaseException) -> str:
    """Return the beginning of an error's text: the libraries add stack traces and advice to it."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
