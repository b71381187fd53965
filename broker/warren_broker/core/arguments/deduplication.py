"""The arguments by which exchanges, and some queues, remember ids of messages.

Names and texts are those of RabbitMQ's plugin `rabbitmq_message_deduplication`;
`x-unique-mode` is ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from warren.errors import PreconditionFailed
from warren_broker.core.arguments.fields import resource
from warren_broker.core.arguments.modes import UniqueMode, one_of
from warren_broker.core.arguments.reading import (
    ArgumentReader,
    InvalidValue,
    boolean,
    lifetime_ms,
    size,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MESSAGE_DEDUPLICATION: Final = "x-message-deduplication"
"""An argument of any exchange or queue, and an exchange type."""
UNIQUE_MODE: Final = "x-unique-mode"
CACHE_SIZE: Final = "x-cache-size"
CACHE_TTL: Final = "x-cache-ttl"
DEDUPLICATION_KEYS: Final = (MESSAGE_DEDUPLICATION, UNIQUE_MODE, CACHE_SIZE, CACHE_TTL)

CACHE_SIZE_DEFAULT: Final = 10_000
"""Ids that are remembered where the arguments do not say how many."""

_SIZE_REFUSAL: Final = (
    "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0"
)
_TTL_REFUSAL: Final = (
    "Invalid argument, 'x-cache-ttl' must be an integer greater than 0"
)
_MODES: Final = (UniqueMode.DROP, UniqueMode.REJECT)
"""An exchange holds no messages: nothing to replace, and no ack to wait for."""


@attrs.frozen(kw_only=True)
class DeduplicationRules:
    """How an exchange deduplicates.

    Attributes:
        refuses: the publisher of a duplicate gets a basic.nack instead of an ack.
        cache_size: ids to remember.  cache_ttl_ms: for how long; None: no matter.
    """

    refuses: bool = False
    cache_size: int = CACHE_SIZE_DEFAULT
    cache_ttl_ms: int | None = None


def parse_deduplication(
    arguments: Mapping[str, object],
    type_name: str,
    name: str,
    vhost: str,
    *,
    ids_max: int,
) -> DeduplicationRules | None:
    """Return how the exchange `name` deduplicates; None if it does not.

    Raises PreconditionFailed for a value that cannot be, for more than `ids_max` ids,
    and for an exchange of the plugin's type that does not say how many.
    """
    reader = ArgumentReader(arguments, resource("exchange", name, vhost))
    is_asked = reader.read(MESSAGE_DEDUPLICATION, boolean, default=False)
    mode = reader.find(UNIQUE_MODE, _exchange_mode)
    if mode is not None and arguments.get(MESSAGE_DEDUPLICATION) is False:
        raise reader.refusal(UNIQUE_MODE, '"x-message-deduplication is false"')
    cache_size = _number(arguments, CACHE_SIZE, size, _SIZE_REFUSAL)
    cache_ttl_ms = _number(arguments, CACHE_TTL, lifetime_ms, _TTL_REFUSAL)
    check_cache_size(cache_size, reader.subject, ids_max)
    if type_name == MESSAGE_DEDUPLICATION:
        if cache_size is None:
            raise PreconditionFailed(_SIZE_REFUSAL)
    elif not is_asked and mode is None:
        return None
    return DeduplicationRules(
        refuses=mode is UniqueMode.REJECT,
        cache_size=cache_size or min(CACHE_SIZE_DEFAULT, ids_max),
        cache_ttl_ms=cache_ttl_ms,
    )


def check_cache_size(cache_size: int | None, subject: str, ids_max: int) -> None:
    """Raise PreconditionFailed for more ids than a virtual host may remember."""
    if cache_size is not None and cache_size > ids_max:
        raise PreconditionFailed(
            f"invalid arg '{CACHE_SIZE}' for {subject}:"
            f" {{max_value_exceeded,{cache_size}}}"
        )


def _exchange_mode(value: object) -> UniqueMode:
    mode = one_of(UniqueMode)(value)
    if mode not in _MODES:
        raise InvalidValue(f"\"'{mode}' is for queues only\"")
    return mode


def _number(
    arguments: Mapping[str, object],
    key: str,
    read: Callable[[object], int],
    refusal: str,
) -> int | None:
    if key not in arguments:
        return None
    try:
        return read(arguments[key])
    except InvalidValue:
        raise PreconditionFailed(refusal) from None
