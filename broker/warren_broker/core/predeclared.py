"""The exchanges that every virtual host has from the start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from warren_broker.core.exchange import EXCHANGE_TYPES
from warren_broker.core.lease import LEASE_EXCHANGE

if TYPE_CHECKING:
    from warren_broker.core.exchange import Exchange, Surroundings

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


def predeclared(surroundings: Surroundings) -> dict[str, Exchange]:
    """Make those with a name, by their names."""
    exchanges = {
        name: EXCHANGE_TYPES[type_name](name, durable=True, surroundings=surroundings)
        for name, type_name in _TYPES.items()
    }
    exchanges[_TRACE] = EXCHANGE_TYPES["topic"](
        _TRACE, durable=True, internal=True, surroundings=surroundings
    )
    return exchanges
