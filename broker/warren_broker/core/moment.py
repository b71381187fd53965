"""A moment, as clients write it into a header."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

_MILLISECONDS: Final = 1000.0
_FIRST: Final = datetime(1, 1, 1, tzinfo=UTC).timestamp()
_LAST: Final = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC).timestamp()
_TEXT_MAX: Final = 64
"""Characters of text that may still be a moment; the longest way to write one is
half of that."""
_DIGITS: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)


def moment_of(value: object) -> float | None:
    """Return seconds since 1970; None for what names no moment of the years 1 to 9999.

    `value` is the value of any field: milliseconds since 1970 (a number, or text of
    nothing but digits), ISO 8601 text (UTC where it names no zone, the start of the
    day where it names no time; RFC 3339 is a part of that), or a timestamp.
    """
    seconds: float | None = None
    if isinstance(value, str):
        seconds = _of_text(value)
    elif isinstance(value, datetime):
        seconds = _of_datetime(value)
    # A bool is no number, and what is derived from int is a time after the year 9999.
    elif type(value) is int or isinstance(value, float | Decimal):
        seconds = _of_milliseconds(value)
    return seconds if seconds is not None and _FIRST <= seconds <= _LAST else None


def _of_text(text: str) -> float | None:
    if len(text) > _TEXT_MAX:
        return None
    if _DIGITS.fullmatch(text):
        return _of_milliseconds(int(text))
    try:
        return _of_datetime(datetime.fromisoformat(text.upper()))
    except ValueError:
        return None


def _of_datetime(value: datetime) -> float:
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


def _of_milliseconds(value: float | Decimal) -> float | None:
    """Return seconds; None for a number beyond all floats, or one that signals."""
    try:
        return float(value) / _MILLISECONDS
    except (OverflowError, ValueError):
        return None
