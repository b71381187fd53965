"""The default exchange: every queue is bound to it under its own name.

AMQP 0-9-1 section 3.1.3.1. Its bindings are the queues themselves: none can be added
or taken away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, final

from warren.errors import AccessRefused
from warren_broker.core.exchange.base import Binding, Exchange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from warren_broker.core.destination import Destination
    from warren_broker.core.message import Header

_REFUSAL: Final = "operation not permitted on the default exchange"


@final
class DefaultExchange(Exchange):
    """Routes to the queue whose name the routing key is.

    ``queues`` and ``replies`` are the virtual host's own mappings, looked at anew
    for every message: its queues, and who waits for direct replies. Only the former
    count as bound.
    """

    __slots__ = ("_queues", "_replies")

    type: ClassVar[str] = "direct"
    is_default: ClassVar[bool] = True

    def __init__(
        self, queues: Mapping[str, Destination], replies: Mapping[str, Destination]
    ) -> None:
        super().__init__("", durable=True)
        self._queues: Mapping[str, Destination] = queues
        self._replies: Mapping[str, Destination] = replies

    @property
    def has_fixed_routes(self) -> bool:
        """False: its queues come and go unnoticed."""
        return False

    def match(self, routing_key: str, header: Header) -> Iterable[Destination]:
        """Return what is called ``routing_key``, if there is anything."""
        queue = self._queues.get(routing_key) or self._replies.get(routing_key)
        return () if queue is None else (queue,)

    def check_binding(self, key: str, arguments: Mapping[str, object]) -> None:
        """Raise AccessRefused, always."""
        raise AccessRefused(_REFUSAL)

    def unbind(
        self, destination: Destination, key: str, arguments: Mapping[str, object]
    ) -> Binding | None:
        """Raise AccessRefused, always."""
        raise AccessRefused(_REFUSAL)

    def bindings(self) -> Iterator[Binding]:
        """Yield the binding every queue has by its name."""
        for name, queue in self._queues.items():
            yield Binding(queue, name, {})

    @property
    def binding_count(self) -> int:
        """How many queues there are now."""
        return len(self._queues)

    def _create_index(self) -> None:
        """Do nothing: the queues are the index."""

    def _add(self, binding: Binding) -> None:
        """Do nothing: `check_binding` lets no binding come this far."""

    def _remove(self, binding: Binding) -> None:
        """Do nothing: there is no binding to remove."""
