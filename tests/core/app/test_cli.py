"""The command line, as its user sees it: what it prints, and how it ends."""

import json
import sys

import pytest
from sipcore import __version__
from sipcore.app import cli


@pytest.fixture
def sipcore(capsys, monkeypatch, tmp_path):
    """Run the command in an empty folder; status, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIPCORE_MODELS", str(tmp_path / "models"))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["sipcore", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    return run


def test_version(sipcore):
    status, out, _ = sipcore("--version")
    assert status == 0
    assert out.startswith(f"sipcore {__version__} (Python ")


def test_help_names_every_command(sipcore):
    status, out, _ = sipcore("--help")
    assert status == 0
    for command in ("run", "call", "demo", "config", "models", "plugins"):
        assert f" {command} " in out


def test_a_wrong_setting_is_one_line_and_status_1(sipcore, monkeypatch):
    monkeypatch.setenv("SIP_LOCAL_PORT", "seventy")
    status, out, err = sipcore("run", "--plugins", "")
    assert (status, out) == (1, "")
    (line,) = err.splitlines()
    assert line.startswith("sipcore: SIP_LOCAL_PORT")
    assert "seventy" in line


def test_every_wrong_setting_has_its_line(sipcore, monkeypatch):
    monkeypatch.setenv("SIP_LOCAL_PORT", "seventy")
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    _, _, err = sipcore("config")
    assert len(err.splitlines()) == 2


def test_a_plugin_that_is_not_there_is_named(sipcore):
    status, _, err = sipcore("run", "--plugins", "whisperer")
    assert status == 1
    assert "whisperer" in err
    assert "stt_whisper" in err


def test_a_missing_model_is_named_with_the_command_that_fetches_it(sipcore, monkeypatch):
    monkeypatch.setenv("SIP_LOCAL_IP", "127.0.0.1")
    status, _, err = sipcore("run", "--no-pull")
    assert status == 1
    assert "sipcore models pull" in err.splitlines()[-1]


@pytest.mark.parametrize("target", ["tel:+4912345", "sip:", "sip:bob@ho st", "http://example.org"])
def test_what_cannot_be_called_is_said(sipcore, target):
    status, _, err = sipcore("call", target)
    assert status == 1
    assert f"{target} cannot be called" in err


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--play", "absent.wav", "--play absent.wav"),
        ("--dtmf", "12x", "the digits are 0-9"),
        ("--record", "absent/out.wav", "the folder does not exist"),
    ],
)
def test_an_errand_that_cannot_be_run_is_said_before_anybody_is_called(sipcore, option, value, said):
    status, _, err = sipcore("call", "sip:bob@127.0.0.1:9", option, value)
    assert status == 1
    assert said in err
    assert "calling" not in err


def test_config_as_json_has_all_settings_and_no_secret(sipcore, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    _, out, _ = sipcore("config", "--json")
    shown = json.loads(out)
    assert shown["SIP_LOCAL_PORT"] == 5062
    assert "sk-very-secret" not in out


def test_config_says_where_a_value_comes_from(sipcore, monkeypatch):
    monkeypatch.setenv("SIP_LOCAL_PORT", "5099")
    _, out, _ = sipcore("config")
    line = next(line for line in out.splitlines() if line.startswith("SIP_LOCAL_PORT"))
    assert "5099" in line
    assert "environment" in line


def test_plugins_list(sipcore):
    _, out, _ = sipcore("plugins", "list", "--json")
    plugins = {info["name"]: info for info in json.loads(out)}
    assert {"stt_whisper", "tts_piper", "vad_silero", "llm_qwen"} <= plugins.keys()
    assert plugins["tts_piper"]["status"] == "loaded"


def test_plugins_that_are_not_asked_for_are_off(sipcore):
    _, out, _ = sipcore("plugins", "list", "--plugins", "piper")
    states = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert "loaded" in states["tts_piper"]
    assert "off" in states["llm_qwen"]


def test_models_list_says_what_is_here(sipcore):
    _, out, _ = sipcore("models", "list", "--json")
    models = {info["name"]: info for info in json.loads(out)}
    assert models["tiny.en"]["installed"] is False


def test_a_model_that_is_not_here_has_no_folder_but_a_command(sipcore):
    status, _, err = sipcore("models", "where", "tiny.en")
    assert status == 1
    assert "sipcore models pull tiny.en" in err


def test_an_unknown_model_is_refused(sipcore):
    status, _, err = sipcore("models", "pull", "tinny.en")
    assert status == 1
    assert "tinny.en" in err
