"""The arguments of queues, exchanges, bindings and consumers: read and checked."""

from __future__ import annotations

from warren_broker.core.arguments.canonical import Canonical, canonical
from warren_broker.core.arguments.consumer import (
    ConsumerArguments,
    parse_consumer_arguments,
)
from warren_broker.core.arguments.equivalence import (
    check_exchange_equivalent,
    check_queue_equivalent,
)
from warren_broker.core.arguments.exchange import (
    ExchangeArguments,
    MatchMode,
    parse_exchange_arguments,
    parse_match_mode,
)
from warren_broker.core.arguments.fields import resource
from warren_broker.core.arguments.queue import (
    OverflowMode,
    QueueArguments,
    QueueType,
    check_queue_properties,
    parse_queue_arguments,
)

__all__ = [
    "Canonical",
    "ConsumerArguments",
    "ExchangeArguments",
    "MatchMode",
    "OverflowMode",
    "QueueArguments",
    "QueueType",
    "canonical",
    "check_exchange_equivalent",
    "check_queue_equivalent",
    "check_queue_properties",
    "parse_consumer_arguments",
    "parse_exchange_arguments",
    "parse_match_mode",
    "parse_queue_arguments",
    "resource",
]
