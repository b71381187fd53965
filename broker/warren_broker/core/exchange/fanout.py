"""Fanout exchange: every binding matches."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from warren_broker.core.exchange.base import Binding, Exchange
from warren_broker.core.exchange.targets import Targets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warren_broker.core.destination import Destination
    from warren_broker.core.message import Header


class FanoutExchange(Exchange):
    """Routes to every destination bound to it, whatever the keys."""

    __slots__ = ("_targets",)

    type: ClassVar[str] = "fanout"

    def match(self, routing_key: str, header: Header) -> Iterable[Destination]:
        """Return all destinations."""
        return self._targets.all()

    def _create_index(self) -> None:
        self._targets = Targets()

    def _add(self, binding: Binding) -> None:
        self._targets.add(binding.destination)

    def _remove(self, binding: Binding) -> None:
        self._targets.remove(binding.destination)
