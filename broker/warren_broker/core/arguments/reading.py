"""Reading one argument: a validator returns the value or says what is wrong.

The texts are RabbitMQ's (``rabbit_amqqueue.erl``, ``check_*_arg``): Erlang terms,
and some sentences in quotes. People search the web for them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeVar, final

from warren.errors import PreconditionFailed
from warren_broker.core.arguments.fields import type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

NAME_MAX_BYTES: Final = 255
"""What a short string holds: AMQP 0-9-1 section 4.2.5.3."""
DURATION_MAX_MS: Final = 315_360_000_000
"""Ten years, RabbitMQ's limit for a time to live."""
PRIORITY_MAX: Final = 255
SEGMENT_MAX_BYTES: Final = 3_000_000_000
"""RabbitMQ's limit for a segment of a stream."""

_AGE: Final = re.compile(r"([0-9]{1,9})([YMDhms])", re.ASCII)
_AGE_UNITS_MS: Final = {
    "Y": 365 * 86_400_000,
    "M": 30 * 86_400_000,
    "D": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
}


class InvalidValue(ValueError):
    """An argument cannot have this value; the text is the reason."""


@final
class ArgumentReader:
    """Reads the arguments of one resource, which ``subject`` names in errors."""

    def __init__(self, arguments: Mapping[str, object], subject: str) -> None:
        self.arguments = arguments
        self.subject = subject

    def read(self, key: str, validate: Callable[[object], T], default: T) -> T:
        """Return the argument ``key``, or ``default`` if it was not given.

        Raises PreconditionFailed with the validator's reason.
        """
        if key not in self.arguments:
            return default
        try:
            return validate(self.arguments[key])
        except InvalidValue as error:
            raise self.refusal(key, str(error)) from None

    def find(self, key: str, validate: Callable[[object], T]) -> T | None:
        """Return the argument ``key``, or None if it was not given.

        Raises PreconditionFailed with the validator's reason.
        """
        return self.read(key, validate, None) if key in self.arguments else None

    def find_name(self, key: str) -> str | None:
        """Return the exchange name under ``key``, or None if it was not given.

        Raises PreconditionFailed for another type; RabbitMQ has a text of its
        own for these (``rabbit_misc:r_arg``).
        """
        value = self.arguments.get(key)
        if value is None and key not in self.arguments:
            return None
        if isinstance(value, str):
            if len(value.encode()) > NAME_MAX_BYTES:
                raise self.refusal(key, f"{{too_long,{len(value.encode())}}}")
            return value
        raise PreconditionFailed(
            f"invalid type '{type_name(value)}' for arg '{key}' in {self.subject}"
        )

    def refuse_all(self, keys: frozenset[str], queue_type: str) -> None:
        """Raise PreconditionFailed if one of ``keys`` was given."""
        for key in self.arguments:
            if key in keys:
                raise PreconditionFailed(
                    f"invalid arg '{key}' for {self.subject}"
                    f" of queue type rabbit_{queue_type}_queue"
                )

    def refusal(self, key: str, reason: str) -> PreconditionFailed:
        """Return the error for an argument that cannot be as it is."""
        return PreconditionFailed(f"invalid arg '{key}' for {self.subject}: {reason}")


def integer(value: object) -> int:
    """Accept any integer; a bool is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise InvalidValue(f'"expected integer, got {type_name(value)}"')


def count(value: object) -> int:
    """Accept an integer from 0 up."""
    number = integer(value)
    if number < 0:
        raise InvalidValue(f"{{value_negative,{number}}}")
    return number


def duration_ms(value: object) -> int:
    """Accept 0 milliseconds to ten years."""
    number = count(value)
    if number > DURATION_MAX_MS:
        raise InvalidValue(f"{{value_too_large,{number}}}")
    return number


def lifetime_ms(value: object) -> int:
    """Accept 1 millisecond to ten years."""
    if integer(value) == 0:
        raise InvalidValue("{value_zero,0}")
    return duration_ms(value)


def size(value: object) -> int:
    """Accept an integer from 1 up."""
    number = count(value)
    if number == 0:
        raise InvalidValue("{value_zero,0}")
    return number


def priority(value: object) -> int:
    """Accept a number of priorities, 0 to 255."""
    number = count(value)
    if number > PRIORITY_MAX:
        raise InvalidValue(f"{{max_value_exceeded,{number}}}")
    return number


def delivery_limit(value: object) -> int | None:
    """Accept any integer; a negative one means no limit, as in quorum queues."""
    number = integer(value)
    return number if number >= 0 else None


def boolean(value: object) -> bool:
    """Accept a bool and nothing that resembles one."""
    if isinstance(value, bool):
        return value
    raise InvalidValue(f"{{unacceptable_type,{type_name(value)}}}")


def text(value: object) -> str:
    """Accept text that a short string can hold: it will have to travel as one."""
    if isinstance(value, str):
        if len(value.encode()) > NAME_MAX_BYTES:
            raise InvalidValue(f"{{too_long,{len(value.encode())}}}")
        return value
    raise InvalidValue(f"{{unacceptable_type,{type_name(value)}}}")


def given_name(value: object) -> str:
    """Accept text that is not empty."""
    word = text(value)
    if not word:
        raise InvalidValue("{empty_name}")
    return word


def age_ms(value: object) -> int:
    """Accept a number and a unit, such as ``7D``: years, months of 30 days, days..."""
    found = _AGE.fullmatch(text(value))
    if found is None:
        raise InvalidValue("invalid_max_age")
    return int(found[1]) * _AGE_UNITS_MS[found[2]]


def segment_bytes(value: object) -> int:
    """Accept the size of a segment: up to 3 GB."""
    number = size(value)
    if number > SEGMENT_MAX_BYTES:
        raise InvalidValue(f"{{max_value_exceeded,{number}}}")
    return number
