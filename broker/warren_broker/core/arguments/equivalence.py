"""Declaring again what exists already: it must be asked for as it is.

Only arguments that RabbitMQ knows are compared, so that a client may add its own
to a declare. Texts: ``rabbit_misc.erl``, ``equivalence_fail``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from warren.errors import PreconditionFailed
from warren_broker.core.arguments.canonical import canonical
from warren_broker.core.arguments.exchange import (
    HASH_HEADERS,
    HASH_PROPERTY,
    HISTORY_LENGTH,
    HISTORY_LENGTH_DEFAULT,
)
from warren_broker.core.arguments.fields import display, resource, type_name

if TYPE_CHECKING:
    from collections.abc import Mapping

QUEUE_KEYS: Final = (
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-version",
    "x-single-active-consumer",
    "x-queue-type",
    "x-queue-master-locator",
    "x-queue-leader-locator",
    "x-dead-letter-strategy",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-quorum-initial-group-size",
    "x-delivery-limit",
    "x-consumer-timeout",
)
EXCHANGE_KEYS: Final = ("alternate-exchange",)
EXCHANGE_TYPE_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "x-consistent-hash": (*HASH_HEADERS, HASH_PROPERTY),
    "x-recent-history": (HISTORY_LENGTH,),
}
"""What counts besides, by exchange type. RabbitMQ does not compare these, and would
leave a client with another exchange than it asked for."""

DEFAULTS: Final[dict[str, object]] = {
    "x-queue-type": "classic",
    HISTORY_LENGTH: HISTORY_LENGTH_DEFAULT,
}
"""Arguments that say the same when they are absent."""


class DeclaredQueue(Protocol):
    """A queue, as far as declaring it again is concerned."""

    name: str
    durable: bool
    auto_delete: bool

    @property
    def arguments(self) -> Mapping[str, object]:
        """As they were given when it was declared."""


class DeclaredExchange(DeclaredQueue, Protocol):
    """An exchange, as far as declaring it again is concerned."""

    type: ClassVar[str]
    internal: bool


def check_queue_equivalent(
    queue: DeclaredQueue,
    *,
    durable: bool,
    auto_delete: bool,
    arguments: Mapping[str, object],
    vhost: str,
) -> None:
    """Raise PreconditionFailed unless ``queue`` is declared as it is."""
    subject = resource("queue", queue.name, vhost)
    _check_property("durable", queue.durable, durable, subject)
    _check_property("auto_delete", queue.auto_delete, auto_delete, subject)
    for key in QUEUE_KEYS:
        _check_argument(key, queue.arguments, arguments, subject)


def check_exchange_equivalent(
    exchange: DeclaredExchange,
    *,
    type_name: str,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    arguments: Mapping[str, object],
    vhost: str,
) -> None:
    """Raise PreconditionFailed unless ``exchange`` is declared as it is."""
    subject = resource("exchange", exchange.name, vhost)
    _check_property("type", exchange.type, type_name, subject)
    _check_property("durable", exchange.durable, durable, subject)
    _check_property("auto_delete", exchange.auto_delete, auto_delete, subject)
    _check_property("internal", exchange.internal, internal, subject)
    for key in (*EXCHANGE_KEYS, *EXCHANGE_TYPE_KEYS.get(exchange.type, ())):
        _check_argument(key, exchange.arguments, arguments, subject)


def _check_property(key: str, current: object, received: object, subject: str) -> None:
    if received != current:
        raise _inequivalent(key, _quoted(current), _quoted(received), subject)


def _check_argument(
    key: str,
    current: Mapping[str, object],
    received: Mapping[str, object],
    subject: str,
) -> None:
    if key not in current and key not in received:
        return
    if key in current and key in received:
        if canonical(current[key]) != canonical(received[key]):
            before, now = _quoted(current[key]), _quoted(received[key])
            raise _inequivalent(key, before, now, subject)
        return
    given = (current if key in current else received)[key]
    if key in DEFAULTS and given == DEFAULTS[key]:
        return
    before, now = _typed(key, current), _typed(key, received)
    raise _inequivalent(key, before, now, subject)


def _inequivalent(
    key: str, current: str, received: str, subject: str
) -> PreconditionFailed:
    return PreconditionFailed(
        f"inequivalent arg '{key}' for {subject}:"
        f" received {received} but current is {current}"
    )


def _quoted(value: object) -> str:
    return f"'{display(value)}'"


def _typed(key: str, arguments: Mapping[str, object]) -> str:
    if key not in arguments:
        return "none"
    value = arguments[key]
    return f"the value {_quoted(value)} of type '{type_name(value)}'"
