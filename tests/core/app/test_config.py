"""Settings: what wins, what a wrong value says, what is shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Self

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator, model_validator
from sipcore.app.config import Settings, load_settings
from sipcore.app.config_checks import is_own_address, local_address
from sipcore.errors import ConfigError

unhurried = hypothesis_settings(deadline=None)


class Place:
    """A folder with settings in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(
        self,
        *,
        toml: str = "",
        dotenv: str = "",
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> Settings:
        (self.folder / "sipcore.toml").write_text(toml, encoding="utf-8")
        (self.folder / ".env").write_text(dotenv, encoding="utf-8")
        return load_settings(cwd=self.folder, environ=environ or {}, overrides=overrides or {})

    def complaints(self, **given: Any) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            self.load(**given)
        return str(caught.value).split("\n")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# --- defaults and precedence


def test_without_any_settings_the_original_s_defaults_hold(place: Place) -> None:
    settings = place.load()
    assert (settings.sip_local_port, settings.sip_transfer_port) == (5062, 5060)
    assert (settings.rtp_port_start, settings.rtp_port_end) == (31000, 31010)
    assert (settings.ws_host, settings.ws_port, settings.websocket_url) == ("127.0.0.1", 8080, "ws://127.0.0.1:8080")
    assert settings.log_level == "INFO"
    assert settings.recording_dir == place.folder / "recording"
    assert settings.output_dir == place.folder / "output"
    assert settings.max_recording_age_days == 7
    assert settings.call_center_buffer_size == 120
    assert (settings.ws_send_queue_max, settings.ws_recv_queue_max) == (1000, 1000)
    assert (settings.rtp_send_queue_max, settings.rtp_recv_queue_max) == (500, 500)


def test_the_original_s_env_file_loads(place: Place) -> None:
    settings = place.load(
        dotenv="""
OPENAI_API_KEY=your_openai_api_key_here

# SIP Configuration
SIP_LOCAL_IP=127.0.0.1            # Your server's IP address
SIP_LOCAL_PORT=5062               # SIP listening port
SIP_SERVER_IP=192.168.1.170       # Remote SIP server IP
WS_URL=ws://192.168.1.101:8080
SIP_LOG_FILE=sip_server.log
MAX_RECORDING_AGE_DAYS=7
CALL_CENTER_BUFFER_SIZE=120       # Audio packets per utterance
"""
    )
    assert settings.sip_local_ip == "127.0.0.1"
    assert settings.sip_server_ip == "192.168.1.170"
    assert settings.websocket_url == "ws://192.168.1.101:8080"
    assert settings.sip_log_file == place.folder / "sip_server.log"
    assert settings.openai_api_key == SecretStr("your_openai_api_key_here")


def test_command_line_beats_environment_beats_dotenv_beats_toml_beats_default(place: Place) -> None:
    layers: list[tuple[str, Any, int]] = [
        ("toml", "SIP_LOCAL_PORT = 5001", 5001),
        ("dotenv", "SIP_LOCAL_PORT=5002", 5002),
        ("environ", {"SIP_LOCAL_PORT": "5003"}, 5003),
        ("overrides", {"SIP_LOCAL_PORT": 5004}, 5004),
    ]
    given: dict[str, Any] = {}
    assert place.load().sip_local_port == 5062
    for name, value, port in layers:
        given[name] = value
        assert place.load(**given).sip_local_port == port


def test_tables_of_two_layers_are_merged_key_by_key(place: Place) -> None:
    settings = place.load(
        toml="[llm.openai]\nmodel = 'a'\ntemperature = 0.5", environ={"SIPCORE_LLM__OPENAI__MODEL": "b"}
    )
    assert settings.llm["openai"] == {"model": "b", "temperature": 0.5}


def test_sipcore_prefix_reaches_flat_settings_tables_and_assistants(place: Place) -> None:
    settings = place.load(
        toml='[[assistant]]\nname = "front desk"\n[[assistant]]\nname = "night"',
        environ={
            "SIPCORE_SIP_LOCAL_PORT": "5070",
            "SIPCORE_MEDIA__MODE": "thread",
            "SIPCORE_ASSISTANT__FRONT_DESK__PROMPT": "Be brief.",
            "SIPCORE_ASSISTANT__2__TURN__END_SILENCE": "0.9",
            "SIPCORE_ASSISTANT__2__VOICES": '{"de": "thorsten"}',
        },
    )
    assert (settings.sip_local_port, settings.media.mode) == (5070, "thread")
    assert settings.assistant[0].prompt == "Be brief."
    assert settings.assistant[1].turn.end_silence == 0.9
    assert settings.assistant[1].voices == {"de": "thorsten"}


def test_the_assistant_that_is_there_by_default_can_be_changed_from_the_environment(place: Place) -> None:
    settings = place.load(environ={"SIPCORE_ASSISTANT__DEFAULT__GREETING": "Hi."})
    assert [assistant.greeting for assistant in settings.assistant] == ["Hi."]


def test_an_assistant_s_settings_make_an_assistant(place: Place) -> None:
    settings = place.load(toml='[[assistant]]\nname = "a"\nspeed = 1.5\n[assistant.turn]\nvad_threshold = 0.7')
    assistant = settings.assistant[0].assistant()
    assert (assistant.name, assistant.speed) == ("a", 1.5)
    assert assistant.turn_taking.threshold == 0.7
    assert assistant.turn_taking.end_silence == settings.assistant[0].turn.end_silence


def test_call_allow_is_a_list_in_toml_and_comma_separated_elsewhere(place: Place) -> None:
    assert place.load(dotenv="CALL_ALLOW=+49*, 00*").call_allow == ("+49*", "00*")
    assert place.load(toml='CALL_ALLOW = ["+49*"]').call_allow == ("+49*",)


def test_a_level_may_be_written_small(place: Place) -> None:
    assert place.load(environ={"LOG_LEVEL": "debug"}).log_level == "DEBUG"


def test_the_process_s_own_environment_and_folder_are_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIP_LOCAL_PORT", "5077")
    settings = load_settings()
    assert (settings.sip_local_port, settings.recording_dir) == (5077, tmp_path / "recording")


def test_a_named_settings_file_is_read_from_anywhere(place: Place) -> None:
    path = place.folder / "other.toml"
    path.write_text("SIP_LOCAL_PORT = 5099", encoding="utf-8")
    assert load_settings(config_file=path, cwd=place.folder, environ={}).sip_local_port == 5099


def test_paths_are_absolute_and_know_the_home(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(place.folder))
    settings = place.load(dotenv="RECORDING_DIR=~/calls\nOUTPUT_DIR=/tmp/out")
    assert (settings.recording_dir, settings.output_dir) == (place.folder / "calls", Path("/tmp/out"))


def test_the_constructor_alone_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIP_LOCAL_PORT", "5077")
    assert Settings().sip_local_port == 5062
    assert Settings(sip_local_port=5080).sip_local_port == 5080


def test_what_others_see_is_the_advertised_address(place: Place) -> None:
    settings = place.load(dotenv="SIP_LOCAL_IP=127.0.0.1")
    assert settings.advertised_ip == "127.0.0.1"
    settings = place.load(dotenv="SIP_LOCAL_IP=127.0.0.1\nSIP_ADVERTISED_IP=203.0.113.7")
    assert settings.advertised_ip == "203.0.113.7"


@pytest.mark.parametrize(("end", "room"), [(31001, 1), (31003, 1), (31005, 2), (31010, 3), (31999, 250)])
def test_the_ports_have_room_for_so_many_calls(place: Place, end: int, room: int) -> None:
    assert place.load(environ={"RTP_PORT_END": str(end)}).session_room == room


# --- wrong values


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        (
            "SIP_LOCAL_PORT",
            "99999",
            'SIP_LOCAL_PORT is "99999" (environment): a whole number from 1 to 65535 was expected. Correct it, or',
        ),
        ("SIP_LOCAL_IP", "phone", 'SIP_LOCAL_IP is "phone" (environment): an IP address such as 192.168.1.10'),
        ("SIP_ADVERTISED_IP", "me", 'SIP_ADVERTISED_IP is "me" (environment): an IP address such as 192.168.1.10'),
        ("WS_URL", "http://x", "a URL such as ws://127.0.0.1:8080 was expected. Correct it."),
        ("LOG_LEVEL", "LOUD", 'one of "DEBUG", "INFO", "WARNING", "ERROR" was expected. Correct it, or leave it out'),
        ("MAX_RECORDING_AGE_DAYS", "-1", "a whole number from 0 to 36500 was expected"),
        ("WS_SEND_QUEUE_MAX", "0", "a whole number from 1 to 1000000 was expected"),
        ("RTP_PORT_START", "31001", "an even port was expected (RFC 3550 §11). Set it to 31002."),
        ("RTP_PORT_END", "31000", "a port above RTP_PORT_START (31000) was expected"),
        ("SIP_LOCAL_PORT", "31002", "it lies within the RTP ports 31000–31010"),
        ("SIP_LOCAL_IP", "198.51.100.1", "this machine has no such address. Set it to "),
        ("SIP_LOCAL_IP", "0.0.0.0", "or set SIP_ADVERTISED_IP too."),
        ("SIPCORE_SIP__T1", "fast", 'SIPCORE_SIP__T1 is "fast" (environment): a number from 0.05 to 5 was expected'),
        ("SIPCORE_RECORDING__ENABLED", "maybe", "true or false was expected"),
        ("SIPCORE_RECORDING__CHANNELS", "3", "one of 1, 2 was expected"),
        ("SIPCORE_MEDIA__PORTS_PER_SESSION", "3", "an even number from 2 to 64 was expected"),
        ("SIPCORE_ASSISTANT__DEFAULT__LANGUAGE", "english", 'a language code such as "en" or "pt-BR" was expected'),
        ("SIPCORE_ASSISTANT__DEFAULT__TURN__END_SILENCE", "0.1", "end_silence (0.1) is below candidate_silence (0.25)"),
        ("SIPCORE_SIP__T2", "0.2", "t2 (0.2) is below t1 (0.5)"),
        ("SIPCORE_MEDIA", "thread", 'SIPCORE_MEDIA is "thread" (environment): a table was expected'),
    ],
)
def test_a_wrong_value_is_one_clear_line(place: Place, name: str, value: str, line: str) -> None:
    complaints = place.complaints(environ={name: value})
    assert len(complaints) == 1
    assert complaints[0].startswith((name, "sip ", "assistant.1.turn "))
    assert line in complaints[0]


