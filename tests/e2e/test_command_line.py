"""The command line, as installed."""

import re
from importlib.metadata import version

PLUGINS = {"stt_whisper": "stt", "tts_piper": "tts", "vad_silero": "vad", "llm_qwen": "llm"}


def test_version(sipcore):
    ran = sipcore("--version")
    assert ran.status == 0 and ran.out.startswith(f"sipcore {version('sipcore')} (Python 3.")


def test_help_names_every_command(sipcore):
    ran = sipcore("--help")
    assert ran.status == 0
    for command in ("run", "call", "demo", "models", "plugins", "config"):
        assert re.search(rf"\b{command}\b", ran.out)
    for command in (("run",), ("call",), ("demo",), ("models",), ("models", "pull"), ("plugins",), ("config",)):
        shown = sipcore(*command, "--help")
        assert shown.status == 0 and "--help" in shown.out


def test_a_command_that_there_is_not(sipcore):
    ran = sipcore("fly")
    assert ran.status == 2 and "fly" in ran.err


def test_the_installed_plugins_are_listed_and_load(sipcore):
    found = {plugin["name"]: plugin for plugin in sipcore("plugins", "list", "--json").json}
    assert PLUGINS.keys() <= found.keys()
    for name, kind in PLUGINS.items():
        assert found[name]["kind"] == kind and found[name]["status"] == "loaded" and not found[name]["problem"]
        assert found[name]["version"] and found[name]["distribution"] == f"sipcore-{name.replace('_', '-')}"
    table = sipcore("plugins", "list")
    assert table.status == 0 and all(name in table.out for name in PLUGINS)


def test_one_plugin_alone(sipcore):
    found = {
        plugin["name"]: plugin["status"] for plugin in sipcore("plugins", "list", "--plugins", "piper", "--json").json
    }
    assert found["tts_piper"] == "loaded" and found["stt_whisper"] == "off"


def test_models_are_listed(sipcore, tmp_path):
    empty = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    found = {model["name"]: model for model in sipcore("models", "list", "--json", env=empty).json}
    for name in ("tiny.en", "en_US-joe-medium", "silero-vad", "qwen2.5-coder-0.5b-instruct"):
        assert found[name]["installed"] is False and found[name]["bytes"] > 1_000_000
        assert found[name]["licence"]
    assert "tiny.en" in sipcore("models", "list", env=empty).out


def test_a_model_that_nobody_knows(sipcore):
    ran = sipcore("models", "pull", "tiny.an")
    assert ran.status == 1 and ran.err.startswith("sipcore: ") and "tiny.an" in ran.err


def test_settings_are_shown_with_secrets_masked(sipcore):
    ran = sipcore("config", "--json", env={"SIP_LOCAL_PORT": "5070", "OPENAI_API_KEY": "sk-very-secret"})
    assert ran.status == 0 and ran.json["SIP_LOCAL_PORT"] == 5070
    assert ran.json["OPENAI_API_KEY"] == "****" and "very-secret" not in ran.out + ran.err
    assert ran.json["RTP_PORT_START"] == 31000 and ran.json["RTP_PORT_END"] == 31010


def test_settings_show_where_they_come_from(sipcore, tmp_path):
    (tmp_path / ".env").write_text("RTP_PORT_END=31050\n", encoding="utf-8")
    (tmp_path / "sipcore.toml").write_text("[recording]\nchannels = 2\n", encoding="utf-8")
    ran = sipcore("config", env={"LOG_LEVEL": "debug"})
    rows = {line.split()[0]: line for line in ran.out.splitlines() if line.strip()}
    assert "DEBUG" in rows["LOG_LEVEL"] and "environment" in rows["LOG_LEVEL"]
    assert "31050" in rows["RTP_PORT_END"] and ".env" in rows["RTP_PORT_END"]
    assert "2" in rows["recording.channels"] and "sipcore.toml" in rows["recording.channels"]
    assert "default" in rows["SIP_LOCAL_PORT"]


def test_a_wrong_setting_is_one_line_and_status_1(sipcore):
    ran = sipcore("config", env={"SIP_LOCAL_PORT": "many"})
    assert ran.status == 1 and len(ran.err.strip().splitlines()) == 1 and "SIP_LOCAL_PORT" in ran.err
