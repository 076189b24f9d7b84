"""A server that cannot start says why, in a line a problem, and what to do; one plugin that is broken stops nobody."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from phonelab.ear import Ear
from phonelab.lab import LOOPBACK, Lab
from phonelab.server import PORTS_A_CALL, Server


@pytest.fixture
def refused(lab: Lab, tmp_path: Path) -> Callable[..., str]:
    """Start a server that must not start: status 1, no traceback, quickly; what it said."""

    def run(toml: str = "", **options: object) -> str:
        folder = tmp_path / "server"
        folder.mkdir(exist_ok=True)
        (folder / "sipcore.toml").write_text(toml, encoding="utf-8")
        with Server(lab, folder, **options) as server:
            status = server.wait_end(30)
        print(server.log.strip())
        assert status == 1 and "Traceback" not in server.log, server.log
        assert "Call it:" not in server.log
        return "\n".join(line for line in server.log.splitlines() if line.startswith("sipcore: "))

    return run


def test_sip_port_in_use(lab: Lab, refused: Callable[..., str]):
    with lab.udp_socket() as taken:
        port: int = taken.getsockname()[1]
        said = refused(sip_port=port)
    assert f"SIP_LOCAL_PORT {port} is in use on {LOOPBACK}" in said
    assert "choose another port" in said and len(said.splitlines()) == 1


def test_two_servers_on_one_port(start: Callable[..., Server], refused: Callable[..., str]):
    first = start()
    assert f"SIP_LOCAL_PORT {first.sip_port} is in use" in refused(sip_port=first.sip_port)


def test_no_such_voice(models: Mapping[str, str], refused: Callable[..., str]):
    said = refused(toml='[[assistant]]\nvoices = { en = "en_US-nobody-medium" }\n', plugins=None, env=models)
    assert "en_US-nobody-medium" in said and "voice" in said


def test_no_such_voice_in_the_plugins_own_settings(models: Mapping[str, str], refused: Callable[..., str]):
    said = refused(toml='[tts.piper]\nvoices = { en = "en_US-nobody-medium" }\n', plugins=None, env=models)
    assert "en_US-nobody-medium" in said


def test_models_that_are_missing_and_must_not_be_fetched(tmp_path: Path, refused: Callable[..., str]):
    empty = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    said = refused(plugins=None, env=empty, options=("--no-pull",))
    assert "not on this machine: " in said and "sipcore models pull " in said
    assert "tiny.en" in said or "base" in said
    assert len(said.splitlines()) == 1


def test_a_plugin_that_is_not_installed(refused: Callable[..., str]):
    said = refused(plugins="whispr")
    assert "plugin 'whispr' is not installed" in said and "Did you mean whisper?" in said


def test_a_provider_that_is_not_loaded(refused: Callable[..., str]):
    said = refused(toml='[[assistant]]\nllm = "openai"\n', plugins="whisper")
    assert 'assistant.llm = "openai"' in said


@pytest.fixture
def broken_plugin(tmp_path: Path) -> Path:
    """A folder to put on the module path: a distribution whose plugin cannot be imported."""
    folder = tmp_path / "site"
    info = folder / "sipcore_llm_broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sipcore-llm-broken\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[sipcore]\nllm_broken = sipcore_llm_broken\n", encoding="utf-8")
    (folder / "sipcore_llm_broken.py").write_text("import a_module_that_nobody_has\n", encoding="utf-8")
    return folder


def test_a_plugin_that_does_not_import_is_told_and_the_rest_run(
    start: Callable[..., Server], lab: Lab, broken_plugin: Path, models: Mapping[str, str]
):
    server = start(plugins=None, env={**models, "PYTHONPATH": str(broken_plugin)})
    with Ear(lab, server.address) as ear:
        assert ear.call().status == 200
        assert ear.hang_up().status == 200
    told = [line for line in server.lines("llm_broken") if "a_module_that_nobody_has" in line]
    print("\n".join(told))
    assert len(told) == 1, server.log
    assert "ModuleNotFoundError" in told[0] or "No module named" in told[0]


def test_a_plugin_that_does_not_import_is_refused_when_asked_for(refused: Callable[..., str], broken_plugin: Path):
    said = refused(plugins="broken", env={"PYTHONPATH": str(broken_plugin)})
    assert "llm_broken" in said and "No module named 'a_module_that_nobody_has'" in said


@pytest.mark.parametrize(
    ("env", "messages"),
    [
        ({"SIP_LOCAL_PORT": "70000"}, ["SIP_LOCAL_PORT is", "70000", "from 1 to 65535"]),
        ({"SIP_LOCAL_IP": "192.0.2.77"}, ["SIP_LOCAL_IP is", "this machine has no such address"]),
        ({"SIP_LOCAL_IP": "nowhere"}, ["SIP_LOCAL_IP is", "an IP address such as 192.168.1.10"]),
        ({"RTP_PORT_START": "31001"}, ["RTP_PORT_START is", "an even port was expected"]),
        ({"RTP_PORT_END": "20"}, ["RTP_PORT_END is", "RTP_PORT_START"]),
        ({"LOG_LEVEL": "LOUD"}, ["LOG_LEVEL is", "DEBUG", "ERROR"]),
        ({"RECORDING_DIR": "/etc/passwd/x"}, ["RECORDING_DIR is", "is not a folder"]),
        ({"SIPCORE_SIP__T1": "fast"}, ["SIPCORE_SIP__T1 is", "a number"]),
        ({"SIPCORE_SIP__MAX_CALL": "3"}, ["SIPCORE_SIP__MAX_CALL", "is not a setting", "max_calls"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_setting(refused: Callable[..., str], env: dict[str, str], messages: list[str]):
    said = refused(env=env)
    assert len(said.splitlines()) == 1
    for message in messages:
        assert message in said


def test_every_wrong_setting_is_told_at_once(refused: Callable[..., str]):
    said = refused(env={"SIP_LOCAL_PORT": "zero", "LOG_LEVEL": "LOUD", "MAX_RECORDING_AGE_DAYS": "-1"})
    assert len(said.splitlines()) == 3


def test_a_greeting_that_is_no_sound(lab: Lab, tmp_path: Path, refused: Callable[..., str]):
    wrong = tmp_path / "greeting.wav"
    wrong.write_bytes(b"this is no sound")
    said = refused(greeting=wrong)
    assert "greeting.wav cannot be used as greeting" in said


def test_settings_that_are_no_toml(refused: Callable[..., str]):
    said = refused(toml="[sip\nport = 1\n")
    assert "sipcore.toml" in said


def test_a_port_of_the_range_that_another_program_holds_is_skipped(start: Callable[..., Server], lab: Lab):
    server = start(calls=2)
    with Ear(lab, server.address) as first, Ear(lab, server.address) as second:
        with lab.udp_socket(server.rtp_port):
            answer = first.call()
            assert answer.status == 200 and answer.rtp[1] == server.rtp_port + PORTS_A_CALL
            assert second.call().status == 503
        assert second.call_again().status == 200
        assert first.hang_up().status == 200 and second.hang_up().status == 200
