"""Modulus-hash exchange: the hash of the routing key numbers the destination.

RabbitMQ's exchange type of its sharding: even, and cheap, but most keys move when a
destination comes or goes. Destinations are counted in the order of their names, so
that routes are the same after a restart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

from warren_broker.core.exchange.base import Binding, Exchange
from warren_broker.core.exchange.stable_hash import stable_hash
from warren_broker.core.exchange.targets import Targets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warren_broker.core.destination import Destination
    from warren_broker.core.message import Header


@final
class ModulusHashExchange(Exchange):
    """Routes to destination number ``hash % count``; binding keys do not count."""

    __slots__ = ("_choices", "_targets")

    type: ClassVar[str] = "x-modulus-hash"
    chooses_one: ClassVar[bool] = True
    _choices: tuple[Destination, ...] | None

    def match(self, routing_key: str, header: Header) -> Iterable[Destination]:
        """Return the one destination, if there is any."""
        if self._choices is None:
            self._choices = tuple(sorted(self._targets.all(), key=_rank))
        if not self._choices:
            return ()
        return (self._choices[stable_hash(routing_key) % len(self._choices)],)

    def _create_index(self) -> None:
        self._targets = Targets()
        self._choices = None

    def _add(self, binding: Binding) -> None:
        self._targets.add(binding.destination)
        self._choices = None

    def _remove(self, binding: Binding) -> None:
        self._targets.remove(binding.destination)
        self._choices = None


def _rank(destination: Destination) -> tuple[str, str]:
    return destination.kind, destination.name