def test_every_wrong_value_is_told_at_once(place: Place) -> None:
    lines = place.complaints(
        toml='RTP_PORT_END = 3\n[media]\nmod = "x"\n[[assistant]]\nspeed = 9\nvoices = { english = "x" }',
        dotenv="SIP_LOCAL_PORT=0\nno setting at all",
        environ={"SIP_LOCAL_IP": "198.51.100.1", "SIPCORE_LLLM__X__Y": "1"},
        overrides={"log_level": "loud"},
    )
    starts = [line.split(" ")[0] for line in lines]
    assert starts == [
        f"{place.folder}/.env",
        "SIPCORE_LLLM__X__Y",
        "SIP_LOCAL_PORT",
        "log_level",
        "media.mod",
        "assistant.1.voices.english",
        "assistant.1.speed",
        "SIP_LOCAL_IP",
        "RTP_PORT_END",
    ]


def test_a_mistyped_key_gets_a_suggestion_or_the_list(place: Place) -> None:
    assert place.complaints(toml='[media]\nmod = "x"') == [
        'media.mod (sipcore.toml) is not a setting: did you mean "mode"?'
    ]
    assert place.complaints(toml="[recording]\nzzz = 1") == [
        "recording.zzz (sipcore.toml) is not a setting: its settings are: enabled, channels, keep_replies."
    ]
    assert place.complaints(toml="SIP_LOCAL_PRT = 1") == [
        'SIP_LOCAL_PRT (sipcore.toml) is not a setting: did you mean "SIP_LOCAL_PORT"?'
    ]
    assert "remove it" in place.complaints(toml="[zzzzzz]\na = 1")[0]


