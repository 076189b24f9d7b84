"""docs/reference/settings.md and the two example files say what the settings are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sipcore.app.config import Settings, load_settings
from sipcore.app.config_sources import is_table
from sipcore.app.config_tables import (
    AssistantSettings,
    MediaSettings,
    OutgoingSettings,
    RecordingSettings,
    SipSettings,
    TurnSettings,
    WebSocketSettings,
)

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
ENV_EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
TOML_EXAMPLE = (ROOT / "sipcore.toml.example").read_text(encoding="utf-8")
TABLES: dict[str, type[BaseModel]] = {
    "[sip]": SipSettings,
    "[media]": MediaSettings,
    "[recording]": RecordingSettings,
    "[websocket]": WebSocketSettings,
    "[outgoing]": OutgoingSettings,
    "[[assistant]]": AssistantSettings,
    "[assistant.turn]": TurnSettings,
}


def rows(model: type[BaseModel]) -> dict[str, str]:
    """A row of the page for each setting of a table."""
    return {
        name: f"| `{name}` | {_default(info)} | {info.description} |"
        for name, info in model.model_fields.items()
        if not isinstance(info.default, BaseModel)
    }


def flat_rows() -> dict[str, str]:
    """A row of the page for each flat setting."""
    return {
        name.upper(): f"| `{name.upper()}` | {_default(info)} | {info.description} |"
        for name, info in Settings.model_fields.items()
        if not is_table(info)
    }


def _default(info: FieldInfo) -> str:
    value: Any = info.default
    if info.default_factory is not None or value in (None, "", ()):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


@pytest.mark.parametrize("row", flat_rows().values(), ids=flat_rows().keys())
def test_every_flat_setting_is_on_the_page_once(row: str) -> None:
    assert PAGE.count(f"\n{row}\n") == 1


@pytest.mark.parametrize("table", TABLES)
def test_every_table_is_on_the_page_as_it_is(table: str) -> None:
    head = "| name | default | what it does |\n|---|---|---|"
    assert "\n".join([f"### `{table}`", "", head, *rows(TABLES[table]).values(), ""]) in PAGE


def test_the_page_knows_no_other_settings() -> None:
    documented = re.findall(r"^\| `([A-Z_]+)` \|", PAGE, re.MULTILINE)
    assert set(documented) == set(flat_rows())


def test_every_kind_of_plugin_is_on_the_page() -> None:
    assert "`[stt.NAME]`, `[tts.NAME]`, `[llm.NAME]`, `[vad.NAME]`, `[language.NAME]`, `[conversation.NAME]`" in PAGE


def test_the_env_example_changes_nothing_until_it_is_edited(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(ENV_EXAMPLE, encoding="utf-8")
    settings = load_settings(cwd=tmp_path, environ={})
    assert {row.source for row in settings.rows()} == {"default"}


def test_the_env_example_names_every_flat_setting_and_loads_when_all_is_switched_on(tmp_path: Path) -> None:
    lines = re.sub(r"^# (?=[A-Z_0-9]+=)", "", ENV_EXAMPLE, flags=re.MULTILINE)
    (tmp_path / ".env").write_text(lines.replace("192.168.1.101", "127.0.0.1"), encoding="utf-8")
    settings = load_settings(cwd=tmp_path, environ={})
    named = set(re.findall(r"^([A-Z_]+)=", lines, re.MULTILINE))
    assert named >= set(flat_rows())
    assert settings.recording.channels == 2
    assert settings.assistant[0].greeting == "Good morning, what can I do for you?"


def test_the_toml_example_loads(tmp_path: Path) -> None:
    (tmp_path / "sipcore.toml").write_text(TOML_EXAMPLE, encoding="utf-8")
    settings = load_settings(cwd=tmp_path, environ={})
    assert [assistant.name for assistant in settings.assistant] == ["reception"]
    assert settings.warnings() == [] or "SIP_LOCAL_IP" in settings.warnings()[0]


def test_the_toml_example_gives_the_defaults_it_shows(tmp_path: Path) -> None:
    (tmp_path / "sipcore.toml").write_text(TOML_EXAMPLE, encoding="utf-8")
    settings = load_settings(cwd=tmp_path, environ={})
    defaults = Settings()
    assert (settings.sip, settings.media, settings.recording) == (defaults.sip, defaults.media, defaults.recording)
    assert settings.assistant[0].turn == defaults.assistant[0].turn


def test_the_switched_off_lines_of_the_toml_example_load_too(tmp_path: Path) -> None:
    lines = re.sub(r"^# (?=\w+ = |\[)", "", TOML_EXAMPLE, flags=re.MULTILINE)
    (tmp_path / "sipcore.toml").write_text(lines, encoding="utf-8")
    settings = load_settings(cwd=tmp_path, environ={})
    assert settings.sip_local_port == 5062
    assert settings.assistant[0].voices == {"en": "en_US-joe-medium"}
    assert settings.vad["silero"] == {"sample_rate": 8000}
