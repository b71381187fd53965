"""Reading directives: the headers by which a message asks something of the broker.

`x-delay` is that of RabbitMQ's plugin ``rabbitmq_delayed_message_exchange``: it takes
numbers and text that is one; the others are Warren's own. A header that is void says
nothing. The texts of errors are made like those for the property ``expiration``.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from warren.errors import PreconditionFailed
from warren_broker.core.arguments.fields import display, type_name
from warren_broker.core.arguments.reading import DURATION_MAX_MS, NAME_MAX_BYTES
from warren_broker.core.message import Directives
from warren_broker.core.moment import moment_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DELAY: Final = "x-delay"
DELIVER_AT: Final = "x-deliver-at"
SCHEDULE_ID: Final = "x-schedule-id"
SCHEDULE_CANCEL: Final = "x-schedule-cancel"
RETRY_DELAY: Final = "x-retry-delay"
PARTITION: Final = "x-partition"

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_DISPLAY_MAX: Final = 100
"""Characters of a wrong value that an error repeats."""


def read_directives(headers: Mapping[str, object]) -> Directives | None:
    """Return what `headers` ask for; None for nearly all, which ask for nothing.

    Raises:
        PreconditionFailed: one of them has a value that cannot be.
    """
    if _READERS.keys().isdisjoint(headers):
        return None
    found = {
        field: read(key, headers[key])
        for key, (field, read) in _READERS.items()
        if headers.get(key) is not None
    }
    if all(value is None for value in found.values()):
        return None
    return Directives(**found)  # type: ignore[arg-type]


def _delay(key: str, value: object) -> int | None:
    """Return a delay; one that is over, or was (the value negated), is none."""
    delay_ms = _integer(key, value)
    return delay_ms if delay_ms > 0 else None


def _moment(key: str, value: object) -> float:
    seconds = moment_of(value)
    if seconds is None:
        raise _invalid(key, value, "no_moment")
    return seconds


def _name(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise _invalid(key, value, f"{{unacceptable_type,{type_name(value)}}}")
    size = len(value.encode())
    if size > NAME_MAX_BYTES:
        raise _invalid(key, value, f"{{too_long,{size}}}")
    return value


def _partition(_: str, value: object) -> int | None:
    """Return the number of a partition; what is none is somebody's own header."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value


def _retry_delay(key: str, value: object) -> int:
    delay_ms = _integer(key, value)
    if delay_ms < 0:
        raise _invalid(key, value, f"{{value_negative,{delay_ms}}}")
    if delay_ms > DURATION_MAX_MS:
        raise _invalid(key, value, f"{{value_too_large,{delay_ms}}}")
    return delay_ms


_READERS: Final[dict[str, tuple[str, Callable[[str, object], object]]]] = {
    DELAY: ("delay_ms", _delay),
    DELIVER_AT: ("deliver_at", _moment),
    SCHEDULE_ID: ("schedule_id", _name),
    SCHEDULE_CANCEL: ("cancel_id", _name),
    RETRY_DELAY: ("retry_delay_ms", _retry_delay),
    PARTITION: ("partition", _partition),
}
"""By header: the attribute of `Directives`, and what reads it."""


def _integer(key: str, value: object) -> int:
    """Return a number, cut off to an integer; text must be one."""
    if isinstance(value, str):
        if _INTEGER.fullmatch(value):
            return int(value)
        raise _invalid(key, value, "no_integer")
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise _invalid(key, value, f"{{unacceptable_type,{type_name(value)}}}")
    try:
        return int(value)
    except (OverflowError, ValueError):  # infinite, or no number at all
        raise _invalid(key, value, "no_integer") from None


def _invalid(key: str, value: object, reason: str) -> PreconditionFailed:
    text = display(value)[:_DISPLAY_MAX]
    return PreconditionFailed(f"invalid {key} '{text}': {reason}")
