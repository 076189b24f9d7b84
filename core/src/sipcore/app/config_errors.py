"""What is wrong with a setting, in one line: its name as the user wrote it, its value, what was expected."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from sipcore.app.config_sources import DELIMITER, LISTS, PREFIX, KeyPath, Origin, did_you_mean, is_table

MASK = "****"
_SECRET_WORDS = {"key", "token", "secret", "password", "passphrase", "credentials"}
_URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):([^/\s@]+)@")
_LONGEST_VALUE = 60


@dataclass(frozen=True, slots=True)
class Words:
    """Marks a field: what it takes, in words that fit before "was expected"."""

    text: str


def is_secret(name: str) -> bool:
    """Whether a setting of this name is a secret: one of its words is ``key``, ``token``, ``password``, say."""
    return not _SECRET_WORDS.isdisjoint(re.split(r"[^a-z0-9]+", name.lower()))


def masked(name: str, value: Any) -> Any:
    """Return ``value`` fit to be shown: secrets and passwords in URLs are masked, at any depth."""
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, Mapping):
        return {key: masked(str(key), inner) for key, inner in cast("Mapping[Any, Any]", value).items()}
    if is_secret(name) and isinstance(value, str | int | float | list):
        return MASK
    if isinstance(value, list | tuple):
        return [masked(name, inner) for inner in cast("list[Any]", value)]
    return _URL_PASSWORD.sub(rf"\1:{MASK}@", value) if isinstance(value, str) else value


def on_one_line(text: str) -> str:
    """Return ``text`` with everything escaped that could break its line: names come from files, too."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def given(path: KeyPath, value: Any, origins: Mapping[KeyPath, Origin]) -> str:
    """Return ``NAME is VALUE (where it was set)``."""
    return f"{written(path, origins)} is {_shown(masked(path[-1] if path else '', value))}{_layer(path, origins)}"


def written(path: KeyPath, origins: Mapping[KeyPath, Origin]) -> str:
    """Return a setting's name as the user wrote it, or would in ``sipcore.toml``."""
    origin = _origin(path, origins)
    return origin.name if origin is not None else _name(path)


def _name(path: KeyPath) -> str:
    """As it stands in ``sipcore.toml``: flat names, which all have an underscore, are written in capitals."""
    return path[0].upper() if len(path) == 1 and "_" in path[0] else ".".join(path)


def lines(
    error: ValidationError, model: type[BaseModel], origins: Mapping[KeyPath, Origin], at: KeyPath = ()
) -> list[str]:
    """Turn a validation error into one line a problem.

    Args:
        error: what pydantic found.
        model: the model that was validated.
        origins: where each value was set.
        at: the path of the model's table, such as ``("llm", "openai")``.
    """
    return [_line(details, model, origins, at) for details in error.errors(include_url=False)]


def failed_paths(error: ValidationError) -> set[KeyPath]:
    """The paths of all values that did not pass."""
    return {_counted(_location(details)) for details in error.errors(include_url=False)}


def _line(details: ErrorDetails, model: type[BaseModel], origins: Mapping[KeyPath, Origin], at: KeyPath) -> str:
    location = _location(details)
    path = (*at, *location) if at else _counted(location)
    if details["type"] == "extra_forbidden":
        return _unknown(path, _model_at(model, location[:-1]), origins)
    info = _field_at(model, location[:-1] if "[key]" in details["loc"] else location)
    if details["type"] == "missing":
        return _missing(path, info)
    message = details["msg"].removeprefix("Value error, ")
    wanted = own_words(info) if details["type"] == "value_error" else expected(info)
    if not location:
        table = f"[{'.'.join(at)}]: " if at else ""
        return f"{table}{message.rstrip('.')}."
    value = MASK if _is_secret_field(info) else details["input"]
    said = f"{wanted} was expected" if wanted else message.rstrip(".")
    return f"{given(path, value, origins)}: {said}. {_way_out(info)}"


def _location(details: ErrorDetails) -> KeyPath:
    """Where pydantic found it; a wrong key of a mapping counts as its entry."""
    return tuple(str(key) for key in details["loc"] if key != "[key]")


def _counted(location: KeyPath) -> KeyPath:
    """Return the path of a location: pydantic counts the entries of a list from 0, users from 1."""
    if len(location) > 1 and location[0] in LISTS:
        return (location[0], str(int(location[1]) + 1), *location[2:])
    return location


