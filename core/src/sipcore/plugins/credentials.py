"""Keys: sent in headers, shown to nobody."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

from pydantic import AfterValidator, SecretStr

LONGEST_QUOTE: Final = 200
"""Characters of what a service says that are worth a place in an error."""


def _sendable(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value().strip()
    if not (value.isascii() and (value.isprintable() or not value)):
        raise ValueError("it has characters that cannot be sent in a header: expected printable ASCII")
    return SecretStr(value)


HeaderSecret = Annotated[SecretStr, AfterValidator(_sendable)]
"""A setting whose value is sent in an HTTP header and shown nowhere; white space around it is dropped."""


def quoted(text: str, secrets: Iterable[str] = ()) -> str:
    """Return what a service said as one short line, fit for an error: without line breaks, and with secrets masked."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "****")
    line = "".join(char if char.isprintable() else " " for char in " ".join(text.split()))
    return line if len(line) <= LONGEST_QUOTE else f"{line[:LONGEST_QUOTE]}…"
