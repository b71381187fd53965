"""The arguments of ``queue.declare``."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import attrs

from warren.errors import PreconditionFailed
from warren_broker.core.arguments.fields import resource
from warren_broker.core.arguments.reading import (
    ArgumentReader,
    InvalidValue,
    boolean,
    count,
    delivery_limit,
    duration_ms,
    lifetime_ms,
    priority,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

DEAD_LETTER_EXCHANGE: Final = "x-dead-letter-exchange"
DEAD_LETTER_ROUTING_KEY: Final = "x-dead-letter-routing-key"

QUORUM_DELIVERY_LIMIT: Final = 20
"""What RabbitMQ 4 gives a quorum queue that was declared without a limit."""

STREAM_ONLY: Final = frozenset(
    {"x-max-age", "x-stream-max-segment-size-bytes", "x-stream-filter-size-bytes"}
)
"""Refused elsewhere: who asks for retention must not silently get none."""


class QueueType(StrEnum):
    """The values of ``x-queue-type`` that can be declared."""

    CLASSIC = "classic"
    QUORUM = "quorum"


class OverflowMode(StrEnum):
    """The values of ``x-overflow``: what becomes of a message over the limit."""

    DROP_HEAD = "drop-head"
    REJECT_PUBLISH = "reject-publish"
    REJECT_PUBLISH_DLX = "reject-publish-dlx"


@attrs.frozen(kw_only=True)
class QueueArguments:
    """What the arguments of a queue ask for; None where nothing was asked."""

    queue_type: QueueType = QueueType.CLASSIC
    message_ttl_ms: int | None = None
    expires_ms: int | None = None
    max_length: int | None = None
    max_length_bytes: int | None = None
    overflow: OverflowMode = OverflowMode.DROP_HEAD
    max_priority: int | None = None
    single_active_consumer: bool = False
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    delivery_limit: int | None = None
    consumer_timeout_ms: int | None = None


def parse_queue_arguments(
    arguments: Mapping[str, object], name: str, vhost: str
) -> QueueArguments:
    """Return what ``arguments`` mean for the queue ``name``.

    Arguments that mean nothing here (``x-queue-mode``, anybody's own) are
    accepted: old clients send them. Raises PreconditionFailed for a value that
    cannot be, in RabbitMQ's order and words.
    """
    reader = ArgumentReader(arguments, resource("queue", name, vhost))
    exchange = reader.find_name(DEAD_LETTER_EXCHANGE)
    queue_type = reader.read("x-queue-type", _queue_type, QueueType.CLASSIC)
    limit = QUORUM_DELIVERY_LIMIT if queue_type is QueueType.QUORUM else None
    parsed = QueueArguments(
        queue_type=queue_type,
        expires_ms=reader.find("x-expires", lifetime_ms),
        message_ttl_ms=reader.find("x-message-ttl", duration_ms),
        dead_letter_exchange=exchange,
        dead_letter_routing_key=_dead_letter_routing_key(reader),
        max_length=reader.find("x-max-length", count),
        max_length_bytes=reader.find("x-max-length-bytes", count),
        max_priority=reader.find("x-max-priority", priority),
        overflow=reader.read("x-overflow", _overflow, OverflowMode.DROP_HEAD),
        single_active_consumer=reader.read(
            "x-single-active-consumer", boolean, default=False
        ),
        consumer_timeout_ms=reader.find("x-consumer-timeout", count),
        delivery_limit=reader.read("x-delivery-limit", delivery_limit, limit),
    )
    reader.refuse_all(STREAM_ONLY, queue_type)
    return parsed


def check_queue_properties(
    queue_type: QueueType,
    name: str,
    vhost: str,
    *,
    durable: bool,
    exclusive: bool,
    auto_delete: bool,
    server_named: bool,
) -> None:
    """Raise PreconditionFailed for what a quorum queue cannot be, as RabbitMQ."""
    if server_named and queue_type is QueueType.QUORUM:
        raise PreconditionFailed(
            "Cannot declare a server-named queue for type rabbit_quorum_queue"
        )
    refused = (
        (auto_delete, "auto-delete"),
        (exclusive, "exclusive-owner"),
        (not durable, "non-durable"),
    )
    for is_set, word in refused:
        if is_set and queue_type is QueueType.QUORUM:
            subject = resource("queue", name, vhost)
            raise PreconditionFailed(f"invalid property '{word}' for {subject}")


def _dead_letter_routing_key(reader: ArgumentReader) -> str | None:
    key = reader.find(DEAD_LETTER_ROUTING_KEY, text)
    if key is not None and DEAD_LETTER_EXCHANGE not in reader.arguments:
        reason = "routing_key_but_no_dlx_defined"
        raise reader.refusal(DEAD_LETTER_ROUTING_KEY, reason)
    return key


def _queue_type(value: object) -> QueueType:
    name = text(value)
    try:
        return QueueType(name)
    except ValueError:
        raise InvalidValue(f"\"unsupported queue type '{name}'\"") from None


def _overflow(value: object) -> OverflowMode:
    try:
        return OverflowMode(text(value))
    except InvalidValue:
        raise
    except ValueError:
        raise InvalidValue("invalid_overflow") from None
