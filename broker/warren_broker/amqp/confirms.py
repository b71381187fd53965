"""ConfirmLedger: which of a channel's publishes are answered (publisher confirms).

Publishes count from 1 (RabbitMQ's extension to AMQP 0-9-1). What is safe is
confirmed once a batch of input, all of it by one cumulative ack.

A publish whose fate is not known yet is pending, and nothing cumulative may cover it:
what comes before the first pending one is answered in runs, what comes after it one
by one. So every number that is named is outstanding, and is never answered again.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, final

from warren.wire.methods import BasicAck, BasicNack
from warren_broker.core.deadlines import DeadlineOwner
from warren_broker.core.receipt import ReceiptHolder

if TYPE_CHECKING:
    from warren_broker.amqp.promises import SafeOutput
    from warren_broker.core.broker import Broker
    from warren_broker.core.receipt import Receipt


@final
class ConfirmLedger(ReceiptHolder, DeadlineOwner):
    """The publish sequence of one channel and how far it is confirmed.

    Attributes:
        published: sequence number of the last publish.
        confirmed: sequence number up to which the publisher has its answers, but for
            what is pending; what was published after it is safe.
    """

    __slots__ = (
        "_broker",
        "_channel",
        "_known",
        "_output",
        "_pending",
        "confirmed",
        "published",
    )

    def __init__(self, channel: int, output: SafeOutput, broker: Broker) -> None:
        self._channel = channel
        self._output = output
        self._broker = broker
        self.confirmed = 0
        self.published = 0
        self._pending: dict[int, Receipt] = {}  # by number, which only grows
        self._known: dict[int, bool] = {}  # was pending and is to be answered

    def refuse(self) -> None:
        """A queue refused the next publish: confirm those before it, nack it."""
        self.flush()
        self._count()
        self._answer(self.published, taken=False, multiple=False)

    def refuse_now(self) -> None:
        """The next publish is not taken, which is true whatever the store has yet."""
        self.flush()
        self._count()
        nack = BasicNack(self.published, multiple=False, requeue=False)
        self._output.send_now(self._channel, nack)

    def wait(self, receipt: Receipt) -> None:
        """The next publish is answered when its fate is known."""
        self.flush()
        self._count()
        self._pending[self.published] = receipt
        receipt.give_to(self, self.published)

    def on_fate(self, tag: int, *, taken: bool) -> None:
        """Take a note for the next flush, which comes with a turn of its own."""
        del self._pending[tag]
        self._known[tag] = taken
        self._broker.deadlines.set(self, self._broker.now)

    def on_deadline(self, now: float) -> None:
        """Answer what has become known."""
        self.flush()

    def flush(self) -> None:
        """Confirm everything that is not answered yet, with one frame if possible.

        Hot: once a batch.
        """
        if self._pending or self._known:
            self._flush_around()
            return
        count = self.published - self.confirmed
        if count:
            self.confirmed = self.published
            ack = BasicAck(self.published, multiple=count > 1)
            self._output.send(self._channel, ack)

    def close(self) -> None:
        """The channel ends: confirm what is safe; of the rest nobody will hear."""
        self.flush()
        self._broker.deadlines.cancel(self)
        for receipt in self._pending.values():
            receipt.drop()
        self._pending.clear()

    def _flush_around(self) -> None:
        """Answer what is known, and cover nothing that is pending."""
        known, self._known = self._known, {}
        known.update(dict.fromkeys(range(self.confirmed + 1, self.published + 1), True))
        self.confirmed = self.published
        tags = sorted(known)
        first_pending = next(iter(self._pending), self.published + 1)
        before = [tag for tag in tags if tag < first_pending]
        for taken, run in groupby(before, known.__getitem__):
            numbers = list(run)
            self._answer(numbers[-1], taken=taken, multiple=len(numbers) > 1)
        for tag in tags[len(before) :]:
            self._answer(tag, taken=known[tag], multiple=False)

    def _count(self) -> None:
        """One more publish, which no cumulative ack of those before it covers."""
        self.published += 1
        self.confirmed = self.published

    def _answer(self, tag: int, *, taken: bool, multiple: bool) -> None:
        method = (
            BasicAck(tag, multiple=multiple)
            if taken
            else BasicNack(tag, multiple=multiple, requeue=False)
        )
        self._output.send(self._channel, method, is_late=True)
