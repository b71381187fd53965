"""Publishes: sees what clients publish, remembers it, and may answer otherwise.

What was remembered longest is forgotten first, so that a test that publishes for hours
does not fill the memory.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, final

from warren_broker.core.outcome import ACCEPTED, PENDING, REFUSED, UNROUTED
from warren_broker.core.receipt import Receipt
from warren_broker.core.tap import Tap
from warren_broker.testing.values import PublishedMessage

if TYPE_CHECKING:
    from warren_broker.core.message import Message
    from warren_broker.core.vhost import VHost

PUBLISHED_MAX: Final = 10_000
PUBLISHED_MAX_BYTES: Final = 64 << 20

_WORDS: Final = {
    ACCEPTED: "accepted",
    PENDING: "pending",
    REFUSED: "refused",
    UNROUTED: "unrouted",
}


@final
class Publishes(Tap):
    """What was published, and what is to go wrong with what will be.

    Attributes:
        seen: virtual host, message and outcome of each.
    """

    __slots__ = ("_doomed", "_is_withholding", "_size_bytes", "_withheld", "seen")

    def __init__(self) -> None:
        self.seen: deque[tuple[str, Message, int]] = deque()
        self._size_bytes = 0
        self._doomed: dict[str | None, int] = {}
        self._withheld: list[Receipt] = []
        self._is_withholding = False

    def refuse(self, count: int, exchange: str | None) -> None:
        """Refuse the next `count` publishes, to `exchange` or to any."""
        self._doomed[exchange] = self._doomed.get(exchange, 0) + count

    def withhold(self) -> None:
        """Let nothing be confirmed that queues take, until `release`.

        A transaction is all or nothing, at once: its commit is answered.
        """
        self._is_withholding = True

    def release(self) -> None:
        """Let what was withheld be confirmed. Take a turn for it."""
        self._is_withholding = False
        withheld, self._withheld = self._withheld, []
        for receipt in withheld:
            receipt.answer(taken=True)

    def publish(self, vhost: VHost, message: Message) -> int:
        if self._doomed and self._is_doomed(message.route.exchange):
            outcome = REFUSED
        else:
            outcome = vhost.publish(message)
        self._remember(vhost.name, message, outcome)
        is_kept_back = self._is_withholding and not vhost.is_committing
        if is_kept_back and outcome in {ACCEPTED, PENDING}:
            return self._withhold(vhost, outcome)
        return outcome

    def _is_doomed(self, exchange: str) -> bool:
        for which in (exchange, None):
            left = self._doomed.pop(which, 0)
            if left > 1:
                self._doomed[which] = left - 1
            if left:
                return True
        return False

    def _withhold(self, vhost: VHost, outcome: int) -> int:
        """Let one more question be open about the last publish."""
        receipt = vhost.untaken.take_receipt() if outcome == PENDING else Receipt()
        receipt.expect()
        self._withheld.append(receipt)
        return vhost.untaken.outcome(receipt)

    def _remember(self, vhost: str, message: Message, outcome: int) -> None:
        self.seen.append((vhost, message, outcome))
        self._size_bytes += message.size_bytes
        while len(self.seen) > PUBLISHED_MAX or self._size_bytes > PUBLISHED_MAX_BYTES:
            self._size_bytes -= self.seen.popleft()[1].size_bytes


def published_message(vhost: str, message: Message, outcome: int) -> PublishedMessage:
    """Return a publish as tests see it."""
    return PublishedMessage(
        exchange=message.route.exchange,
        routing_key=message.route.routing_key,
        body=message.body,
        header=message.header.payload,
        vhost=vhost,
        outcome=_WORDS[outcome],
    )
