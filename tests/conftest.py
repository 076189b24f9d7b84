"""What every test shares."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """asyncio alone, as the program runs."""
    return "asyncio"