def test_a_plugin_s_table_without_the_plugin_s_name_is_told(place: Place) -> None:
    assert place.complaints(toml='[llm]\nmodel = "x"') == [
        'llm.model is "x" (sipcore.toml): a table was expected. Correct it.'
    ]


def test_two_assistants_of_one_name_are_refused(place: Place) -> None:
    lines = place.complaints(toml='[[assistant]]\nname = "a"\n[[assistant]]\nname = "a"')
    assert lines == ['two [[assistant]] are named "a": give each its own name.']


def test_a_wrong_secret_is_not_shown(place: Place) -> None:
    lines = place.complaints(toml="WS_TOKEN = 123456")
    assert lines == ['WS_TOKEN is "****" (sipcore.toml): text was expected. Correct it.']


def test_a_recording_folder_that_cannot_be_made_is_told(place: Place) -> None:
    (place.folder / "file").write_text("")
    (line,) = place.complaints(dotenv="RECORDING_DIR=file/calls")
    assert line.startswith("RECORDING_DIR is ")
    assert f"{place.folder}/file is not a folder; a folder that can be written was expected." in line
    assert place.load(dotenv="RECORDING_DIR=file/calls\nSIPCORE_RECORDING__ENABLED=no").recording.enabled is False


def test_all_addresses_are_fine_when_one_is_advertised(place: Place) -> None:
    settings = place.load(environ={"SIP_LOCAL_IP": "0.0.0.0", "SIP_ADVERTISED_IP": "203.0.113.7"})
    assert settings.advertised_ip == "203.0.113.7"


