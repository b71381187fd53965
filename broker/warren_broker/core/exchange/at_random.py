"""Random exchange: one of the destinations, whatever the keys.

RabbitMQ's plugin ``rabbitmq_random_exchange``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

from warren_broker.core.exchange.base import Binding, Exchange
from warren_broker.core.exchange.targets import Targets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warren_broker.core.destination import Destination
    from warren_broker.core.message import Header


@final
class RandomExchange(Exchange):
    """Routes to one destination, each as likely as any other.

    How many bindings lead to a destination does not count.
    """

    __slots__ = ("_choices", "_targets")

    type: ClassVar[str] = "x-random"
    chooses_one: ClassVar[bool] = True
    _choices: tuple[Destination, ...] | None

    @property
    def has_fixed_routes(self) -> bool:
        """False: the next message may go elsewhere."""
        return False

    def match(self, routing_key: str, header: Header) -> Iterable[Destination]:
        """Return one destination, if there is any."""
        if self._choices is None:
            self._choices = tuple(self._targets.all())
        if not self._choices:
            return ()
        return (self._surroundings.random.choice(self._choices),)

    def _create_index(self) -> None:
        self._targets = Targets()
        self._choices = None

    def _add(self, binding: Binding) -> None:
        self._targets.add(binding.destination)
        self._choices = None

    def _remove(self, binding: Binding) -> None:
        self._targets.remove(binding.destination)
        self._choices = None
