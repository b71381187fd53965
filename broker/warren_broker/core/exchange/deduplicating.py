"""Deduplicating exchange: a fanout that lets each message pass once.

RabbitMQ's plugin `rabbitmq_message_deduplication`. Any other type does the same with
the argument `x-message-deduplication`; this one always does, and must be told
`x-cache-size`.
"""

from __future__ import annotations

from typing import ClassVar, final

from warren_broker.core.arguments.deduplication import MESSAGE_DEDUPLICATION
from warren_broker.core.exchange.fanout import FanoutExchange


@final
class DeduplicatingExchange(FanoutExchange):
    """Routes to every destination what it has not seen lately."""

    __slots__ = ()

    type: ClassVar[str] = MESSAGE_DEDUPLICATION
