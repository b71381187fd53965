"""Random exchange: one of the destinations, whatever the keys.

RabbitMQ's plugin ``rabbitmq_random_exchange``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

from warren_broker.core.exchange.choosing import ChoosingExchange

if TYPE_CHECKING:
    from warren_broker.core.destination import Destination


@final
class RandomExchange(ChoosingExchange):
    """Routes to one destination, each as likely as any other."""

    __slots__ = ()

    type: ClassVar[str] = "x-random"

    @property
    def has_fixed_routes(self) -> bool:
        """False: the next message may go elsewhere."""
        return False

    def choose(self, choices: tuple[Destination, ...], routing_key: str) -> Destination:
        """Throw the dice."""
        return self._surroundings.random.choice(choices)
