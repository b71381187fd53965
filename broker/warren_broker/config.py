"""Config: from file, environment and command line to one frozen value.

The file is TOML, a table a section; an option of a section can be given in the
environment as ``WARREN_<SECTION>_<OPTION>`` instead (lists with commas), except for
lists of tables. Command line beats environment beats file. What is not known or cannot
be is an error that names the place: a typing error must not run with a default.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

import attrs
from attrs import field

from warren_broker.core.meaning import TEXT
from warren_broker.log import LogSettings
from warren_broker.server.settings import Address, ServerSettings, SettingsError

ENVIRONMENT_PREFIX: Final = "WARREN_"

EX_CONFIG: Final = 78
"""The exit code for a configuration that cannot be used (sysexits.h)."""

Section = TypeVar("Section", bound=attrs.AttrsInstance)


class ConfigError(SettingsError):
    """An option is unknown or has no meaning. The text starts with where it is."""


@attrs.frozen(kw_only=True)
class Config(ServerSettings):
    """Everything `warren serve` can be told."""

    log: LogSettings = field(factory=LogSettings)


def load_config(
    path: str | None,
    environment: Mapping[str, str] = os.environ,
    overrides: Mapping[str, Mapping[str, object]] | None = None,
) -> Config:
    """Read the file at `path`, if any, and lay environment and `overrides` over it.

    `overrides` are options by section, as in the file. Raises ConfigError.
    """
    document = _read(path) if path else {}
    for layer in (_from_environment(environment), overrides or {}):
        for section, options in layer.items():
            _lay_over(document, section, options)
    return build(Config, document, "")


def meaning_of(section: str, name: str) -> str:
    """Return what an option is for, in Markdown."""
    text: str = attrs.fields_dict(get_type_hints(Config)[section])[name].metadata[TEXT]
    return text


def build(kind: type[Section], options: Mapping[str, Any], where: str) -> Section:
    """Make the attrs class `kind` of TOML values. Raises ConfigError."""
    hints = get_type_hints(kind)
    known = {item.name for item in attrs.fields(kind)}
    for name in options:
        if name not in known:
            raise ConfigError(f"{_join(where, name)}: unknown option")
    values = {
        name: _convert(hints[name], value, _join(where, name))
        for name, value in options.items()
    }
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where or 'configuration'}: {_reason(error)}") from error


def _convert(hint: Any, value: object, where: str) -> object:  # noqa: ANN401 - a type
    """Make what `hint` says of a TOML value, or of the text of a variable."""
    if isinstance(hint, UnionType):
        (hint,) = (choice for choice in get_args(hint) if choice is not NoneType)
    if get_origin(hint) is tuple:
        return _convert_list(get_args(hint)[0], value, where)
    if hint is not Address and (attrs.has(hint) or get_origin(hint) is Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: must be a table")
        return build(hint, value, where) if attrs.has(hint) else value
    if isinstance(value, _Text):
        value = _from_text(hint, value, where)
    return _convert_scalar(hint, value, where)


def _convert_list(item: Any, value: object, where: str) -> object:  # noqa: ANN401
    if isinstance(value, _Text):
        words = (word.strip() for word in value.split(","))
        value = [_Text(word) for word in words if word]
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{where}: must be a list")
    return tuple(
        _convert(item, element, f"{where}[{index}]")
        for index, element in enumerate(value)
    )


_SCALARS: Final[Mapping[type, str]] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def _convert_scalar(hint: type, value: object, where: str) -> object:
    if hint is Address:
        return _address(value, where)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise ConfigError(f"{where}: must be {_SCALARS[hint]}, not {value!r}")
    return value


def _address(value: object, where: str) -> Address:
    if isinstance(value, Address):
        return value
    try:
        return Address.parse(str(value))
    except ValueError as error:
        raise ConfigError(f"{where}: {_reason(error)}") from error


class _Text(str):
    """A value from the environment: it means what its option's type says."""

    __slots__ = ()


_BOOLEANS: Final[Mapping[str, bool]] = {
    "1": True,
    "true": True,
    "yes": True,
    "0": False,
    "false": False,
    "no": False,
}

_FROM_TEXT: Final[Mapping[type, Callable[[str], object]]] = {
    int: int,
    float: float,
    bool: lambda text: _BOOLEANS[text.lower()],
}


def _from_text(hint: type, text: str, where: str) -> object:
    read = _FROM_TEXT.get(hint, str)
    try:
        return read(text)
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{where}: {text!r} is not {_SCALARS[hint]}") from error


def variable(section: str, name: str) -> str:
    """Return the name of an option in the environment."""
    return f"{ENVIRONMENT_PREFIX}{section}_{name}".upper()


def _from_environment(environment: Mapping[str, str]) -> dict[str, dict[str, _Text]]:
    """Return the options that are in the environment, by section."""
    found: dict[str, dict[str, _Text]] = {}
    for section, kind in get_type_hints(Config).items():
        for name in _option_names(kind):
            text = environment.get(variable(section, name))
            if text is not None:
                found.setdefault(section, {})[name] = _Text(text)
    return found


def _option_names(kind: type) -> list[str]:
    """Return the options of a section; a list of tables has none."""
    return [item.name for item in attrs.fields(kind)] if attrs.has(kind) else []


def _read(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # no TOML, or not UTF-8
        raise ConfigError(f"{path}: {error}") from error


def _lay_over(
    document: dict[str, Any], section: str, options: Mapping[str, object]
) -> None:
    below = document.get(section, {})
    if isinstance(below, Mapping):
        document[section] = {**below, **options}


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _reason(error: Exception) -> object:
    """Return what an attrs validator has to say; the rest of its arguments is noise."""
    return error.args[0] if error.args else error
