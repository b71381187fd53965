"""The names of field-table types, as RabbitMQ's error texts spell them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

# Order counts: bool is an int, and text is a sequence.
_NAMES: Final[tuple[tuple[type, str], ...]] = (
    (bool, "bool"),
    (str, "longstr"),
    (bytes, "binary"),
    (float, "double"),
    (Decimal, "decimal"),
    (datetime, "timestamp"),
    (Mapping, "table"),
    (Sequence, "array"),
)
_WORDS: Final[dict[object, str]] = {True: "true", False: "false"}


def type_name(value: object) -> str:
    """Return the type of a field's value, ``signedint`` or ``longstr`` say.

    The width an integer had on the wire is forgotten by then: the smaller of
    the two that clients use is named.
    """
    for kind, name in _NAMES:
        if isinstance(value, kind):
            return name
    if isinstance(value, int):
        return "signedint" if -(2**31) <= value < 2**31 else "long"
    return "void"


def display(value: object) -> str:
    """Return a field's value as RabbitMQ prints it within quotes."""
    if isinstance(value, bool):
        return _WORDS[value]
    if value is None:
        return "undefined"
    if isinstance(value, datetime):
        return str(int(value.timestamp()))
    return str(value)


def term(value: object) -> str:
    """Return a field's value as Erlang's ``~tp`` prints it: text is a binary."""
    if not isinstance(value, str):
        return display(value)
    if not value.isprintable():
        return f"<<{','.join(str(byte) for byte in value.encode())}>>"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    quoted = f'"{escaped}"' if value else ""
    return f"<<{quoted}>>" if value.isascii() else f"<<{quoted}/utf8>>"


def resource(kind: str, name: str, vhost: str) -> str:
    """Return how errors speak of something: ``queue 'q' in vhost '/'``."""
    return f"{kind} '{name}' in vhost '{vhost}'"
