"""docs/howto/migrate.md names every piece of the original, and what it names instead is there and works."""

from __future__ import annotations

import importlib
import re
import tomllib
import types
from pathlib import Path

import pytest
from sipcore.app.config import Settings, load_settings
from sipcore.app.config_sources import is_table
from sipcore.audio.frame import AudioFrame
from sipcore.audio.tones import sine
from sipcore.audio.wav import write_wav
from sipcore.plugins import Message
from sipcore.plugins.manager import PluginManager
from sipcore.testing.fakes import FakeCall, loud

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "migrate.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
TOML = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
FILES = [
    "main.py",
    "receive_server.py",
    "call_center.py",
    "config.py",
    "helper/rtp_handler.py",
    "helper/sip_session.py",
    "helper/sip_parsers.py",
    "helper/ws_helper.py",
    "helper/ws_command.py",
    "helper/wav_handler.py",
    "helper/custom_sts_handler.py",
    "helper/openai_sts_handler.py",
    "helper/PROMPT.py",
    "helper/llm_backends/llm_backend.py",
    "helper/llm_backends/api.py",
    "local.py",
    "openai.py",
    "helper/llm_backends/models.py",
    "model/sip_message.py",
    "model/rtp.py",
    "model/ws_command.py",
    "model/call_status.py",
    "voices/en/",
    "voices/zh/",
    "output/transcode/greeting.wav",
    "output/converted/",
    "output/response/",
    "recording/",
    ".env",
    ".env.docker.example",
    "docker-compose.yml",
    "scripts/docker-build.sh",
]
CLASSES = [
    "RelayServer",
    "SIPRTPSession",
    "RTPHandler",
    "VADHandler",
    "SIPMessageParser",
    "WebSocketServer",
    "WSCommandHelper",
    "CallCenter",
    "LLMBackend",
    "APIBackend",
    "LocalBackend",
    "OpenAIBackend",
    "Config",
]
OLD_ENV = """
OPENAI_API_KEY=your_openai_api_key_here

# SIP Configuration
SIP_LOCAL_IP=127.0.0.1        # Your server's IP address
SIP_LOCAL_PORT=5062               # SIP listening port
SIP_TRANSFER_PORT=5060            # SIP transfer/relay port
SIP_SERVER_IP=192.168.1.170       # Remote SIP server IP

WS_HOST=192.168.1.101
WS_PORT=8080
WS_URL=ws://192.168.1.101:8080

RTP_PORT_START=31000              # Start of RTP port range
RTP_PORT_END=31010                # End of RTP port range

LOG_LEVEL=INFO
SIP_LOG_FILE=sip_server.log
CALL_CENTER_LOG_FILE=call_center.log

RECORDING_DIR=./recording
OUTPUT_DIR=./output
MAX_RECORDING_AGE_DAYS=7

CALL_CENTER_BUFFER_SIZE=120       # Audio packets per utterance
WS_SEND_QUEUE_MAX=1000
WS_RECV_QUEUE_MAX=1000
RTP_SEND_QUEUE_MAX=500
RTP_RECV_QUEUE_MAX=500
"""
OLD_SETTINGS = re.findall(r"^([A-Z_]+)=", OLD_ENV, re.MULTILINE)


def _module(source: str) -> types.ModuleType:
    module = types.ModuleType("example")
    exec(compile(source, "migrate.md", "exec"), module.__dict__)
    return module


def _example(word: str) -> str:
    return next(source for source in PYTHON if word in source)


@pytest.mark.parametrize("name", [*FILES, *CLASSES])
def test_every_file_and_class_of_the_original_has_its_row(name: str) -> None:
    assert re.search(rf"^\|[^|]*`{re.escape(name)}`[^|]*\|", PAGE, re.MULTILINE)


@pytest.mark.parametrize("name", OLD_SETTINGS)
def test_every_setting_of_the_original_has_its_row(name: str) -> None:
    assert re.search(rf"^\|[^|]*`{name}`[^|]*\|", PAGE, re.MULTILINE)


def test_the_settings_that_are_called_new_are_all_that_are() -> None:
    flat = {name.upper() for name, info in Settings.model_fields.items() if not is_table(info)}
    [paragraph] = re.findall(r"^New are .*?\n\n", PAGE, re.MULTILINE | re.DOTALL)
    assert flat - set(OLD_SETTINGS) == set(re.findall(r"`([A-Z_]+)`", paragraph))


def test_the_originals_env_is_read_with_the_two_lines_more(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"{OLD_ENV}WS_TOKEN=a-long-secret\nCALL_ALLOW=+49*,2??\n", encoding="utf-8")
    settings = load_settings(cwd=tmp_path, environ={})
    assert (settings.sip_server_ip, settings.ws_host) == ("192.168.1.170", "192.168.1.101")
    assert settings.call_center_buffer_size == 120 and settings.sip_log_file == tmp_path / "sip_server.log"


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(sipcore(?:\.\w+)+)`", PAGE)) - {"sipcore.toml"}))
def test_what_is_named_is_there(name: str) -> None:
    assert _is_there(name)


def _is_there(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        return hasattr(importlib.import_module(module), attribute)
    return True


@pytest.mark.anyio
async def test_the_conversation_of_the_example_greets_and_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_wav(tmp_path / "greeting.wav", AudioFrame.from_samples(sine(440, 0.5), 8000))
    manager = PluginManager([])
    manager.register(_module(_example("sipcore_conversation")), "conversation_greeter")
    provider = manager.provider("conversation", "greeter")
    call = FakeCall([loud(0.2)])
    async with provider.open(provider.config()) as greeter:
        await greeter.converse(call)
    assert call.heard >= 0.5


def test_the_parts_of_the_example_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIP_LOCAL_IP", "127.0.0.1")
    write_wav(tmp_path / "greeting.wav", AudioFrame.from_samples(sine(440, 0.5, 16000), 16000))
    module = _module(_example("parse_message"))
    assert capsys.readouterr().out == "a84b4c76 sip:alice@192.168.1.20\n"
    assert module.port == 5062 and (tmp_path / "greeting-8k.wav").is_file()


@pytest.mark.anyio
async def test_the_backend_of_the_example_answers() -> None:
    manager = PluginManager([])
    manager.register(_module(_example("sipcore_llm")), "llm_mine")
    provider = manager.provider("llm", "mine")
    async with provider.open(provider.config()) as backend, backend.reply([Message("user", "Hello")]) as deltas:
        assert "".join([delta.text async for delta in deltas]) == "You said: Hello"


def test_the_text_protocol_of_the_example_works() -> None:
    module = _module(_example("text_protocol"))
    assert (module.cmd_type, module.payload) == ("CALL", "1234567890")


def test_the_settings_of_the_example_load(tmp_path: Path) -> None:
    [settings] = [text for text in TOML if "[[assistant]]" in text]
    (tmp_path / "sipcore.toml").write_text(settings, encoding="utf-8")
    assert load_settings(cwd=tmp_path, environ={"SIP_LOCAL_IP": "127.0.0.1"}).assistant[0].llm == "openai"


def test_the_entry_point_of_the_example_names_its_module() -> None:
    [project] = [tomllib.loads(text) for text in TOML if "[project]" in text]
    assert project["project"]["entry-points"]["sipcore"] == {"llm_mine": "my_backend"}
    assert "`my_backend.py`" in PAGE
