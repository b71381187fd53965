"""Exchanges: bindings, and the rules by which they match."""

from __future__ import annotations

from typing import Final

from warren_broker.core.exchange.at_random import RandomExchange
from warren_broker.core.exchange.base import Binding, Exchange
from warren_broker.core.exchange.consistent_hash import ConsistentHashExchange
from warren_broker.core.exchange.deduplicating import DeduplicatingExchange
from warren_broker.core.exchange.default import DefaultExchange
from warren_broker.core.exchange.delayed import DelayedExchange
from warren_broker.core.exchange.direct import DirectExchange
from warren_broker.core.exchange.fanout import FanoutExchange
from warren_broker.core.exchange.headers import HeadersExchange
from warren_broker.core.exchange.modulus_hash import ModulusHashExchange
from warren_broker.core.exchange.recent_history import RecentHistoryExchange
from warren_broker.core.exchange.super_stream import SuperStreamExchange
from warren_broker.core.exchange.surroundings import Surroundings
from warren_broker.core.exchange.topic import TopicExchange
from warren_broker.core.exchange.types import ROUTING_TYPES

EXCHANGE_TYPES: Final[dict[str, type[Exchange]]] = {
    **ROUTING_TYPES,
    DeduplicatingExchange.type: DeduplicatingExchange,
    DelayedExchange.type: DelayedExchange,
    SuperStreamExchange.type: SuperStreamExchange,
}
"""What can be declared, by name. Every class takes the constructor of `Exchange`."""

__all__ = [
    "EXCHANGE_TYPES",
    "Binding",
    "ConsistentHashExchange",
    "DeduplicatingExchange",
    "DefaultExchange",
    "DelayedExchange",
    "DirectExchange",
    "Exchange",
    "FanoutExchange",
    "HeadersExchange",
    "ModulusHashExchange",
    "RandomExchange",
    "RecentHistoryExchange",
    "SuperStreamExchange",
    "Surroundings",
    "TopicExchange",
]
