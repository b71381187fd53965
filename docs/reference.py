"""Write the pages that are made of the code: `python docs/reference.py`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, TypeAlias, get_args, get_origin, get_type_hints

import attrs

from warren_broker.cli.serve import OPTIONS
from warren_broker.cli.serve import serve as command
from warren_broker.config import Config, variable
from warren_broker.core.limits import LARGEST
from warren_broker.core.meaning import TEXT, unit_of
from warren_broker.server.settings import Address

if TYPE_CHECKING:
    from collections.abc import Iterator

Hint: TypeAlias = Any
"""What a type is said to be, or what checks its values."""

PAGE = Path(__file__).with_name("configuration.md")

INTRODUCTION = """\
# Configuration

`warren serve` needs none. What it can be told is in a file (`--config FILE.toml`, or
its path in `WARREN_CONFIG`), in environment variables, and on the command line; the
command line beats the environment, and that beats the file. A list in the environment
has commas between its elements; lists of tables can be in the file only.

```toml
[listeners]
tcp = ["0.0.0.0:5672"]

[storage]
data_dir = "/var/lib/warren"

[[auth.users]]
name = "shop"
password = "secret"
permissions = [{ vhost = "/" }]
```

What is not known, or cannot be, ends the start with exit code 78 and a line that names
the place. At SIGHUP users, permissions, virtual hosts and policies are read again, see
[Policies](policies.md).

This page is made of the code, by `make docs`."""

TYPES: dict[object, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "`true` or `false`",
    Address: "`HOST:PORT`",
    Mapping: "table",
}

LARGER = {
    "bytes": ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")),
    "ms": ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")),
}
"""What numbers are said in for people, besides their unit."""

HEAD = (
    "| key, variable, option | type, default | meaning |",
    "|---|---|---|",
)


def configuration() -> str:
    """Return the page of all that a configuration can say."""
    lines = [INTRODUCTION]
    tables: dict[type, list[str]] = {}
    for section, hint in get_type_hints(Config).items():
        if attrs.has(hint):
            lines += [f"\n## `[{section}]`\n", *table(hint, section)]
            for name, kind in inner_tables(hint, f"{section}."):
                lines += [f"\n### `[[{name}]]`\n", *table(kind)]
        else:
            tables.setdefault(element(hint), []).append(f"`[[{section}]]`")
    for kind, names in tables.items():
        lines += [f"\n## {' and '.join(names)}\n", *table(kind)]
    return "\n".join(lines) + "\n"


def inner_tables(kind: type, where: str) -> Iterator[tuple[str, type]]:
    """Yield the lists of tables in a section, and in those again."""
    for name, hint in hints(kind).items():
        inner = element(hint)
        if attrs.has(inner) and inner is not Address:
            yield where + name, inner
            yield from inner_tables(inner, f"{where}{name}.")


def table(kind: type, section: str = "") -> Iterator[str]:
    """Yield the lines that tell of an attrs class."""
    yield inspect.getdoc(kind).partition("\n")[0] + "\n"
    yield from HEAD
    for item in attrs.fields(kind):
        hint = hints(kind)[item.name]
        names = [f"`{item.name}`", *elsewhere(section, item.name, hint)]
        values = type_of(item, hint), default(item)
        cells = "<br>".join(names), "<br>".join(values), item.metadata[TEXT]
        yield f"| {' | '.join(cells)} |"


def hints(kind: type) -> dict[str, Hint]:
    """Return the types of a class's fields; what may be left out is as it is."""
    return {name: plain(hint) for name, hint in get_type_hints(kind).items()}


def plain(hint: Hint) -> Hint:
    """Return a type without its None."""
    if isinstance(hint, UnionType):
        (hint,) = (choice for choice in get_args(hint) if choice is not NoneType)
    return hint


def element(hint: Hint) -> Hint:
    """Return what a list is of, or what is no list."""
    return get_args(hint)[0] if get_origin(hint) is tuple else hint


def type_of(item: attrs.Attribute[Any], hint: Hint) -> str:
    """Return what a value must be: its type and unit, and which values there are."""
    inner = element(hint)
    word = TYPES.get(get_origin(inner) or inner, "table")
    if inner is not hint:
        word = f"list of {word}{'s' if word == 'table' else ''}"
    unit = unit_of(item.name, item.metadata)
    values = allowed(item.validator)
    return ", ".join(filter(None, (unit or word, values)))


def allowed(validator: Hint) -> str:
    """Return which values a validator takes, "" for any of the type."""
    inner = getattr(validator, "validator", None)
    several = getattr(validator, "_validators", (inner,) if inner else ())
    found = [allowed(each) for each in several]
    options = getattr(validator, "options", None)
    if isinstance(options, range):
        first, last = options.start, options.stop - 1
        found.append(f"from {first}" if last == LARGEST else f"{first} to {last:_}")
    elif options is not None:
        found.append(" or ".join(f"`{each}`" for each in options))
    elif hasattr(validator, "compare_op"):
        found.append(f"{validator.compare_op} {validator.bound:_}")
    return ", ".join(filter(None, found))


def default(item: attrs.Attribute[Any]) -> str:
    """Return how the default is written in the file."""
    if item.default is attrs.NOTHING:
        return "must be given"
    return value(item.default, unit_of(item.name, item.metadata))


def value(given: object, unit: str) -> str:
    """Return a value as it is written in the file, and for people if it is large."""
    match given:
        case None:
            return "not set"
        case bool():
            return f"`{str(given).lower()}`"
        case int():
            return f"`{given:_}`{for_people(given, unit)}"
        case float():
            return f"`{given}`"
        case tuple():
            elements = ", ".join(f'"{each}"' for each in given)
            return f"`[{elements}]`"
    return f'`"{given}"`'


def for_people(number: int, unit: str) -> str:
    """Return a number in the largest unit in which it is whole."""
    for size, word in LARGER.get(unit, ()):
        if number >= size and number % size == 0:
            return f" ({number // size} {word})"
    return ""


def elsewhere(section: str, name: str, hint: Hint) -> list[str]:
    """Return the variable and the options of the command line for a key."""
    inner = element(hint)
    if not section or (attrs.has(inner) and inner is not Address):
        return []
    flags = [
        f"`{parameter.opts[0]}`"
        for parameter in command.params
        if OPTIONS.get(parameter.name or "") == (section, name)
    ]
    return [f"`{variable(section, name)}`", *flags]


if __name__ == "__main__":
    PAGE.write_text(configuration())
