"""Where settings come from: the command line, the environment, ``.env`` and ``sipcore.toml``, each one layer.

Every value keeps its origin, so that an error and ``sipcore config`` can name it as the user wrote it.
"""

from __future__ import annotations

import difflib
import json
import logging
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, DotEnvSettingsSource, PydanticBaseSettingsSource

PREFIX = "sipcore_"
DELIMITER = "__"
OTHERS = {"SIPCORE_MODELS", "SIPCORE_PLUGINS"}
"""Variables that are read elsewhere: the folder of models, and what `--plugins` says."""
LISTS = ("assistant",)
"""Arrays of tables. In a layer they are mappings from ``"1"``, ``"2"``, …, so that layers merge entry by entry."""

KeyPath: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was given: the layer (``environment``, ``.env``, a file's name) and the name as it stands there."""

    layer: str
    name: str


class Layer(PydanticBaseSettingsSource):
    """One source of settings, read and put in the settings' own shape.

    Args:
        settings_cls: the settings that it is for.
        label: what users call it.
        values: nested mappings with lower-case keys.
        origins: the origin of every leaf in ``values``.
    """

    def __init__(
        self, settings_cls: type[BaseSettings], label: str, values: dict[str, Any], origins: dict[KeyPath, Origin]
    ) -> None:
        super().__init__(settings_cls)
        self.label = label
        self.values = values
        self.origins = origins

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the value of one field, its key, and that it needs no decoding."""
        return self.values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return all values, for pydantic-settings to merge."""
        return self.values


@dataclass(slots=True)
class Layers:
    """All layers, strongest first, with what was wrong in them and what merely looks wrong."""

    layers: list[Layer] = field(default_factory=list[Layer])
    problems: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])

    def origins(self) -> dict[KeyPath, Origin]:
        """The origin of every value that counts: the strongest layer's."""
        return {path: origin for layer in reversed(self.layers) for path, origin in layer.origins.items()}

    def without(self, paths: Collection[KeyPath]) -> Layers:
        """The same layers less the values at (and under) ``paths``."""
        return Layers(
            [
                Layer(layer.settings_cls, layer.label, _pruned(layer.values, paths), layer.origins)
                for layer in self.layers
            ]
        )


def read_layers(
    settings_cls: type[BaseSettings],
    *,
    config_file: Path | None,
    overrides: Mapping[str, Any],
    environ: Mapping[str, str],
    cwd: Path,
) -> Layers:
    """Read every layer. A file that cannot be read or parsed is a problem, never an exception."""
    names = _Names.of(settings_cls)
    result = Layers()
    dotenv = _read_dotenv(settings_cls, cwd / ".env", result)
    toml_file = config_file if config_file is not None else cwd / "sipcore.toml"
    toml = _toml_layer(settings_cls, toml_file, result, required=config_file is not None)
    result.layers = [
        _override_layer(settings_cls, overrides, names),
        _variable_layer(settings_cls, "environment", environ, names, result),
        _variable_layer(settings_cls, ".env", dotenv, names, result),
        toml,
    ]
    for layer in result.layers[:-1]:
        _number_entries(layer, toml, result)
    return result


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean "x"?``, or the empty string when nothing is near."""
    folded = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.7)
    return f'did you mean "{folded[near[0]]}"?' if near else ""


@dataclass(frozen=True, slots=True)
class _Names:
    """The settings' top-level names: flat ones (``sip_local_ip``) and tables (``llm``)."""

    flat: frozenset[str]
    tables: frozenset[str]

    @classmethod
    def of(cls, settings_cls: type[BaseSettings]) -> _Names:
        flat = {name for name, info in settings_cls.model_fields.items() if not is_table(info)}
        return cls(frozenset(flat), frozenset(settings_cls.model_fields.keys() - flat))


