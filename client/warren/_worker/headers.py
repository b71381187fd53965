"""Headers that a message gets on its way: back into its queue, or to the dead letters.

========================  ==========================================================
``x-attempts``            how often a handler has had it
``x-origin-exchange``     where it was published first, and with which key
``x-origin-routing-key``
``x-origin-queue``        which queue it was in          (dead letters)
``x-reason``              invalid, failed or returned    (dead letters)
``x-exception``           the type of the last error     (dead letters)
``x-exception-text``      its text                       (dead letters)
``x-traceback``           the end of its traceback       (dead letters)
========================  ==========================================================
"""

from __future__ import annotations

from copy import copy
from traceback import format_exception
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from warren._worker.retry import sole_leaf

if TYPE_CHECKING:
    from warren._worker.job import Received
    from warren.wire.properties import Properties
    from warren.wire.table import Table

Reason: TypeAlias = Literal["invalid", "failed", "returned"]

ATTEMPTS: Final = "x-attempts"
EXCEPTION: Final = "x-exception"
EXCEPTION_TEXT: Final = "x-exception-text"
TRACEBACK: Final = "x-traceback"
REASON: Final = "x-reason"
ORIGIN_QUEUE: Final = "x-origin-queue"
ORIGIN_EXCHANGE: Final = "x-origin-exchange"
ORIGIN_ROUTING_KEY: Final = "x-origin-routing-key"
RETURNS: Final = "x-delivery-count"

NOT_COPIED: Final = frozenset(
    {
        *("CC", "BCC"),  # would send copies once more
        *("x-delay", "x-deliver-at", "x-schedule-id", "x-schedule-cancel"),
        *("x-deduplication-header", "x-cache-ttl"),  # it is no new message
        *("x-retry-delay", RETURNS),
    }
)
"""What a publish asks for, or the broker adds: not for a second publish."""

TYPE_MAX: Final = 200
TEXT_MAX: Final = 1000
TRACEBACK_MAX: Final = 8000
"""Characters."""


def count_in(headers: Table, name: str) -> int:
    """Return a number that should be in a header; 0 if it is none."""
    value = headers.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return max(value, 0)
    return 0


def properties_again(message: Received, extra: Table) -> Properties:
    """Return the properties with which a message is published once more.

    It has no time to live any more, since it was taken in time, and no `user_id`,
    which the broker would hold against the worker's.
    """
    origin: Table = {
        ORIGIN_EXCHANGE: message.exchange,
        ORIGIN_ROUTING_KEY: message.routing_key,
    }
    kept = {
        key: value for key, value in message.headers.items() if key not in NOT_COPIED
    }
    properties = copy(message.properties)
    properties.headers = origin | kept | extra
    properties.expiration = None
    properties.user_id = None
    return properties


def obituary(error: BaseException, *, reason: Reason, queue: str) -> Table:
    """Return what a dead letter tells of its end; short, whatever the error holds."""
    error = sole_leaf(error)
    trace = "" if reason == "invalid" else "".join(format_exception(error))
    return {
        ORIGIN_QUEUE: queue,
        REASON: reason,
        EXCEPTION: clean(type_name(error))[:TYPE_MAX],
        EXCEPTION_TEXT: clean(text_of(error))[:TEXT_MAX],
        TRACEBACK: clean(trace)[-TRACEBACK_MAX:],
    }


def type_name(error: BaseException) -> str:
    """Return the name of an error's type, as one would import it."""
    kind = type(error)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    package, _, inner = kind.__module__.partition(".")
    if package == "warren" and inner:
        return f"warren.{kind.__qualname__}"  # all of ours are there
    return f"{kind.__module__}.{kind.__qualname__}"


def text_of(error: BaseException) -> str:
    """Return the text of an error, whose `__str__` may be wrong itself."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - somebody else's method
        return "(an error without a text)"


def clean(text: str) -> str:
    """Return text that can be encoded."""
    return text.encode(errors="backslashreplace").decode()
