"""WaitingCommit: a tx.commit of which some message waits for room in a full queue.

tx.commit-ok says that every message of the transaction is in its queues, so it waits
as long as they do. So do the settlements, which come after the publishes: if one is
given up, the commit fails as it does with a queue that refuses, and nothing is settled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from warren_broker.core.deadlines import DeadlineOwner
from warren_broker.core.receipt import ReceiptHolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from warren_broker.amqp.transactions import Transaction
    from warren_broker.core.broker import Broker
    from warren_broker.core.receipt import Receipt


@final
class WaitingCommit(ReceiptHolder, DeadlineOwner):
    """The receipts that a transaction waits for."""

    __slots__ = ("_broker", "_is_refused", "_receipts", "_transaction")

    def __init__(
        self, transaction: Transaction, broker: Broker, receipts: Sequence[Receipt]
    ) -> None:
        self._transaction = transaction
        self._broker = broker
        self._is_refused = False
        self._receipts = dict(enumerate(receipts))
        for tag, receipt in enumerate(receipts):
            receipt.give_to(self, tag)

    def on_fate(self, tag: int, *, taken: bool) -> None:
        """Count it; with the last one, or the first that fails, the wait is over."""
        del self._receipts[tag]
        self._is_refused = self._is_refused or not taken
        if self._is_refused or not self._receipts:
            self._broker.deadlines.set(self, self._broker.now)

    def on_deadline(self, now: float) -> None:
        """Finish the commit, in a turn of its own."""
        self._transaction.finish(taken=not self._is_refused)

    def close(self) -> None:
        """Wait no longer."""
        self._broker.deadlines.cancel(self)
        for receipt in self._receipts.values():
            receipt.drop()
        self._receipts.clear()