def is_table(info: FieldInfo) -> bool:
    """Whether a top-level field is a table (or an array of tables) rather than a flat setting."""
    kinds = (info.annotation, *get_args(info.annotation))
    return get_origin(info.annotation) is dict or any(isinstance(k, type) and issubclass(k, BaseModel) for k in kinds)


def _override_layer(settings_cls: type[BaseSettings], overrides: Mapping[str, Any], names: _Names) -> Layer:
    values: dict[str, Any] = {}
    origins: dict[KeyPath, Origin] = {}
    for key, value in overrides.items():
        if value is None:
            continue
        path = (key.lower(),) if key.lower() in names.flat else tuple(key.lower().split("."))
        for leaf, leaf_value in _leaves(path, value):
            _put(values, leaf, leaf_value)
            origins[leaf] = Origin("command line", key)
    return Layer(settings_cls, "command line", values, origins)


def _variable_layer(
    settings_cls: type[BaseSettings], label: str, variables: Mapping[str, str | None], names: _Names, result: Layers
) -> Layer:
    """Read variables: flat names as they are, any key behind ``SIPCORE_``; an empty one counts as not set."""
    values: dict[str, Any] = {}
    origins: dict[KeyPath, Origin] = {}
    plain_first = sorted(variables.items(), key=lambda item: (item[0].lower().startswith(PREFIX), item[0].count("__")))
    for name, text in plain_first:
        if not text or not text.strip():
            continue
        path = _variable_path(label, name, names, result)
        if path is None:
            continue
        for leaf, value in _leaves(path, text if path[0] in names.flat else _decoded(text)):
            _put(values, leaf, value)
            origins[leaf] = Origin(label, name)
    return Layer(settings_cls, label, values, origins)


def _variable_path(label: str, name: str, names: _Names, result: Layers) -> KeyPath | None:
    lower = name.lower()
    if lower in names.flat:
        return (lower,)
    if name in OTHERS:
        return None
    if not lower.startswith(PREFIX):
        near = did_you_mean(lower, [flat.upper() for flat in names.flat]) if label == ".env" else ""
        if near:
            result.notes.append(f"{name} ({label}) is not a setting: {near}")
        return None
    path = tuple(lower.removeprefix(PREFIX).split(DELIMITER))
    if (path[0] in names.flat and len(path) == 1) or path[0] in names.tables:
        return path
    near = did_you_mean(path[0], names.flat | names.tables)
    line = f"{name} ({label}) is not a setting: {near or 'remove it, or see docs/reference/settings.md for the names.'}"
    (result.problems if len(path) > 1 else result.notes).append(line)
    return None


def _decoded(text: str) -> Any:
    """Decode JSON lists and objects; all else stays text, which the models convert."""
    if text.lstrip().startswith(("[", "{")):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


