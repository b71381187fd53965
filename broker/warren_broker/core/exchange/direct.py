"""Direct exchange: the routing key equals the binding key."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

from warren_broker.core.exchange.base import Binding, Exchange
from warren_broker.core.exchange.targets import Targets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warren_broker.core.destination import Destination
    from warren_broker.core.message import Header


@final
class DirectExchange(Exchange):
    """Routes to every destination bound under the message's own key."""

    __slots__ = ("_targets",)

    type: ClassVar[str] = "direct"

    def match(self, routing_key: str, header: Header) -> Iterable[Destination]:
        """Return the destinations bound under ``routing_key``."""
        targets = self._targets.get(routing_key)
        return () if targets is None else targets.all()

    def _create_index(self) -> None:
        self._targets: dict[str, Targets] = {}

    def _add(self, binding: Binding) -> None:
        targets = self._targets.get(binding.key)
        if targets is None:
            targets = self._targets[binding.key] = Targets()
        targets.add(binding.destination)

    def _remove(self, binding: Binding) -> None:
        targets = self._targets[binding.key]
        targets.remove(binding.destination)
        if targets.is_empty:
            del self._targets[binding.key]
