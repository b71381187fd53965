"""The exchange types that route by a rule of their own, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from warren_broker.core.exchange.at_random import RandomExchange
from warren_broker.core.exchange.consistent_hash import ConsistentHashExchange
from warren_broker.core.exchange.direct import DirectExchange
from warren_broker.core.exchange.fanout import FanoutExchange
from warren_broker.core.exchange.headers import HeadersExchange
from warren_broker.core.exchange.modulus_hash import ModulusHashExchange
from warren_broker.core.exchange.recent_history import RecentHistoryExchange
from warren_broker.core.exchange.topic import TopicExchange

if TYPE_CHECKING:
    from warren_broker.core.exchange.base import Exchange

ROUTING_TYPES: Final[dict[str, type[Exchange]]] = {
    each.type: each
    for each in (
        DirectExchange,
        FanoutExchange,
        TopicExchange,
        HeadersExchange,
        ConsistentHashExchange,
        ModulusHashExchange,
        RandomExchange,
        RecentHistoryExchange,
    )
}
"""Every class takes the constructor of `Exchange`."""
