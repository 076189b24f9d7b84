"""The settings of ``[llm.api]``."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, Field
from sipcore.plugins.credentials import HeaderSecret
from sipcore.plugins.retry import Limits

Format: TypeAlias = Literal["json", "ndjson", "sse"]


class Config(BaseModel, extra="forbid", hide_input_in_errors=True):
    """What ``[llm.api]`` may say."""

    base_url: str = Field(default="http://localhost:8000", pattern=r"^https?://[^\s/@]+(/[^\s?#]*)?$")
    """The server."""
    path: str = Field(default="/generate", pattern=r"^/[^\s?#]*$")
    """Where on it the messages are posted to."""
    api_key: HeaderSecret | None = None
    """Sent as ``Authorization: Bearer``, when there is one."""
    headers: dict[str, HeaderSecret] = {}
    """Further headers."""
    body: dict[str, Any] = {}
    """Further fields of the request, such as ``stream`` or ``model``."""
    format: Literal["auto"] | Format = "auto"
    """How the server replies; ``auto``: as its ``Content-Type`` says."""
    reply_field: str = "reply"
    """Where the text stands in the reply, or in each item of a stream: names and numbers joined by dots; empty: it is
    the whole item."""
    cumulative: bool = False
    """Whether each item of a stream holds all of the text so far, not only what is new."""
    connect_timeout: float = Field(default=3.0, gt=0.0, le=60.0)
    """Seconds to reach the server, each time."""
    first_token_timeout: float = Field(default=10.0, gt=0.0, le=300.0)
    """Seconds until the reply begins, over all tries; without a stream: until it is there."""
    token_timeout: float = Field(default=10.0, gt=0.0, le=300.0)
    """Seconds that the reply may stand still once it has begun."""
    tries: int = Field(default=3, ge=1, le=3)
    """How often a request is made until the reply begins."""
    max_line: int = Field(default=1 << 20, ge=64, le=1 << 30)
    """Bytes of the longest line of a stream, or of a JSON reply."""
    max_reply: int = Field(default=20_000, ge=1, le=10_000_000)
    """Characters of the longest reply."""

    def url(self) -> str:
        """Return where the requests go."""
        return self.base_url.rstrip("/") + self.path

    def host(self) -> str:
        """Return the server's name, for messages."""
        return urlsplit(self.base_url).netloc

    def limits(self) -> Limits:
        """Return how long the server may take."""
        return Limits("llm.api", self.tries, self.first_token_timeout, self.token_timeout)

    def secrets(self) -> list[str]:
        """Return what must be shown nowhere."""
        kept = [*self.headers.values(), *([self.api_key] if self.api_key else [])]
        return [secret.get_secret_value() for secret in kept]

    def sent_headers(self) -> dict[str, str]:
        """Return the headers of every request."""
        key = self.api_key.get_secret_value() if self.api_key else ""
        return {
            "Accept": "text/event-stream, application/x-ndjson, application/json",
            "Accept-Encoding": "identity",
            **({"Authorization": f"Bearer {key}"} if key else {}),
            **{name: value.get_secret_value() for name, value in self.headers.items()},
        }
