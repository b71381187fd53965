"""Delayed exchange: routes by the rule of another type.

RabbitMQ's plugin ``rabbitmq_delayed_message_exchange``, where the type is what makes
the header ``x-delay`` mean anything. Here it means the same whatever the exchange
(`Schedule`), so that nothing remains to be done but to route by the rule that the
argument ``x-delayed-type`` names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, final

from warren.errors import PreconditionFailed
from warren_broker.core.arguments.exchange import parse_delayed_type
from warren_broker.core.exchange.base import Binding, Exchange
from warren_broker.core.exchange.types import ROUTING_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from warren_broker.core.destination import Destination
    from warren_broker.core.message import Header, Message

DELAYED_MESSAGE: Final = "x-delayed-message"


@final
class DelayedExchange(Exchange):
    """Routes as an exchange of another type would.

    The constructor raises PreconditionFailed for a type that is missing or unknown, and
    what the constructor of that type raises.
    """

    __slots__ = ("_rule",)

    type: ClassVar[str] = DELAYED_MESSAGE

    @property
    def chooses_one(self) -> bool:
        """As the rule has it."""
        return self._rule.chooses_one

    @property
    def has_fixed_routes(self) -> bool:
        """As the rule has it."""
        return self._rule.has_fixed_routes

    def on_message(self, message: Message) -> None:
        """Let the rule take note."""
        self._rule.on_message(message)

    def kept_messages(self) -> tuple[Message, ...]:
        """Return what the rule has kept."""
        return self._rule.kept_messages()

    def on_deleted(self) -> None:
        """Let the rule go as well."""
        self._rule.on_deleted()

    def check_binding(self, key: str, arguments: Mapping[str, object]) -> None:
        """Raise what the rule raises."""
        self._rule.check_binding(key, arguments)

    def match(self, routing_key: str, header: Header) -> Iterable[Destination]:
        """Return where the rule sends a message."""
        return self._rule.match(routing_key, header)

    def _create_index(self) -> None:
        name = parse_delayed_type(self.arguments)
        rule = ROUTING_TYPES.get(name)
        if rule is None:
            raise PreconditionFailed(f"unknown exchange type '{name}'")
        self._rule: Exchange = rule(
            self.name, arguments=self.arguments, surroundings=self._surroundings
        )

    def _add(self, binding: Binding) -> None:
        self._rule.bind(binding.destination, binding.key, binding.arguments)

    def _remove(self, binding: Binding) -> None:
        self._rule.unbind(binding.destination, binding.key, binding.arguments)
