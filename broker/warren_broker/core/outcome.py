"""Outcome: what becomes of a publish, and how the slow ones are told from the quick."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from warren_broker.core.queue import Queue
from warren_broker.core.receipt import Receipt

if TYPE_CHECKING:
    from warren_broker.core.destination import Destination
    from warren_broker.core.message import Message

UNROUTED: Final = 0
ACCEPTED: Final = 1
REFUSED: Final = 2
"""A queue's overflow rule said no."""
PENDING: Final = 3
"""Not known yet; there is a receipt."""


@final
class Untaken:
    """What queues of a virtual host have not taken at once."""

    __slots__ = ("_receipts",)

    def __init__(self) -> None:
        self._receipts: list[Receipt] = []  # one at most

    def by(self, target: Destination, message: Message) -> int:
        """Return the outcome for `message`, which the only `target` has not taken."""
        return self.outcome(self.note(None, target, message))

    def note(
        self, receipt: Receipt | None, target: Destination, message: Message
    ) -> Receipt:
        """Write down that `target` has refused `message`, or lets it wait."""
        if receipt is None:
            receipt = Receipt()
        waiting = target.waiting(message) if isinstance(target, Queue) else None
        if waiting is None:
            receipt.is_refused = True
        else:
            waiting.join(receipt)
        return receipt

    def outcome(self, receipt: Receipt) -> int:
        """Return what it comes to when all targets have been asked."""
        if receipt.is_refused:
            return REFUSED
        self._receipts = [receipt]
        return PENDING

    def take_receipt(self) -> Receipt:
        """Return the receipt of the last publish, whose outcome was PENDING.

        Who takes none hears nothing; the publish goes on all the same.
        """
        return self._receipts.pop()
