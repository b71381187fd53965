"""ReadingPoint: where a reader of a stream begins (``x-stream-offset``)."""

from __future__ import annotations

from datetime import datetime
from enum import Enum, auto
from typing import Final

import attrs

from warren_broker.core.arguments.fields import type_name
from warren_broker.core.arguments.reading import InvalidValue, age_ms

_MILLISECONDS: Final = 1000


class Point(Enum):
    """The kinds of points."""

    FIRST = auto()
    LAST = auto()
    NEXT = auto()
    OFFSET = auto()
    FROM_END = auto()
    """So many before the end."""
    TIME = auto()
    """Milliseconds since 1970."""
    AGO = auto()
    """Milliseconds before now."""
    SNAPSHOT = auto()
    """The newest record of each key, and then all that follow."""


@attrs.frozen
class ReadingPoint:
    """A point, and the number that belongs to it; 0 for those that are words."""

    point: Point
    number: int = 0


_WORDS: Final = {
    "first": ReadingPoint(Point.FIRST),
    "last": ReadingPoint(Point.LAST),
    "next": ReadingPoint(Point.NEXT),
    "snapshot": ReadingPoint(Point.SNAPSHOT),
}


def reading_point(value: object) -> ReadingPoint:
    """Accept a word, an offset, a negative number, a timestamp, or an age (``1h``)."""
    if isinstance(value, datetime):
        return ReadingPoint(Point.TIME, int(value.timestamp() * _MILLISECONDS))
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidValue(f"{{unacceptable_type,{type_name(value)}}}")
    if type(value) is not int:  # a timestamp after the year 9999
        return ReadingPoint(Point.TIME, value * _MILLISECONDS)
    if value < 0:
        return ReadingPoint(Point.FROM_END, -value)
    return ReadingPoint(Point.OFFSET, value)


def starting_point(value: object) -> ReadingPoint:
    """Accept what `reading_point` does, but for a snapshot: that is no place."""
    point = reading_point(value)
    if point.point is Point.SNAPSHOT:
        raise InvalidValue(f"{{invalid_offset_arg,{value}}}")
    return point


def _of_text(word: str) -> ReadingPoint:
    if word in _WORDS:
        return _WORDS[word]
    try:
        return ReadingPoint(Point.AGO, age_ms(word))
    except InvalidValue:
        raise InvalidValue(f"{{invalid_offset_arg,{word[:64]}}}") from None
