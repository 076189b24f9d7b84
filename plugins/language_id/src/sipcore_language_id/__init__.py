"""Which language a text is in, for sipcore, by py3langid."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio.to_thread
from pydantic import BaseModel
from sipcore.plugins import LanguageIdentifier, Provider, hookimpl

from sipcore_language_id.identifier import Identifier, load


class Config(BaseModel, extra="forbid"):
    """``[language.py3langid]`` has no settings."""


@asynccontextmanager
async def open_identifier(config: Config) -> AsyncGenerator[LanguageIdentifier, None]:
    """Load the model that the package brings along, once for all calls: some 40 MB of memory."""
    del config
    yield Identifier(await anyio.to_thread.run_sync(load))


@hookimpl
def sipcore_language() -> Provider[Config, LanguageIdentifier]:
    """Return the provider ``py3langid``."""
    return Provider("py3langid", Config, open_identifier)