# --- plugins


class Inner(BaseModel):
    size: int


class Engine(BaseModel, extra="forbid"):
    api_key: SecretStr
    model: str = "small"
    threads: int = Field(default=2, ge=1, le=8)
    stop: list[str] = []

    @field_validator("model")
    @classmethod
    def known(cls, model: str) -> str:
        if model == "huge":
            raise ValueError("the model huge does not fit into memory")
        return model


def test_a_plugin_s_settings_are_its_own_model(place: Place) -> None:
    settings = place.load(
        toml="[llm.x]\napi_key = 'k'", environ={"SIPCORE_LLM__X__THREADS": "4", "SIPCORE_LLM__X__STOP": '["a", "b"]'}
    )
    engine = settings.plugin_settings("llm", "x", Engine)
    assert (engine.api_key.get_secret_value(), engine.threads, engine.stop) == ("k", 4, ["a", "b"])


def test_a_plugin_s_wrong_settings_are_told_like_ours(place: Place) -> None:
    settings = place.load(toml='[llm.x]\nmodl = "a"\nmodel = "huge"', environ={"SIPCORE_LLM__X__THREADS": "nine"})
    with pytest.raises(ConfigError) as caught:
        settings.plugin_settings("llm", "x", Engine)
    missing, huge, nine, unknown = str(caught.value).split("\n")
    assert missing == (
        "llm.x.api_key is not set: text was expected. "
        "Set it in sipcore.toml, or SIPCORE_LLM__X__API_KEY in the environment or .env."
    )
    assert huge == (
        'llm.x.model is "huge" (sipcore.toml): the model huge does not fit into memory. '
        'Correct it, or leave it out for "small".'
    )
    assert nine == (
        'SIPCORE_LLM__X__THREADS is "nine" (environment): a whole number from 1 to 8 was expected. '
        "Correct it, or leave it out for 2."
    )
    assert unknown == 'llm.x.modl (sipcore.toml) is not a setting: did you mean "model"?'


def test_a_choice_between_numbers_can_be_made_from_the_environment(place: Place) -> None:
    class Detector(BaseModel, extra="forbid"):
        sample_rate: Literal[8000, 16000] = 8000

    settings = place.load(environ={"SIPCORE_VAD__X__SAMPLE_RATE": "16000", "SIPCORE_RECORDING__CHANNELS": "2"})
    assert settings.plugin_settings("vad", "x", Detector).sample_rate == 16000
    assert settings.recording.channels == 2


def test_a_plugin_that_finds_its_settings_at_odds_says_so(place: Place) -> None:
    class Detector(BaseModel):
        low: int = 1
        high: int = 2

        @model_validator(mode="after")
        def order(self) -> Self:
            if self.high < self.low:
                raise ValueError("high is below low")
            return self

    settings = place.load(toml="[vad.x]\nhigh = 0")
    with pytest.raises(ConfigError, match=r"^\[vad\.x\]: high is below low\.$"):
        settings.plugin_settings("vad", "x", Detector)


