"""The arguments of ``queue.declare``, as a table of rules.

What an argument says about a queue, a policy can say as well, under the same name
without ``x-``; so the table is also the vocabulary of policies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from warren.errors import PreconditionFailed
from warren_broker.core.arguments.fields import resource
from warren_broker.core.arguments.grouping import GroupKey, group_key
from warren_broker.core.arguments.modes import (
    GroupMode,
    LeaseRenewal,
    OverflowMode,
    QueueType,
    RedeclareMode,
    RetryType,
    TimeoutAction,
    UniqueMode,
    one_of,
    overflow,
    queue_type,
)
from warren_broker.core.arguments.reading import (
    ArgumentReader,
    age_ms,
    boolean,
    count,
    delivery_limit,
    duration_ms,
    given_name,
    lifetime_ms,
    priority,
    segment_bytes,
    size,
    text,
)
from warren_broker.core.arguments.reading_point import ReadingPoint, starting_point

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEAD_LETTER_EXCHANGE: Final = "x-dead-letter-exchange"
DEAD_LETTER_ROUTING_KEY: Final = "x-dead-letter-routing-key"

QUORUM_DELIVERY_LIMIT: Final = 20
"""What RabbitMQ 4 gives a quorum queue that was declared without a limit."""

STREAM_ONLY: Final = frozenset(
    {
        "x-max-age",
        "x-stream-max-segment-size-bytes",
        "x-stream-filter-size-bytes",
        "x-compact",
        "x-compact-tombstone-age",
    }
)
"""Refused elsewhere: who asks for retention must not silently get none."""

SOURCE_STREAM: Final = "x-source-stream"
SOURCE_OFFSET: Final = "x-stream-offset"
TAP: Final = "x-tap"

_NOT_WITH_SOURCE: Final = frozenset(
    {
        TAP,
        "x-max-length",
        "x-max-length-bytes",
        "x-max-in-memory-bytes",
        "x-overflow",
        "x-publish-deadline",
        "x-group-by",
        "x-message-deduplication",
        "x-unique-mode",
        "x-cache-size",
        "x-cache-ttl",
    }
)
"""A queue takes of its source what comes next, and when there is room for it."""

_FOR_STREAMS: Final = STREAM_ONLY | {
    "x-queue-type",
    "x-max-length",
    "x-max-length-bytes",
    "x-single-active-consumer",
    "x-redeclare-mode",
}


@attrs.frozen(kw_only=True)
class QueueArguments:
    """What a queue is asked for; None where nothing was asked.

    Times are milliseconds, sizes bytes.
    """

    queue_type: QueueType = QueueType.CLASSIC
    expires_ms: int | None = None
    message_ttl_ms: int | None = None
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    max_length: int | None = None
    max_length_bytes: int | None = None
    max_priority: int | None = None
    max_in_memory_bytes: int | None = None
    overflow: OverflowMode = OverflowMode.DROP_HEAD
    publish_deadline_ms: int | None = None
    single_active_consumer: bool = False
    consumer_timeout_ms: int | None = None
    consumer_timeout_action: TimeoutAction = TimeoutAction.REQUEUE
    lease_renewal: LeaseRenewal | None = None
    lease_max_ms: int | None = None
    delivery_limit: int | None = None
    delayed_retry_type: RetryType = RetryType.DISABLED
    delayed_retry_min_ms: int | None = None
    delayed_retry_max_ms: int | None = None
    deliver_at_header: str | None = None
    group_by: GroupKey | None = None
    group_mode: GroupMode = GroupMode.ORDERED
    deduplication: bool = False
    unique_mode: UniqueMode | None = None
    cache_size: int | None = None
    cache_ttl_ms: int | None = None
    redeclare_mode: RedeclareMode | None = None
    max_age_ms: int | None = None
    segment_bytes: int | None = None
    compact: bool = False
    tombstone_age_ms: int | None = None
    source_stream: str | None = None
    source_starts_at: ReadingPoint | None = None
    tap: str | None = None


@attrs.frozen
class QueueRule:
    """One argument.

    Attributes:
        key: its name.  field: of `QueueArguments`.  read: its validator.
        by_policy: policies can say it, and it can change while the queue lives.
        smaller_wins: of argument, policy and operator policy the smallest value
            holds; otherwise the argument's, as in RabbitMQ.
    """

    key: str
    field: str
    read: Callable[[object], object]
    by_policy: bool = True
    smaller_wins: bool = False

    @property
    def policy_key(self) -> str:
        """The name in the definition of a policy."""
        return self.key.removeprefix("x-")


# In the order in which RabbitMQ finds fault.
QUEUE_RULES: Final = (
    QueueRule("x-queue-type", "queue_type", queue_type, by_policy=False),
    QueueRule("x-expires", "expires_ms", lifetime_ms, smaller_wins=True),
    QueueRule("x-message-ttl", "message_ttl_ms", duration_ms, smaller_wins=True),
    QueueRule(DEAD_LETTER_ROUTING_KEY, "dead_letter_routing_key", text),
    QueueRule("x-max-length", "max_length", count, smaller_wins=True),
    QueueRule("x-max-length-bytes", "max_length_bytes", count, smaller_wins=True),
    QueueRule("x-max-in-memory-bytes", "max_in_memory_bytes", count, smaller_wins=True),
    QueueRule("x-max-priority", "max_priority", priority, by_policy=False),
    QueueRule("x-overflow", "overflow", overflow),
    QueueRule("x-publish-deadline", "publish_deadline_ms", lifetime_ms),
    QueueRule(
        "x-single-active-consumer", "single_active_consumer", boolean, by_policy=False
    ),
    QueueRule("x-consumer-timeout", "consumer_timeout_ms", count),
    QueueRule(
        "x-consumer-timeout-action", "consumer_timeout_action", one_of(TimeoutAction)
    ),
    QueueRule("x-lease-renew", "lease_renewal", one_of(LeaseRenewal)),
    QueueRule("x-lease-max", "lease_max_ms", lifetime_ms, smaller_wins=True),
    QueueRule("x-delivery-limit", "delivery_limit", delivery_limit, smaller_wins=True),
    QueueRule("x-delayed-retry-type", "delayed_retry_type", one_of(RetryType)),
    QueueRule("x-delayed-retry-min", "delayed_retry_min_ms", lifetime_ms),
    QueueRule("x-delayed-retry-max", "delayed_retry_max_ms", lifetime_ms),
    QueueRule("x-deliver-at-header", "deliver_at_header", text),
    QueueRule("x-group-by", "group_by", group_key, by_policy=False),
    QueueRule("x-group-mode", "group_mode", one_of(GroupMode), by_policy=False),
    QueueRule("x-message-deduplication", "deduplication", boolean, by_policy=False),
    QueueRule("x-unique-mode", "unique_mode", one_of(UniqueMode), by_policy=False),
    QueueRule("x-cache-size", "cache_size", size, by_policy=False),
    QueueRule("x-cache-ttl", "cache_ttl_ms", lifetime_ms, by_policy=False),
    QueueRule("x-redeclare-mode", "redeclare_mode", one_of(RedeclareMode)),
    QueueRule("x-max-age", "max_age_ms", age_ms, smaller_wins=True),
    QueueRule("x-stream-max-segment-size-bytes", "segment_bytes", segment_bytes),
    QueueRule("x-compact", "compact", boolean),
    QueueRule("x-compact-tombstone-age", "tombstone_age_ms", age_ms),
    QueueRule(SOURCE_STREAM, "source_stream", given_name, by_policy=False),
    QueueRule(SOURCE_OFFSET, "source_starts_at", starting_point, by_policy=False),
    QueueRule(TAP, "tap", given_name, by_policy=False),
)
NOT_FOR_STREAMS: Final = frozenset(
    {DEAD_LETTER_EXCHANGE, *(rule.key for rule in QUEUE_RULES)} - _FOR_STREAMS
)
"""What a stream cannot do is refused, as by RabbitMQ."""


def parse_queue_arguments(
    arguments: Mapping[str, object], name: str, vhost: str
) -> QueueArguments:
    """Return what ``arguments`` mean for the queue ``name``.

    Arguments that mean nothing here (``x-queue-mode``, anybody's own) are
    accepted: old clients send them. Raises PreconditionFailed for a value that
    cannot be, in RabbitMQ's order and words.
    """
    reader = ArgumentReader(arguments, resource("queue", name, vhost))
    values: dict[str, object] = {}
    exchange = reader.find_name(DEAD_LETTER_EXCHANGE)
    if exchange is not None:
        values["dead_letter_exchange"] = exchange
    for rule in QUEUE_RULES:
        if rule.key in arguments:
            values[rule.field] = reader.find(rule.key, rule.read)
    parsed = QueueArguments(**values)  # type: ignore[arg-type]
    _check_companions(parsed, reader)
    if parsed.queue_type is QueueType.QUORUM and "x-delivery-limit" not in arguments:
        parsed = attrs.evolve(parsed, delivery_limit=QUORUM_DELIVERY_LIMIT)
    is_stream = parsed.queue_type is QueueType.STREAM
    reader.refuse_all(NOT_FOR_STREAMS if is_stream else STREAM_ONLY, parsed.queue_type)
    return parsed


def _check_companions(parsed: QueueArguments, reader: ArgumentReader) -> None:
    """Raise PreconditionFailed for an argument that needs another one."""
    minimum, maximum = parsed.delayed_retry_min_ms, parsed.delayed_retry_max_ms
    faults = (
        (
            parsed.dead_letter_routing_key is not None
            and DEAD_LETTER_EXCHANGE not in reader.arguments,
            DEAD_LETTER_ROUTING_KEY,
            "routing_key_but_no_dlx_defined",
        ),
        (
            parsed.delayed_retry_type is not RetryType.DISABLED and minimum is None,
            "x-delayed-retry-type",
            '"x-delayed-retry-min must be given"',
        ),
        (
            minimum is not None and maximum is not None and maximum < minimum,
            "x-delayed-retry-max",
            '"must not be less than x-delayed-retry-min"',
        ),
        (
            "x-group-mode" in reader.arguments and parsed.group_by is None,
            "x-group-mode",
            '"x-group-by must be given"',
        ),
        (
            parsed.tombstone_age_ms is not None and not parsed.compact,
            "x-compact-tombstone-age",
            '"x-compact must be true"',
        ),
        (
            parsed.unique_mode is not None
            and reader.arguments.get("x-message-deduplication") is False,
            "x-unique-mode",
            '"x-message-deduplication is false"',
        ),
    )
    for is_fault, key, reason in faults:
        if is_fault:
            raise reader.refusal(key, reason)
    _check_source(parsed, reader)


def _check_source(parsed: QueueArguments, reader: ArgumentReader) -> None:
    """Raise PreconditionFailed for what does not go with a source, or needs one."""
    if parsed.source_stream is None:
        if parsed.source_starts_at is not None:
            raise reader.refusal(SOURCE_OFFSET, f'"{SOURCE_STREAM} must be given"')
        return
    for key in reader.arguments:
        if key in _NOT_WITH_SOURCE:
            raise reader.refusal(key, f'"not with {SOURCE_STREAM}"')


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
    """Raise PreconditionFailed for what only a classic queue can be, as RabbitMQ."""
    if queue_type is QueueType.CLASSIC:
        return
    if server_named:
        raise PreconditionFailed(
            f"Cannot declare a server-named queue for type rabbit_{queue_type}_queue"
        )
    refused = (
        (auto_delete, "auto-delete"),
        (exclusive, "exclusive-owner"),
        (not durable, "non-durable"),
    )
    for is_set, word in refused:
        if is_set:
            subject = resource("queue", name, vhost)
            raise PreconditionFailed(f"invalid property '{word}' for {subject}")
