"""Recent-history exchange: a fanout that tells newcomers what was said last.

RabbitMQ's plugin ``rabbitmq_recent_history_exchange``. Every message is kept, routed or
not, unless its header ``x-recent-history-no-store`` is true. Whatever is bound gets
the kept messages at once, oldest first, with every new binding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, final

from warren_broker.core.arguments.exchange import parse_history_length
from warren_broker.core.exchange.base import Binding, Exchange
from warren_broker.core.exchange.history import History
from warren_broker.core.exchange.targets import Targets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warren_broker.core.destination import Destination
    from warren_broker.core.message import Header, Message

NO_STORE: Final = "x-recent-history-no-store"


@final
class RecentHistoryExchange(Exchange):
    """Routes to every destination, and keeps the last messages.

    The constructor raises PreconditionFailed for a length that cannot be.
    """

    __slots__ = ("_history", "_targets")

    type: ClassVar[str] = "x-recent-history"

    @property
    def has_fixed_routes(self) -> bool:
        """False: a kept route would let messages pass by unseen."""
        return False

    def match(self, routing_key: str, header: Header) -> Iterable[Destination]:
        """Return all destinations."""
        return self._targets.all()

    def on_message(self, message: Message) -> None:
        """Keep ``message``, unless it says not to."""
        if message.header.headers().get(NO_STORE) is not True:
            self._history.add(message)

    def kept_messages(self) -> tuple[Message, ...]:
        """Return the history, oldest first."""
        return self._history.messages()

    def on_deleted(self) -> None:
        """Let go of the history."""
        self._history.clear()

    def _create_index(self) -> None:
        length_max = parse_history_length(self.arguments)
        self._history = History(self._surroundings.history_budget, length_max)
        self._targets = Targets()

    def _add(self, binding: Binding) -> None:
        self._targets.add(binding.destination)

    def _remove(self, binding: Binding) -> None:
        self._targets.remove(binding.destination)
