"""What the interop tests share: the laboratory, a server in it, voices, and models."""

import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from phonelab import waves
from phonelab.lab import SIPCORE, Lab
from phonelab.program import environment
from phonelab.server import Server
from phonelab.words import Listener

MODELS = {"stt": "tiny.en", "tts": "en_US-joe-medium", "vad": "silero-vad", "llm": "smollm2-135m-instruct"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder are interop tests."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.interop)


@pytest.fixture(scope="session")
def lab() -> Generator[Lab]:
    """A loopback of this run's own."""
    with Lab() as made:
        yield made


@pytest.fixture
def start(lab: Lab, tmp_path: Path) -> Generator[Callable[..., Server]]:
    """Start servers; each must end well with the test, with status 0 and without a traceback."""
    started: list[Server] = []
    with ExitStack() as stack:

        def run(**options: Any) -> Server:
            folder = options.pop("folder", tmp_path / f"server{len(started)}")
            server = stack.enter_context(Server(lab, folder, **options))
            started.append(server)
            return server.wait_ready(60)

        try:
            yield run
        finally:
            for server in started:
                print(f"--- {server.log_file}\n{server.log[-6000:]}")
        for server in started:
            if server.status is None:
                server.stop()


@pytest.fixture(scope="session")
def alice() -> waves.Samples:
    """A woman's voice."""
    return waves.voice("alice")


@pytest.fixture(scope="session")
def bob() -> waves.Samples:
    """A man's voice."""
    return waves.voice("bob")


@pytest.fixture
def greeting(tmp_path: Path, bob: waves.Samples) -> Path:
    """A greeting.wav."""
    return waves.write(tmp_path / "greeting.wav", bob)


@pytest.fixture(scope="session")
def models() -> dict[str, str]:
    """The small models, fetched when they are not here yet; settings that name them."""
    subprocess.run([SIPCORE, "models", "pull", *MODELS.values()], check=True, env=environment(), timeout=280)
    return {"SIPCORE_STT__WHISPER__MODEL": MODELS["stt"], "SIPCORE_LLM__QWEN__MODEL": MODELS["llm"]}


@pytest.fixture(scope="session")
def listener(models: dict[str, str]) -> Listener:
    """Writes down what a phone heard."""
    assert models
    return Listener()