def test_a_table_of_a_plugin_that_is_not_there_is_a_warning(place: Place) -> None:
    settings = place.load(toml="SIP_LOCAL_IP = '127.0.0.1'\n[llm.opnai]\n[vad.x]\na = 1")
    warnings = settings.warnings({"llm": ["openai"]})
    assert '[llm.opnai] is not used: no llm plugin of that name is installed. did you mean "openai"?' in warnings
    assert "[vad.x] is not used: no vad plugin of that name is installed." in warnings
    assert not any("not used" in line for line in settings.warnings())


# --- warnings


def test_an_address_that_only_this_machine_reaches_is_a_warning(place: Place) -> None:
    line = (
        "SIP_LOCAL_IP is 127.0.0.1: phones on other machines cannot send audio here. Set it to this machine's address."
    )
    assert place.load(dotenv="SIP_LOCAL_IP=127.0.0.1").warnings() == [line]
    assert place.load(dotenv="SIP_LOCAL_IP=127.0.0.1\nSIP_ADVERTISED_IP=203.0.113.7").warnings() == []
    (line,) = place.load(dotenv="SIP_ADVERTISED_IP=127.0.0.1").warnings()
    assert line.startswith("SIP_ADVERTISED_IP is 127.0.0.1")


def test_more_calls_than_ports_is_a_warning(place: Place) -> None:
    warnings = place.load(toml="[sip]\nmax_calls = 100").warnings()
    assert "sip.max_calls is 100, but the RTP ports 31000–31010 have room for 3. Raise RTP_PORT_END." in warnings


def test_a_near_miss_in_env_files_is_a_warning(place: Place) -> None:
    settings = place.load(
        dotenv="SIP_LOCAL_PRT=5070\nCOMPOSE_PROJECT_NAME=x", environ={"SIPCORE_LOGLEVEL": "x", "SIP_LOCAL_PRT": "1"}
    )
    assert 'SIP_LOCAL_PRT (.env) is not a setting: did you mean "SIP_LOCAL_PORT"?' in settings.warnings()
    assert 'SIPCORE_LOGLEVEL (environment) is not a setting: did you mean "log_level"?' in settings.warnings()
    assert not any("COMPOSE" in line for line in settings.warnings())


# --- what is shown


def test_secrets_are_masked_wherever_they_stand(place: Place) -> None:
    settings = place.load(
        toml='[llm.x]\napi_key = "sk-1"\nurl = "https://me:pass@host/"\nmax_tokens = 5\n[llm.x.deep]\n'
        'password = "p"\nX-Api-Key = "k-1"',
        environ={"OPENAI_API_KEY": "sk-2", "WS_TOKEN": "t"},
    )
    shown = settings.shown()
    assert shown["llm"]["x"] == {
        "api_key": "****",
        "url": "https://me:****@host/",
        "max_tokens": 5,
        "deep": {"password": "****", "X-Api-Key": "****"},
    }
    assert (shown["OPENAI_API_KEY"], shown["WS_TOKEN"]) == ("****", "****")
    assert not {"sk-1", "sk-2", "pass"} & set(json.dumps(shown).split('"'))
    assert sorted(settings.secrets()) == ["https://me:pass@host/", "k-1", "p", "sk-1", "sk-2", "t"]


def test_each_row_says_where_its_value_comes_from(place: Place) -> None:
    settings = place.load(
        toml='[recording]\nchannels = 2\n[[assistant]]\nname = "a"\nvoices = { de = "x" }',
        dotenv="RTP_PORT_END=31100",
        environ={"SIPCORE_ASSISTANT__A__PROMPT": "p"},
        overrides={"SIP_LOCAL_PORT": 5090, "log_level": None, "media.mode": "thread"},
    )
    rows = {row.name: (row.value, row.source) for row in settings.rows()}
    assert rows["SIP_LOCAL_PORT"] == (5090, "command line: SIP_LOCAL_PORT")
    assert rows["media.mode"] == ("thread", "command line: media.mode")
    assert rows["LOG_LEVEL"] == ("INFO", "default")
    assert rows["RTP_PORT_END"] == (31100, ".env: RTP_PORT_END")
    assert rows["recording.channels"] == (2, "sipcore.toml: recording.channels")
    assert rows["assistant.1.voices.de"] == ("x", "sipcore.toml: assistant.1.voices.de")
    assert rows["assistant.1.prompt"] == ("p", "environment: SIPCORE_ASSISTANT__A__PROMPT")
    assert rows["RECORDING_DIR"] == (str(place.folder / "recording"), "default")
    assert "llm" not in rows


