"""Predeclared: the exchanges that every virtual host has from the start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from warren_broker.core.exchange.default import DefaultExchange
from warren_broker.core.exchange.types import ROUTING_TYPES
from warren_broker.core.lease import LEASE_EXCHANGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.destination import Destination
    from warren_broker.core.exchange.base import Exchange
    from warren_broker.core.exchange.surroundings import Surroundings

_TYPES: Final = {
    "amq.direct": "direct",
    "amq.fanout": "fanout",
    "amq.topic": "topic",
    "amq.headers": "headers",
    "amq.match": "headers",
    LEASE_EXCHANGE: "direct",
}
_TRACE: Final = "amq.rabbitmq.trace"
SYSTEM_EXCHANGES: Final = frozenset({"", _TRACE, *_TYPES})


def predeclared(
    surroundings: Surroundings,
    queues: Mapping[str, Destination],
    replies: Mapping[str, Destination],
) -> dict[str, Exchange]:
    """Return them by name; for the mappings see `DefaultExchange`."""
    exchanges: dict[str, Exchange] = {"": DefaultExchange(queues, replies)}
    for name, type_name in _TYPES.items():
        exchanges[name] = ROUTING_TYPES[type_name](
            name, durable=True, surroundings=surroundings
        )
    exchanges[_TRACE] = ROUTING_TYPES["topic"](
        _TRACE, durable=True, internal=True, surroundings=surroundings
    )
    return exchanges
