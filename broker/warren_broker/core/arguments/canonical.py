"""Equality of field-table values, as AMQP means it and Python does not.

Python says ``1 == True == 1.0``; a field table holds three different values
there. Here values are equal when they are of one type class and of one value:
integers whatever their width on the wire, floats apart from integers, text
apart from bytes. Nested values compare whole; the order of a table's keys does
not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

Canonical = tuple[object, ...]
"""A flat, hashable form: equal exactly when the values are equal."""


def canonical(value: object) -> Canonical:
    """Return the canonical form of a table, an array or a single value.

    The form is flat (each container is its kind and length, then its contents)
    and made without recursion: nesting is the peer's choice.
    """
    tokens: list[object] = []
    waiting: list[object] = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, Mapping):
            tokens += ("table", len(current))
            for key in sorted(current, reverse=True):
                waiting += (current[key], key)
        elif isinstance(current, Sequence) and not isinstance(current, (str, bytes)):
            tokens += ("array", len(current))
            waiting.extend(reversed(current))
        else:
            tokens += _leaf(current)
    return tuple(tokens)


def _leaf(value: object) -> tuple[str, object]:
    """Return the type class and a hashable value of something not nested."""
    if isinstance(value, (float, Decimal)):
        return type(value).__name__, str(value)
    return type(value).__name__, value