def test_what_is_shown_is_plain_json(place: Place) -> None:
    shown = place.load(toml='[[assistant]]\nname = "a"').shown()
    assert json.loads(json.dumps(shown)) == shown
    assert shown["assistant"][0]["turn"]["barge_in"] is True


def test_settings_cannot_be_changed(place: Place) -> None:
    with pytest.raises(ValidationError):
        place.load().sip_local_port = 1  # pyright: ignore[reportAttributeAccessIssue]


def test_a_named_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.toml does not exist: a settings file was expected"):
        load_settings(config_file=tmp_path / "no.toml", cwd=tmp_path, environ={})


def test_files_that_are_no_utf_8_or_no_toml_are_told(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"WS_TOKEN=\xff\xfe")
    (tmp_path / "sipcore.toml").write_text("a = = 1")
    with pytest.raises(ConfigError) as caught:
        load_settings(cwd=tmp_path, environ={})
    dotenv, toml = str(caught.value).split("\n")
    assert dotenv.startswith(f"{tmp_path}/.env cannot be read ('utf-8' codec")
    assert toml == f"{tmp_path}/sipcore.toml is not TOML: Invalid value (at line 1, column 5). Correct that line."
    (tmp_path / ".env").unlink()
    (tmp_path / "sipcore.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"sipcore\.toml cannot be read .*: a UTF-8 text file was expected"):
        load_settings(cwd=tmp_path, environ={})


def test_a_byte_order_mark_is_no_part_of_the_first_name(place: Place) -> None:
    settings = place.load(toml="\ufeffSIP_LOCAL_PORT = 5001", dotenv="\ufeffRTP_PORT_END=31100")
    assert (settings.sip_local_port, settings.rtp_port_end) == (5001, 31100)


def test_one_assistant_table_must_be_a_list(place: Place) -> None:
    assert place.complaints(toml='[assistant]\nname = "a"') == [
        "[assistant] (sipcore.toml) is one table: a list was expected. Write it [[assistant]]."
    ]


def test_a_variable_for_an_assistant_that_is_not_there_is_told(place: Place) -> None:
    toml = '[[assistant]]\nname = "front desk"\n[[assistant]]\nname = "night"'
    (line,) = place.complaints(toml=toml, environ={"SIPCORE_ASSISTANT__NIGTH__PROMPT": "x"})
    assert line.startswith('SIPCORE_ASSISTANT__NIGTH__PROMPT (environment) names no [[assistant]]: there is no "nigth"')
    assert line.endswith('did you mean "night"?')
    (line,) = place.complaints(toml=toml, environ={"SIPCORE_ASSISTANT__ZZZ__PROMPT": "x"})
    assert line.endswith('there is no "zzz"; the names are: front_desk, night.')


def test_what_is_no_list_of_assistants_is_told(place: Place) -> None:
    (stray, entry) = place.complaints(toml='assistant = ["a"]', environ={"SIPCORE_ASSISTANT__DEFAULT__PROMPT": "p"})
    assert stray.endswith('there is no "default"; the names are: none.')
    assert entry == 'assistant.1 is "a" (sipcore.toml): a table was expected. Correct it.'
    assert place.complaints(toml="assistant = []") == [
        "assistant is [] (sipcore.toml): one [[assistant]] or more was expected. Correct it."
    ]
    assert place.complaints(environ={"SIPCORE_ASSISTANT": "x"}) == [
        'SIPCORE_ASSISTANT is "x" (environment): one [[assistant]] or more was expected. Correct it.'
    ]


def test_a_table_where_one_value_belongs_is_told(place: Place) -> None:
    assert place.complaints(toml="SIP_LOCAL_IP = { a = 1 }") == [
        'SIP_LOCAL_IP is {"a": 1} (sipcore.toml): an IP address such as 192.168.1.10 was expected. Correct it.'
    ]


def test_any_type_of_a_plugin_s_setting_is_put_into_words(place: Place) -> None:
    class Device(Enum):
        CPU = "cpu"
        GPU = "gpu"

    class Odd(BaseModel):
        device: Device = Device.CPU
        speed: float | None = Field(default=None, gt=0)
        share: float = Field(default=0.5, gt=0, le=1)
        size: int | list[int] = 1
        when: date | None = None
        path: Path | None = None
        models: list[Inner] = []

    given = "device = 'tpu'\nspeed = 'x'\nshare = 2\nsize = 'x'\nwhen = 'x'\npath = 3\nmodels = [{ size = 'x' }]"
    settings = place.load(toml=f"[tts.x]\n{given}")
    with pytest.raises(ConfigError) as caught:
        settings.plugin_settings("tts", "x", Odd)
    wanted = [line.split(": ", 1)[1] for line in str(caught.value).split("\n")]
    assert wanted[:3] == [
        'one of "cpu", "gpu" was expected. Correct it, or leave it out for "cpu".',
        "a number above 0 was expected. Correct it.",
        "a number above 0 and up to 1 was expected. Correct it, or leave it out for 0.5.",
    ]
    assert "unable to parse string as an integer" in wanted[3]
    assert "Input should be a valid date" in wanted[5]
    assert wanted[6:] == ["a path was expected. Correct it.", "a whole number was expected. Correct it."]


def test_a_whole_table_may_be_given_as_json(place: Place) -> None:
    settings = place.load(environ={"SIPCORE_LLM": '{"x": {"model": "a"}}', "SIPCORE_LLM__X__MODEL": "b"})
    assert settings.llm == {"x": {"model": "b"}}
    settings = place.load(environ={"SIPCORE_LLM__X": "no table", "SIPCORE_LLM__X__MODEL": "b"})
    assert settings.llm == {"x": {"model": "b"}}


def test_a_text_that_only_looks_like_json_stays_text(place: Place) -> None:
    settings = place.load(environ={"SIPCORE_ASSISTANT__DEFAULT__PROMPT": "[Be brief] {always}"})
    assert settings.assistant[0].prompt == "[Be brief] {always}"


def test_without_a_network_the_address_is_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("socket.socket.connect", unreachable)
    assert local_address() == "127.0.0.1"


@pytest.mark.parametrize(("address", "own"), [("127.0.0.1", True), ("198.51.100.1", False), ("2001:db8::1", False)])
def test_an_own_address_is_one_that_can_be_bound(address: str, own: bool) -> None:
    assert is_own_address(address) is own


@unhurried
@given(st.text(), st.text(), st.dictionaries(st.text(min_size=1), st.text()))
@example('"a\\nb" = 1', "", {})
@example('[llm."x\\ny"]\nz = 1\n[[assistant]]\n"a\\nb" = 2', "", {})
@example("", 'WS_URL="a\nb"', {"SIPCORE_LLM__\nX": "1", "SIPCORE_LLMM__\nX": "1"})
@example("a = " + "[" * 5000, "", {"SIPCORE_LLM__X": "[" * 100_000})
def test_whatever_is_in_the_files_there_are_settings_or_one_line_a_problem(
    toml: str, dotenv: str, environ: dict[str, str]
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sipcore.toml").write_bytes(toml.encode("utf-8", "surrogatepass"))
        (folder / ".env").write_bytes(dotenv.encode("utf-8", "surrogatepass"))
        try:
            settings = load_settings(cwd=folder, environ=environ)
            shown = [*settings.warnings(), *settings.warnings({})]
        except ConfigError as error:
            shown = str(error).split("\n")
    assert all(line.isprintable() and len(line) > 20 for line in shown)


@pytest.mark.parametrize("name", ["SIPCORE_MODELS", "SIPCORE_PLUGINS"])
def test_variables_that_are_no_settings_are_no_mistakes(tmp_path: Path, name: str) -> None:
    settings = load_settings(environ={name: "x", "SIP_LOCAL_IP": "127.0.0.1"}, cwd=tmp_path)
    assert not [warning for warning in settings.warnings() if name in warning]