class _UnparsedLines(logging.Handler):
    """Collects the numbers of the lines that python-dotenv could not parse: it only logs them."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[int] = []

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.args, tuple) and record.args and isinstance(record.args[0], int):
            self.lines.append(record.args[0])


def _read_dotenv(settings_cls: type[BaseSettings], path: Path, result: Layers) -> Mapping[str, str | None]:
    if not path.is_file():
        return {}
    logger, unparsed = logging.getLogger("dotenv.main"), _UnparsedLines()
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(unparsed)
    try:
        source = DotEnvSettingsSource(settings_cls, env_file=path, env_file_encoding="utf-8-sig", case_sensitive=True)
    except (OSError, UnicodeDecodeError) as error:
        result.problems.append(f"{path} cannot be read ({error}): UTF-8 text was expected. Correct or remove it.")
        return {}
    finally:
        logger.removeHandler(unparsed)
        logger.propagate = propagate
    result.problems.extend(
        f"{path} line {line} cannot be understood: NAME=value was expected. Correct or remove the line."
        for line in unparsed.lines
    )
    return source.env_vars


def _toml_layer(settings_cls: type[BaseSettings], path: Path, result: Layers, *, required: bool) -> Layer:
    values: dict[str, Any] = {}
    origins: dict[KeyPath, Origin] = {}
    for key, value in _read_toml(path, result, required=required).items():
        name = key.lower() if key.isupper() else key
        if name in LISTS and not isinstance(value, list):
            result.problems.append(f"[{key}] ({path.name}) is one table: a list was expected. Write it [[{key}]].")
            continue
        for leaf, leaf_value in _leaves((name,), value):
            _put(values, leaf, leaf_value)
            origins[leaf] = Origin(path.name, ".".join([key, *leaf[1:]]))
    return Layer(settings_cls, path.name, values, origins)


def _read_toml(path: Path, result: Layers, *, required: bool) -> dict[str, Any]:
    if not required and not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        result.problems.append(f"{path} does not exist: a settings file was expected. Correct --config, or make it.")
    except (OSError, UnicodeDecodeError) as error:
        result.problems.append(f"{path} cannot be read ({error}): a UTF-8 text file was expected.")
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        result.problems.append(f"{path} is not TOML: {error}. Correct that line.")
    return {}


def _leaves(path: KeyPath, value: Any) -> Iterable[tuple[KeyPath, Any]]:
    """Walk a nested value down to what is no mapping; entries of `LISTS` are numbered. Empty mappings are leaves."""
    if path[0] in LISTS and len(path) == 1 and isinstance(value, list) and value:
        value = {str(number): entry for number, entry in enumerate(cast("list[Any]", value), 1)}
    if not isinstance(value, Mapping) or not value:
        yield path, value
        return
    for key, inner in cast("Mapping[str, Any]", value).items():
        yield from _leaves((*path, str(key)), inner)


def _put(values: dict[str, Any], path: KeyPath, value: Any) -> None:
    *parents, last = path
    for key in parents:
        inner = values.get(key)
        if not isinstance(inner, dict):
            inner = values[key] = dict[str, Any]()
        values = cast("dict[str, Any]", inner)
    values[last] = value


def _pruned(values: dict[str, Any], paths: Collection[KeyPath], at: KeyPath = ()) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in values.items():
        if (*at, key) not in paths:
            is_table = isinstance(value, dict)
            kept[key] = _pruned(cast("dict[str, Any]", value), paths, (*at, key)) if is_table else value
    return kept


def _number_entries(layer: Layer, toml: Layer, result: Layers) -> None:
    """Turn ``assistant.<name>`` of a variable into ``assistant.<number>``, by the names in the TOML file."""
    for table in LISTS:
        entries = layer.values.get(table)
        if not isinstance(entries, dict):
            continue
        numbers = _entry_numbers(toml.values.get(table))
        renamed: dict[str, Any] = {}
        for name, entry in cast("dict[str, Any]", entries).items():
            number = numbers.get(_folded(name))
            if number is None:
                wrong = next(o for path, o in layer.origins.items() if path[:2] == (table, name))
                result.problems.append(_no_such_entry(wrong, table, name, numbers))
                continue
            renamed[number] = entry
            for path in [path for path in layer.origins if path[:2] == (table, name)]:
                layer.origins[(table, number, *path[2:])] = layer.origins.pop(path)
        layer.values[table] = renamed


def _entry_numbers(entries: Any) -> dict[str, str]:
    if not isinstance(entries, dict) or not entries:
        return {"1": "1", "default": "1"}
    tables = cast("dict[str, Any]", entries)
    numbers = {number: number for number in tables}
    for number, entry in tables.items():
        name = cast("dict[str, Any]", entry).get("name", "default") if isinstance(entry, dict) else ""
        numbers[_folded(str(name))] = number
    return numbers


def _folded(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")


def _no_such_entry(origin: Origin, table: str, name: str, numbers: Mapping[str, str]) -> str:
    known = [known for known in numbers if not known.isdigit()]
    hint = did_you_mean(name, known) or f"the names are: {', '.join(known) or 'none'}."
    return f'{origin.name} ({origin.layer}) names no [[{table}]]: there is no "{name}"; {hint}'