def _unknown(path: KeyPath, model: type[BaseModel] | None, origins: Mapping[KeyPath, Origin]) -> str:
    known = [name.upper() if len(path) == 1 and not is_table(f) else name for name, f in _fields(model).items()]
    hint = did_you_mean(path[-1], known)
    if not hint:
        hint = f"its settings are: {', '.join(known)}." if len(path) > 1 else "remove it, or see the settings page."
    return f"{written(path, origins)}{_layer(path, origins)} is not a setting: {hint}"


def _missing(path: KeyPath, info: FieldInfo | None) -> str:
    variable = f"{PREFIX}{DELIMITER.join(path)}".upper()
    wanted = expected(info)
    what = f": {wanted} was expected" if wanted else ""
    return f"{'.'.join(path)} is not set{what}. Set it in sipcore.toml, or {variable} in the environment or .env."


def _way_out(info: FieldInfo | None) -> str:
    default: Any = info.default if info is not None else None
    if default in (None, PydanticUndefined, "") or isinstance(default, BaseModel | dict | tuple | list):
        return "Correct it."
    return f"Correct it, or leave it out for {_shown(default)}."


def expected(info: FieldInfo | None) -> str | None:
    """Say in words what a field takes, or None when pydantic's own message says it better."""
    if info is None:
        return None
    return own_words(info) or _type_in_words(info.annotation, _bounds(info))


def own_words(info: FieldInfo | None) -> str | None:
    """The `Words` that a field is marked with."""
    return next((mark.text for mark in info.metadata if isinstance(mark, Words)), None) if info is not None else None


def _type_in_words(annotation: Any, bounds: str) -> str | None:
    annotation = _not_none(annotation)
    origin = get_origin(annotation) or annotation
    if origin is Literal:
        return "one of " + ", ".join(_shown(value) for value in get_args(annotation))
    if not isinstance(origin, type):
        return None
    if issubclass(origin, Enum):
        return "one of " + ", ".join(_shown(member.value) for member in origin)
    words: dict[type, str] = {
        bool: "true or false", int: f"a whole number{bounds}", float: f"a number{bounds}", str: "text",
        SecretStr: "text", Path: "a path", dict: "a table", BaseModel: "a table", list: "a list", tuple: "a list",
    }  # fmt: skip
    return next((text for kind, text in words.items() if issubclass(origin, kind)), None)


def _bounds(info: FieldInfo) -> str:
    least = next((f" from {m.ge}" for m in info.metadata if getattr(m, "ge", None) is not None), "")
    above = next((f" above {m.gt}" for m in info.metadata if getattr(m, "gt", None) is not None), "")
    most = next((m.le for m in info.metadata if getattr(m, "le", None) is not None), None)
    if most is None:
        return f"{least} up" if least else above
    return f"{least} to {most}" if least else f"{above} and up to {most}"


def _not_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
        return kinds[0] if len(kinds) == 1 else annotation
    return annotation


def _field_at(model: type[BaseModel], location: KeyPath) -> FieldInfo | None:
    parent = _model_at(model, location[:-1]) if location else None
    if parent is not None:
        return _fields(parent).get(location[-1])
    return FieldInfo(annotation=_annotation_at(model, location)) if location else None


def _model_at(model: type[BaseModel], location: KeyPath) -> type[BaseModel] | None:
    found = _annotation_at(model, location)
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def _annotation_at(model: type[BaseModel], location: KeyPath) -> Any:
    annotation: Any = model
    for key in location:
        arguments = get_args(annotation)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            info = _fields(annotation).get(key)
            annotation = _not_none(info.annotation) if info is not None else None
        elif get_origin(annotation) in (list, tuple) and arguments:
            annotation = _not_none(arguments[0])
        else:
            annotation = _not_none(arguments[1]) if get_origin(annotation) is dict else None
    return annotation


def _fields(model: type[BaseModel] | None) -> dict[str, FieldInfo]:
    return model.model_fields if model is not None else {}


def _is_secret_field(info: FieldInfo | None) -> bool:
    return info is not None and _not_none(info.annotation) is SecretStr


def _origin(path: KeyPath, origins: Mapping[KeyPath, Origin]) -> Origin | None:
    """The origin of a value, or of the first leaf of a table."""
    return origins.get(path) or next(
        (Origin(o.layer, _name(path)) for p, o in origins.items() if p[: len(path)] == path), None
    )


def _layer(path: KeyPath, origins: Mapping[KeyPath, Origin]) -> str:
    origin = _origin(path, origins)
    return f" ({origin.layer})" if origin is not None else ""


def _shown(value: Any) -> str:
    value = value.value if isinstance(value, Enum) else value
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
