"""What went wrong, in words that say what to do."""

from __future__ import annotations

from typing import Final

from sipcore.plugins import PluginError
from sipcore.plugins.credentials import quoted
from sipcore.plugins.retry import TEMPORARY_STATUSES, TemporaryError, retry_after

from sipcore_llm_api.config import Config

LONGEST_REFUSAL: Final = 4096
"""Bytes of an error's body that are read."""

_ADVICE = {
    401: "the key is refused: set [llm.api] api_key to a valid one",
    403: "the key may not do this",
    404: "there is nothing at this address: correct [llm.api] base_url or path",
    405: "nothing can be posted to this address: correct [llm.api] path",
    413: "the conversation is too long: shorten the prompt",
    422: "the request is not what the server expects: correct [llm.api] body",
    429: "too many requests: make fewer calls at a time, or raise the server's limits",
}


def of_status(status: int, location: str, wait: str | None, body: bytes, config: Config) -> PluginError:
    """Return an answer that is no reply as an error that a user can act on, with no secret in it.

    Args:
        status: the HTTP status.
        location: its ``Location``.
        wait: its ``Retry-After``.
        body: the beginning of what it says.
        config: the settings.
    """
    if 300 <= status < 400:
        to = quoted(location or "nowhere", config.secrets())
        return PluginError(f"{config.host()} redirects to {to}: set [llm.api] base_url to where it leads")
    said = quoted(body.decode(errors="replace"), config.secrets())
    advice = _ADVICE.get(status, "the server is out of order" if status >= 500 else "the request is refused")
    text = f"{config.url()}: {advice} ({status}). It says: {said or 'nothing'}"
    return TemporaryError(text, retry_after(wait)) if status in TEMPORARY_STATUSES else PluginError(text)


def as_plugin_error(error: Exception, config: Config) -> PluginError:
    """Return ``error`` as one that a user can act on, with no secret in it."""
    import httpx

    if isinstance(error, PluginError):
        return error
    reason = quoted(f"{type(error).__name__}: {error}", config.secrets())
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return TemporaryError(f"{config.host()} cannot be reached ({reason}): is it up, and [llm.api] base_url right?")
    if isinstance(error, httpx.HTTPError):
        return TemporaryError(f"the connection to {config.host()} broke in the middle ({reason})")
    return PluginError(f"the request could not be written ({reason}): check [llm.api] base_url, headers and body")
