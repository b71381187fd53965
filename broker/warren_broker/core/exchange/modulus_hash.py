"""Modulus-hash exchange: the hash of the routing key numbers the destination.

RabbitMQ's exchange type of its sharding: even, and cheap, but most keys move when a
destination comes or goes. Destinations are counted in the order of their names, so
that routes are the same after a restart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

from warren_broker.core.exchange.choosing import ChoosingExchange
from warren_broker.core.exchange.stable_hash import stable_hash

if TYPE_CHECKING:
    from warren_broker.core.destination import Destination


@final
class ModulusHashExchange(ChoosingExchange):
    """Routes to destination number ``hash % count``; binding keys do not count."""

    __slots__ = ()

    type: ClassVar[str] = "x-modulus-hash"

    def choose(self, choices: tuple[Destination, ...], routing_key: str) -> Destination:
        """Number the destination."""
        return choices[stable_hash(routing_key) % len(choices)]
