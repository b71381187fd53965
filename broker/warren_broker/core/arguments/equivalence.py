"""Declaring again what exists already: what is asked for otherwise than it is.

Only arguments that have a meaning, here or in RabbitMQ, are compared, so that a client
may add its own to a declare. Texts: ``rabbit_misc.erl``, ``equivalence_fail``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Protocol

import attrs

from warren_broker.core.arguments.canonical import canonical
from warren_broker.core.arguments.deduplication import (
    DEDUPLICATION_KEYS,
    MESSAGE_DEDUPLICATION,
)
from warren_broker.core.arguments.exchange import (
    DELAYED_TYPE,
    HASH_HEADERS,
    HASH_PROPERTY,
    HISTORY_LENGTH,
    HISTORY_LENGTH_DEFAULT,
)
from warren_broker.core.arguments.fields import display, resource, type_name
from warren_broker.core.arguments.queue import QUEUE_RULES
from warren_broker.core.arguments.super_stream import PARTITION_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

QUEUE_PROPERTIES: Final = ("durable", "auto_delete")
EXCHANGE_PROPERTIES: Final = ("type", "durable", "auto_delete", "internal")

QUEUE_KEYS: Final = (
    "x-dead-letter-exchange",
    *(rule.key for rule in QUEUE_RULES),
    "x-queue-mode",
    "x-queue-version",
    "x-queue-master-locator",
    "x-queue-leader-locator",
    "x-dead-letter-strategy",
    "x-max-in-memory-length",
    "x-quorum-initial-group-size",
)
PARTITION_KEYS: Final = (
    "x-max-length",
    "x-max-length-bytes",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-compact",
    "x-compact-tombstone-age",
    "x-single-active-consumer",
)
"""What is said of the partitions of a super stream."""
EXCHANGE_KEYS: Final = ("alternate-exchange", *DEDUPLICATION_KEYS)
EXCHANGE_TYPE_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "x-consistent-hash": (*HASH_HEADERS, HASH_PROPERTY),
    "x-recent-history": (HISTORY_LENGTH,),
    "x-delayed-message": (DELAYED_TYPE,),
    "x-super-stream": (PARTITION_KEY, *PARTITION_KEYS),
}
"""What counts besides, by exchange type. RabbitMQ does not compare these, and would
leave a client with another exchange than it asked for."""

DEFAULTS: Final[dict[str, object]] = {
    "x-queue-type": "classic",
    "x-compact": False,
    MESSAGE_DEDUPLICATION: False,
    HISTORY_LENGTH: HISTORY_LENGTH_DEFAULT,
}
"""Arguments that say the same when they are absent."""


MUTABLE_KEYS: Final = frozenset({*QUEUE_KEYS, *EXCHANGE_KEYS}) - {
    rule.key for rule in QUEUE_RULES if not rule.by_policy
}
"""What can change while a queue or an exchange lives: all that a policy can say as
well, and what has no meaning here."""


@attrs.frozen
class Difference:
    """One thing that is asked for otherwise than it is.

    Attributes:
        key: an argument, or a property as error texts spell it.
        text: what RabbitMQ answers, with 406.
    """

    key: str
    text: str

    @property
    def is_mutable(self) -> bool:
        """True if it can change while the queue or the exchange lives."""
        return self.key in MUTABLE_KEYS


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


def queue_differences(
    queue: DeclaredQueue,
    *,
    durable: bool,
    auto_delete: bool,
    arguments: Mapping[str, object],
    vhost: str,
) -> Iterator[Difference]:
    """Yield in what a declare of ``queue`` differs, in the order of RabbitMQ."""
    subject = resource("queue", queue.name, vhost)
    for key, asked in zip(QUEUE_PROPERTIES, (durable, auto_delete), strict=True):
        yield from _compare_property(key, getattr(queue, key), asked, subject)
    for key in QUEUE_KEYS:
        yield from _compare_argument(key, queue.arguments, arguments, subject)


def exchange_differences(
    exchange: DeclaredExchange,
    *,
    type_name: str,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    arguments: Mapping[str, object],
    vhost: str,
) -> Iterator[Difference]:
    """Yield in what a declare of ``exchange`` differs, in the order of RabbitMQ."""
    subject = resource("exchange", exchange.name, vhost)
    asked = (type_name, durable, auto_delete, internal)
    for key, value in zip(EXCHANGE_PROPERTIES, asked, strict=True):
        yield from _compare_property(key, getattr(exchange, key), value, subject)
    for key in (*EXCHANGE_KEYS, *_type_keys(exchange)):
        yield from _compare_argument(key, exchange.arguments, arguments, subject)


def _type_keys(exchange: DeclaredExchange) -> Iterator[str]:
    """Yield what counts for the type of ``exchange``, and that whose rule it has."""
    keys = EXCHANGE_TYPE_KEYS.get(exchange.type, ())
    yield from keys
    if DELAYED_TYPE in keys:
        rule = exchange.arguments.get(DELAYED_TYPE)
        yield from EXCHANGE_TYPE_KEYS.get(rule, ()) if isinstance(rule, str) else ()


def _compare_property(
    key: str, current: object, received: object, subject: str
) -> Iterator[Difference]:
    if received != current:
        yield _difference(key, _quoted(current), _quoted(received), subject)


def _compare_argument(
    key: str,
    current: Mapping[str, object],
    received: Mapping[str, object],
    subject: str,
) -> Iterator[Difference]:
    if key not in current and key not in received:
        return
    if key in current and key in received:
        if canonical(current[key]) != canonical(received[key]):
            before, now = _quoted(current[key]), _quoted(received[key])
            yield _difference(key, before, now, subject)
        return
    given = (current if key in current else received)[key]
    if key not in DEFAULTS or given != DEFAULTS[key]:
        before, now = _typed(key, current), _typed(key, received)
        yield _difference(key, before, now, subject)


def _difference(key: str, current: str, received: str, subject: str) -> Difference:
    return Difference(
        key,
        f"inequivalent arg '{key}' for {subject}:"
        f" received {received} but current is {current}",
    )


def _quoted(value: object) -> str:
    return f"'{display(value)}'"


def _typed(key: str, arguments: Mapping[str, object]) -> str:
    if key not in arguments:
        return "none"
    value = arguments[key]
    return f"the value {_quoted(value)} of type '{type_name(value)}'"
