"""The settings of ``[llm.openai]``."""

from __future__ import annotations

from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field
from sipcore.plugins.credentials import HeaderSecret
from sipcore.plugins.retry import Limits

OPENAI_URL: Final = "https://api.openai.com/v1"
_NEW_NAME_HOSTS: Final = ("openai.com", "azure.com")


class Config(BaseModel, extra="forbid", hide_input_in_errors=True):
    """What ``[llm.openai]`` may say."""

    api_key: HeaderSecret | None = None
    """The key; not needed by most servers of one's own (``base_url``)."""
    model: str = Field(default="gpt-4o-mini", min_length=1)
    """The model, as the server calls it."""
    base_url: str | None = Field(default=None, pattern=r"^https?://[^\s/@]+(/[^\s?#]*)?$")
    """A server that speaks the same: vLLM, Ollama, llama.cpp. By default OpenAI itself."""
    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    """0: always the likeliest word. By default the model's own."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Tokens of the longest reply, a reasoning model's thoughts among them. By default the model's own."""
    max_tokens_name: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto"
    """What the request calls that; ``auto``: the new name for OpenAI and Azure, the old one for all others."""
    connect_timeout: float = Field(default=3.0, gt=0.0, le=60.0)
    """Seconds to reach the server, each time."""
    first_token_timeout: float = Field(default=10.0, gt=0.0, le=300.0)
    """Seconds until the reply begins, over all tries."""
    token_timeout: float = Field(default=10.0, gt=0.0, le=300.0)
    """Seconds that the reply may stand still once it has begun."""
    tries: int = Field(default=3, ge=1, le=3)
    """How often a request is made until the reply begins."""
    organization: str | None = None
    """The organisation that is billed."""
    project: str | None = None
    """The project that is billed."""
    headers: dict[str, HeaderSecret] = {}
    """Further headers."""
    body: dict[str, Any] = {}
    """Further fields of the request, such as ``reasoning_effort``."""

    def url(self) -> str:
        """Return where the requests go."""
        return self.base_url or OPENAI_URL

    def host(self) -> str:
        """Return the server's name, for messages."""
        return urlsplit(self.url()).netloc

    def limits(self) -> Limits:
        """Return how long the server may take."""
        return Limits("llm.openai", self.tries, self.first_token_timeout, self.token_timeout)

    def secrets(self) -> list[str]:
        """Return what must be shown nowhere."""
        kept = [*self.headers.values(), *([self.api_key] if self.api_key else [])]
        return [secret.get_secret_value() for secret in kept]

    def request(self) -> dict[str, Any]:
        """Return the fields of every request that these settings decide.

        OpenAI's newer models refuse ``max_tokens``; Ollama ignores ``max_completion_tokens`` without a word.
        """
        auto = "max_completion_tokens" if self.host().endswith(_NEW_NAME_HOSTS) else "max_tokens"
        limit = auto if self.max_tokens_name == "auto" else self.max_tokens_name
        chosen = {"temperature": self.temperature, limit: self.max_tokens}
        return {"model": self.model, **{name: value for name, value in chosen.items() if value is not None}}
