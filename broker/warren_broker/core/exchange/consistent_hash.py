"""Consistent-hash exchange: equal keys go to one destination, and all get a share.

RabbitMQ's plugin ``rabbitmq_consistent_hash_exchange``: a binding key is a weight, and
what is hashed is the routing key, or a header, or a property. Messages without that
header or property go together. Of several bindings to one destination the oldest gives
the weight.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, ClassVar, final

from warren_broker.core.arguments.canonical import canonical
from warren_broker.core.arguments.exchange import parse_hash_source, parse_weight
from warren_broker.core.exchange.base import Binding, Exchange
from warren_broker.core.exchange.hash_ring import HashRing
from warren_broker.core.exchange.stable_hash import stable_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from warren_broker.core.destination import Destination
    from warren_broker.core.message import Header


@final
class ConsistentHashExchange(Exchange):
    """Routes to the destination whose part of a ring the hash falls into.

    The constructor raises PreconditionFailed for arguments that cannot be.
    """

    __slots__ = ("_ring", "_source", "_weights")

    type: ClassVar[str] = "x-consistent-hash"
    chooses_one: ClassVar[bool] = True

    @property
    def has_fixed_routes(self) -> bool:
        """True unless something else than the routing key is hashed."""
        return self._source.is_routing_key

    def check_binding(self, key: str, arguments: Mapping[str, object]) -> None:
        """Raise PreconditionFailed for a key that is no weight."""
        parse_weight(key)

    def match(self, routing_key: str, header: Header) -> Iterable[Destination]:
        """Return the one destination, if there is any."""
        destination = self._ring.find(stable_hash(self._text(routing_key, header)))
        return () if destination is None else (destination,)

    def _text(self, routing_key: str, header: Header) -> str:
        """Return what is hashed; empty where there is nothing."""
        source = self._source
        if source.header_name is not None:
            value = header.headers().get(source.header_name, "")
            return value if isinstance(value, str) else repr(canonical(value))
        if source.property_name is not None:
            return header.property_text(source.property_name) or ""
        return routing_key

    def _create_index(self) -> None:
        self._source = parse_hash_source(self.arguments)
        self._ring = HashRing()
        # Ordered: the oldest must be found in no time however many went before it.
        self._weights: dict[Destination, OrderedDict[Binding, int]] = {}

    def _add(self, binding: Binding) -> None:
        weights = self._weights.setdefault(binding.destination, OrderedDict())
        weights[binding] = parse_weight(binding.key)
        self._resize(binding.destination, weights)

    def _remove(self, binding: Binding) -> None:
        weights = self._weights[binding.destination]
        del weights[binding]
        if not weights:
            del self._weights[binding.destination]
        self._resize(binding.destination, weights)

    def _resize(
        self, destination: Destination, weights: OrderedDict[Binding, int]
    ) -> None:
        self._ring.resize(destination, next(iter(weights.values()), 0))
