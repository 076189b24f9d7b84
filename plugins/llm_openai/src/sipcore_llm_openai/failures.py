"""What went wrong, in words that say what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipcore.plugins import PluginError
from sipcore.plugins.credentials import quoted
from sipcore.plugins.retry import TEMPORARY_STATUSES, TemporaryError, retry_after

from sipcore_llm_openai.config import Config

if TYPE_CHECKING:
    from openai import APIStatusError

_ADVICE = {
    400: "the request is refused",
    401: "the key is refused: set OPENAI_API_KEY, or [llm.openai] api_key, to a valid one",
    403: "the key may not do this: check the rights of its project and region",
    404: "there is no such model, or nothing at this address: correct [llm.openai] model or base_url",
    413: "the conversation is too long: shorten the prompt",
    429: "too many requests: make fewer calls at a time, or raise the account's limits",
}
_REACH = "is it up, and [llm.openai] base_url right?"
_NO_CREDIT = "insufficient_quota"


def as_plugin_error(error: Exception, config: Config) -> PluginError:
    """Return ``error`` as one that a user can act on, with no secret in it."""
    import openai

    if isinstance(error, PluginError):
        return error
    if isinstance(error, openai.APIStatusError):
        return _of_status(error, config)
    if isinstance(error, openai.APITimeoutError):
        return TemporaryError(
            f"{config.host()} could not be reached in time: is it up, and [llm.openai] base_url right?"
        )
    cause = error.__cause__ or error
    reason = quoted(f"{type(cause).__name__}: {cause}", config.secrets())
    if isinstance(error, openai.APIConnectionError):
        return TemporaryError(
            f"{config.host()} cannot be reached ({reason}): is it up, and [llm.openai] base_url right?"
        )
    if isinstance(error, (UnicodeError, TypeError, ValueError)):
        return PluginError(f"the request could not be written ({reason}): check [llm.openai] headers and body")
    return TemporaryError(f"the connection to {config.host()} broke ({reason})")


def _of_status(error: APIStatusError, config: Config) -> PluginError:
    status = error.status_code
    if 300 <= status < 400:
        to = quoted(error.response.headers.get("location", "nowhere"), config.secrets())
        return PluginError(f"{config.host()} redirects to {to}: set [llm.openai] base_url to where it leads")
    said = quoted(_message(error), config.secrets())
    if _NO_CREDIT in {error.code, error.type}:
        return PluginError(f"{config.host()}: the account has no credit left (429): check its plan and billing. {said}")
    advice = _ADVICE.get(status, "the server is out of order" if status >= 500 else "the request is refused")
    text = f"{config.host()}, model {config.model}: {advice} ({status}). It says: {said}"
    if status in TEMPORARY_STATUSES:
        return TemporaryError(text, retry_after(error.response.headers.get("retry-after")))
    return PluginError(text)


def _message(error: APIStatusError) -> str:
    body = error.body
    if isinstance(body, dict):
        body = body.get("message") or body  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return str(body or error.message)  # pyright: ignore[reportUnknownArgumentType]
