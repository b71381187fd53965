"""Topic exchange: the routing key's words match a pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

from warren_broker.core.exchange.base import Binding, Exchange
from warren_broker.core.exchange.topic_matcher import TopicMatcher

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warren_broker.core.destination import Destination
    from warren_broker.core.message import Header


@final
class TopicExchange(Exchange):
    """Routes by binding keys with ``*`` for one word and ``#`` for any number."""

    __slots__ = ("_matcher",)

    type: ClassVar[str] = "topic"

    def match(self, routing_key: str, header: Header) -> Iterable[Destination]:
        """Return the destinations of all patterns that match; may repeat."""
        return self._matcher.match(routing_key)

    def _create_index(self) -> None:
        self._matcher = TopicMatcher()

    def _add(self, binding: Binding) -> None:
        self._matcher.add(binding.key, binding.destination)

    def _remove(self, binding: Binding) -> None:
        self._matcher.remove(binding.key, binding.destination)
