"""The arguments of queues, exchanges, bindings and consumers: read and checked."""

from __future__ import annotations

from warren_broker.core.arguments.canonical import Canonical, canonical
from warren_broker.core.arguments.consumer import (
    ConsumerArguments,
    parse_consumer_arguments,
)
from warren_broker.core.arguments.equivalence import (
    Difference,
    exchange_differences,
    queue_differences,
)
from warren_broker.core.arguments.exchange import (
    ExchangeArguments,
    MatchMode,
    parse_exchange_arguments,
    parse_match_mode,
)
from warren_broker.core.arguments.fields import resource
from warren_broker.core.arguments.grouping import GroupKey
from warren_broker.core.arguments.modes import (
    GroupMode,
    LeaseRenewal,
    OverflowMode,
    QueueType,
    RedeclareMode,
    RetryType,
    TimeoutAction,
    UniqueMode,
)
from warren_broker.core.arguments.queue import (
    QUEUE_RULES,
    QueueArguments,
    QueueRule,
    check_queue_properties,
    parse_queue_arguments,
)
from warren_broker.core.arguments.reading_point import Point, ReadingPoint

__all__ = [
    "QUEUE_RULES",
    "Canonical",
    "ConsumerArguments",
    "Difference",
    "ExchangeArguments",
    "GroupKey",
    "GroupMode",
    "LeaseRenewal",
    "MatchMode",
    "OverflowMode",
    "Point",
    "QueueArguments",
    "QueueRule",
    "QueueType",
    "ReadingPoint",
    "RedeclareMode",
    "RetryType",
    "TimeoutAction",
    "UniqueMode",
    "canonical",
    "check_queue_properties",
    "exchange_differences",
    "parse_consumer_arguments",
    "parse_exchange_arguments",
    "parse_match_mode",
    "parse_queue_arguments",
    "queue_differences",
    "resource",
]
