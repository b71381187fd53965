"""What exchanges have in common that send each message to one of their destinations."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from warren_broker.core.exchange.base import Binding, Exchange
from warren_broker.core.exchange.targets import Targets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warren_broker.core.destination import Destination
    from warren_broker.core.message import Header


class ChoosingExchange(Exchange):
    """Chooses among its destinations; how many bindings one has does not count."""

    __slots__ = ("_choices", "_targets")

    chooses_one: ClassVar[bool] = True
    _choices: tuple[Destination, ...] | None

    @abstractmethod
    def choose(self, choices: tuple[Destination, ...], routing_key: str) -> Destination:
        """Return one of `choices`, of which there are some, in order of their names."""

    def match(self, routing_key: str, header: Header) -> Iterable[Destination]:
        """Return one destination, if there is any."""
        if self._choices is None:
            self._choices = tuple(sorted(self._targets.all(), key=_rank))
        if not self._choices:
            return ()
        return (self.choose(self._choices, routing_key),)

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
