"""What the tests of the plugins share: real weights in the normal store, and real speech."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sipcore.plugins import models


@pytest.fixture(scope="session")
def pulled() -> Callable[[str], Path]:
    """Return a model's folder by its name, fetched first when it is not there yet."""

    def pull(name: str) -> Path:
        models.pull([name])
        return models.find(name)

    return pull
