"""The settings: flat names for the environment and ``.env``, tables for ``sipcore.toml``, checked before a start.

Precedence: command line > environment > ``.env`` > ``sipcore.toml`` > default.
``SIPCORE_LLM__OPENAI__MODEL`` reaches any key.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, cast, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from sipcore.app.config_checks import find_problems, find_warnings, local_address
from sipcore.app.config_errors import Words, failed_paths, lines, masked, on_one_line, written
from sipcore.app.config_sources import (
    KeyPath,
    Layer,
    Layers,
    Origin,
    did_you_mean,
    is_table,
    read_layers,
)
from sipcore.app.config_tables import (
    AssistantSettings,
    MediaSettings,
    OutgoingSettings,
    RecordingSettings,
    SipSettings,
    WebSocketSettings,
    number_of,
)
from sipcore.errors import ConfigError

ModelT = TypeVar("ModelT", bound=BaseModel)
PluginKind = Literal["stt", "tts", "llm", "vad", "language", "conversation"]
PLUGIN_KINDS: tuple[PluginKind, ...] = ("stt", "tts", "llm", "vad", "language", "conversation")


def _address(text: str) -> str:
    return str(ip_address(text.strip()))


def _split(value: Any) -> Any:
    return [part for part in value.replace(",", " ").split() if part] if isinstance(value, str) else value


def _upper(value: Any) -> Any:
    return value.strip().upper() if isinstance(value, str) else value


def _in_order(value: Any) -> Any:
    """Layers number the entries of a list; here it becomes a list again."""
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value)
        return [entries[number] for number in sorted(entries, key=int)]
    return value


_AN_ADDRESS = Words("an IP address such as 192.168.1.10")
Address = Annotated[str, AfterValidator(_address), _AN_ADDRESS]
OptionalAddress = Annotated[Address | None, _AN_ADDRESS]
Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
PluginTables = dict[str, dict[str, Any]]


def _plugins(kind: str) -> Any:
    return Field(
        default_factory=dict,
        description=f"`[{kind}.NAME]`: the settings of the {kind.upper()} plugin NAME; its own model checks them.",
    )


@dataclass(frozen=True, slots=True)
class ShownSetting:
    """One setting as ``sipcore config`` prints it: secrets masked, and where its value comes from."""

    name: str
    value: Any
    source: str


class Settings(BaseSettings):
    """All settings. Made by `load_settings`; the constructor alone reads no environment and no file."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, validate_default=False)

    sip_local_ip: Address = Field(
        default_factory=local_address,
        description="Address that SIP and RTP use here. By default this machine's address.",
    )
    sip_local_port: Port = Field(default=5062, description="UDP port of SIP here.")
    sip_advertised_ip: OptionalAddress = Field(
        default=None,
        description="Address to put in SDP and Contact when phones reach this machine by another one (NAT, cloud).",
    )
    sip_server_ip: str | None = Field(
        default=None, description="The remote SIP server that calls are relayed to: an address or a host name."
    )
    sip_transfer_port: Port = Field(default=5060, description="Port of the remote SIP server.")
    rtp_port_start: Port = Field(default=31000, description="First port of RTP; even.")
    rtp_port_end: Port = Field(
        default=31010, description="Last port of RTP. The range limits how many calls there can be."
    )
    ws_host: str = Field(default="127.0.0.1", description="Address that the WebSocket control listens on.")
    ws_port: Port = Field(default=8080, description="TCP port of the WebSocket control.")
    ws_url: Annotated[str | None, Words("a URL such as ws://127.0.0.1:8080")] = Field(
        default=None,
        description="Where a call centre finds the WebSocket control. By default `ws://WS_HOST:WS_PORT`.",
        pattern=r"^wss?://[^\s/]+",
    )
    ws_token: SecretStr | None = Field(default=None, description="Secret that a WebSocket client must show.")
    ws_send_queue_max: Count = Field(default=1000, description="Messages waiting to be sent to one WebSocket client.")
    ws_recv_queue_max: Count = Field(
        default=1000, description="Messages of one WebSocket client waiting to be handled."
    )
    ws_owner_timeout: Annotated[float, Field(ge=0, le=3600)] = Field(
        default=30.0, description="Seconds that a call stays up whose WebSocket client is lost, to be taken over."
    )
    rtp_send_queue_max: Count = Field(default=500, description="20 ms packets waiting to be sent on one call.")
    rtp_recv_queue_max: Count = Field(
        default=500, description="20 ms packets received on one call waiting to be handled."
    )
    call_allow: Annotated[
        tuple[str, ...], BeforeValidator(_split), Words("patterns such as +49*, separated by commas,")
    ] = Field(
        default=(),
        description="Destinations that may be dialled: patterns such as `+49*`, separated by commas.",
    )
    call_center_buffer_size: Count = Field(
        default=120, description="After so many 20 ms packets of unbroken speech an interim transcript is made."
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = Field(
        default="INFO", description="The least level that is logged: DEBUG, INFO, WARNING or ERROR."
    )
    sip_log_file: Path | None = Field(
        default=None, description="Log file of the SIP server. By default the terminal alone."
    )
    call_center_log_file: Path | None = Field(
        default=None, description="Log file of the call centre. By default the terminal alone."
    )
    recording_dir: Path = Field(default=Path("./recording"), description="Folder of the recordings.")
    output_dir: Path = Field(
        default=Path("./output"), description="Folder of `transcode/greeting.wav` and of kept replies."
    )
    max_recording_age_days: Annotated[int, Field(ge=0, le=36_500)] = Field(
        default=7, description="Recordings older than this are removed; 0 keeps them for ever."
    )
    openai_api_key: SecretStr | None = Field(
        default=None, description="Key of the OpenAI API, for the plugin `openai`."
    )

    sip: SipSettings = Field(default=SipSettings(), description="SIP itself.")
    media: MediaSettings = Field(default=MediaSettings(), description="RTP and audio.")
    recording: RecordingSettings = Field(default=RecordingSettings(), description="Recordings.")
    websocket: WebSocketSettings = Field(default=WebSocketSettings(), description="The WebSocket control.")
    outgoing: OutgoingSettings = Field(default=OutgoingSettings(), description="Calls that clients ask for.")
    stt: PluginTables = _plugins("stt")
    tts: PluginTables = _plugins("tts")
    llm: PluginTables = _plugins("llm")
    vad: PluginTables = _plugins("vad")
    language: PluginTables = _plugins("language")
    conversation: PluginTables = _plugins("conversation")
    assistant: Annotated[
        tuple[AssistantSettings, ...],
        BeforeValidator(_in_order),
        Field(min_length=1),
        Words("one [[assistant]] or more"),
    ] = Field(default=(AssistantSettings(),), description="Who answers. The first one answers every call.")

    _origins: dict[KeyPath, Origin] = PrivateAttr(default_factory=dict)
    _notes: list[str] = PrivateAttr(default_factory=list)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The layers that `load_settings` has read, strongest first; else the constructor's arguments alone."""
        arguments: dict[str, Any] = getattr(init_settings, "init_kwargs", {})
        layers: list[Layer] | None = arguments.get("_layers")
        return (init_settings,) if layers is None else tuple(layers)

    @classmethod
    def from_layers(cls, layers: Layers, folder: Path) -> Self:
        """Merge and validate layers; relative paths become ones below ``folder``.

        Raises:
            ValidationError: what pydantic found.
        """
        settings = cls(**cast("dict[str, Any]", {"_layers": layers.layers}))
        values = {name: getattr(settings, name) for name in cls.model_fields}
        paths = {name: folder / value.expanduser() for name, value in values.items() if isinstance(value, Path)}
        settings = settings.model_copy(update=paths)
        settings._origins, settings._notes = layers.origins(), layers.notes
        return settings

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [assistant.name for assistant in self.assistant]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f'two [[assistant]] are named "{twice}": give each its own name')
        return self

    @property
    def advertised_ip(self) -> str:
        """The address for SDP and Contact."""
        return self.sip_advertised_ip or self.sip_local_ip

    @property
    def websocket_url(self) -> str:
        """Where the WebSocket control is found."""
        return self.ws_url or f"ws://{self.ws_host}:{self.ws_port}"

    @property
    def response_dir(self) -> Path:
        """Where replies are kept."""
        return self.output_dir / "response"

    @property
    def session_room(self) -> int:
        """How many calls the RTP ports have room for."""
        return max(0, (self.rtp_port_end - self.rtp_port_start - 1) // self.media.ports_per_session + 1)

    def plugin_settings(self, kind: PluginKind, name: str, model: type[ModelT]) -> ModelT:
        """Return the settings of one plugin, checked by its own model.

        Raises:
            ConfigError: one line a problem, each with the setting's name.
        """
        table, origins = self._plugin_table(kind, name), dict(self._origins)
        key = self._lent_key(kind, name)
        if key is not None and not table.get("api_key") and not table.get("base_url"):
            table = {**table, "api_key": key.get_secret_value()}
            origins[kind, name, "api_key"] = origins.get(("openai_api_key",), Origin("default", "OPENAI_API_KEY"))
        try:
            return model.model_validate(_with_numbers(table, model))
        except ValidationError as error:
            raise _config_error(lines(error, model, origins, (kind, name))) from None

    def has_plugin_settings(self, kind: PluginKind, name: str) -> bool:
        """Whether the user gave one plugin settings: a table of its own, or its key."""
        return self._lent_key(kind, name) is not None or name in getattr(self, kind)

    def _lent_key(self, kind: PluginKind, name: str) -> SecretStr | None:
        return self.openai_api_key if (kind, name) == ("llm", "openai") else None

    def _plugin_table(self, kind: PluginKind, name: str) -> dict[str, Any]:
        return getattr(self, kind).get(name, {})

    def warnings(self, known: Mapping[str, Collection[str]] | None = None) -> list[str]:
        """What works but is probably not meant, one line each.

        Args:
            known: for each kind of plugin the names that are installed; None leaves that unchecked.
        """
        found = [*self._notes, *find_warnings(self)]
        for kind in PLUGIN_KINDS if known is not None else ():
            names = (known or {}).get(kind, ())
            strangers: list[str] = [name for name in getattr(self, kind) if name not in names]
            found.extend(
                f"[{kind}.{name}] is not used: no {kind} plugin of that name is installed. {did_you_mean(name, names)}"
                .rstrip()
                for name in strangers
            )  # fmt: skip
        return [on_one_line(line) for line in found]

    def secrets(self) -> list[str]:
        """The secrets among the values, for logs to mask."""
        found: list[str] = []
        _collect_secrets("", self.model_dump(), found)
        return found

    def shown(self) -> dict[str, Any]:
        """All settings as nested plain data with secrets masked: what ``sipcore config --json`` prints."""
        plain = self.model_dump()
        return {name if _is_table(name) else name.upper(): _plain(masked(name, value)) for name, value in plain.items()}

    def rows(self) -> list[ShownSetting]:
        """All settings, one a row, each with the source of its value."""
        rows: list[ShownSetting] = []
        for name, value in self.shown().items():
            self._add_rows((name.lower(),), value, rows)
        return rows

    def _add_rows(self, path: KeyPath, value: Any, rows: list[ShownSetting]) -> None:
        inner = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        if path == ("assistant",):
            inner = {str(number): entry for number, entry in enumerate(cast("list[Any]", value), 1)}
        for key, item in inner.items():
            self._add_rows((*path, key), item, rows)
        if not inner and not _is_table(".".join(path)):
            origin = self._origins.get(path)
            source = "default" if origin is None else f"{origin.layer}: {origin.name}"
            rows.append(ShownSetting(written(path, {}), value, source))


def load_settings(
    *,
    config_file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Settings:
    """Read, merge and check all settings.

    Args:
        config_file: the TOML file; None: ``sipcore.toml`` in ``cwd`` if it is there.
        overrides: the command line's: flat names or dotted paths to values; None is "not given".
        environ: the environment; None: this process's.
        cwd: folder of ``.env`` and ``sipcore.toml``, and of relative paths; None: the current one.

    Raises:
        ConfigError: one line a problem; all that could be found.
    """
    folder = cwd if cwd is not None else Path.cwd()
    layers = read_layers(
        Settings,
        config_file=config_file,
        overrides=overrides or {},
        environ=os.environ if environ is None else environ,
        cwd=folder,
    )
    try:
        settings = Settings.from_layers(layers, folder)
    except ValidationError as error:
        found = lines(error, Settings, layers.origins())
        found += _checks_on_the_rest(layers, failed_paths(error), folder)
        raise _config_error([*layers.problems, *found]) from None
    found = [*layers.problems, *find_problems(settings, layers.origins())]
    if found:
        raise _config_error(found)
    return settings


def _config_error(problems: list[str]) -> ConfigError:
    """The error, one line a problem. Never chained to pydantic's, whose text shows secrets."""
    return ConfigError("\n".join(map(on_one_line, problems)))


def _checks_on_the_rest(layers: Layers, failed: set[KeyPath], folder: Path) -> list[str]:
    """Check what stands although some values do not, so that one start shows every problem."""
    try:
        settings = Settings.from_layers(layers.without(failed), folder)
    except ValidationError:
        return []
    return find_problems(settings, layers.origins(), {path[0] for path in failed if path})


def _with_numbers(table: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Variables are text, and pydantic makes no number of text for a choice between numbers: do it here."""
    choices = {name for name, info in model.model_fields.items() if get_origin(info.annotation) is Literal}
    return {key: number_of(value) if key in choices else value for key, value in table.items()}


def _is_table(name: str) -> bool:
    info = Settings.model_fields.get(name)
    return info is not None and is_table(info)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in cast("list[Any]", value)]
    return str(value) if isinstance(value, Path) else value


def _collect_secrets(name: str, value: Any, found: list[str]) -> None:
    if isinstance(value, SecretStr):
        found.append(value.get_secret_value())
    elif isinstance(value, Mapping):
        for key, inner in cast("Mapping[str, Any]", value).items():
            _collect_secrets(key, inner, found)
    elif isinstance(value, str) and value and masked(name, value) != value:
        found.append(value)
