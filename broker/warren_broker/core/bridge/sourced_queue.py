"""SourcedQueue: a queue that a stream feeds (`x-source-stream`).

Its entries are records: their sequences are offsets, and the log has them, so the store
need not. Everything else is as in any queue: who gets what, returns, limits of
deliveries, dead letters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast, final

import attrs

from warren_broker.core.bridge.source import Source
from warren_broker.core.queue import Entry, Queue
from warren_broker.core.queue.entry import SETTLED
from warren_broker.core.stream.cursor import DELIVERY_COUNT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.arguments import QueueArguments
    from warren_broker.core.message import Message
    from warren_broker.core.named_queue import Declaration
    from warren_broker.core.queue import Consumer
    from warren_broker.core.vhost import VHost

OFFSET: Final = "x-stream-offset"


@final
class SourcedEntry(Entry):
    """A record in a queue. Its sequence is the offset."""

    __slots__ = ("_usual_marks", "marks")

    def __init__(self, record: Entry, queue: SourcedQueue) -> None:
        super().__init__(record.message, queue, record.sequence)
        self.delivery_count = record.delivery_count
        self.marks: Mapping[str, object] = record.marks
        self._usual_marks = record.marks

    def mark_attempts(self) -> None:
        """Let its consumer, who is told the offset, know of former attempts."""
        self.marks = self._usual_marks
        if self.delivery_count:
            self.marks = {**self.marks, DELIVERY_COUNT: self.delivery_count}

    def mark_offset(self) -> None:
        """Let it be known to who is no consumer."""
        self.marks = {**self._usual_marks, OFFSET: self.sequence}


@final
class SourcedQueue(Queue):
    """A queue that takes what its stream has, and nothing else.

    Attributes:
        source: the stream.
    """

    __slots__ = ("source",)

    def __init__(self, vhost: VHost, declaration: Declaration) -> None:
        super().__init__(vhost, declaration)
        self.number = 0  # the store has nothing of it but how far it has come
        self.source = Source(self)

    def begin(self) -> None:
        self.source.begin()

    def apply_rules(self, rules: QueueArguments) -> None:
        """Keep to `rules`, but for limits: the source knows how much it may take."""
        super().apply_rules(attrs.evolve(rules, max_length=None, max_length_bytes=None))

    def adopt(self, number: int) -> None:
        """See `NamedQueue.adopt`; what it had it gets again."""
        self.source.doubt()

    # Taking

    def accept(self, message: Message) -> bool:
        """Refuse `message`: it would have no offset."""
        return self.is_deleted

    def take_record(self, record: Entry) -> None:
        """Take what was read of the stream. Hot: once a record."""
        entry = SourcedEntry(record, self)
        ready_at = self.times.ready_at(entry.message)
        self.times.limit_life(entry, ready_at)
        if ready_at > self.vhost.broker.now:
            self.times.delay(entry, ready_at)
        else:
            self._offer(entry)

    # Handing out

    def _deliver(self, entry: Entry, consumer: Consumer) -> None:
        self.source.on_delivered(entry.sequence)
        cast("SourcedEntry", entry).mark_attempts()
        super()._deliver(entry, consumer)
        if entry.state == SETTLED:  # nobody will ack it
            self.forget(entry)

    def hold(self, entry: Entry) -> None:
        super().hold(entry)
        self.source.on_delivered(entry.sequence)
        self.source.store()  # no consumer ends, which would have it stored
        cast("SourcedEntry", entry).mark_offset()

    def detach(self, consumer: Consumer) -> None:
        super().detach(consumer)
        if not self.is_deleted:
            self.source.store()

    # Settling

    def settle(self, entry: Entry) -> None:
        """`entry` was acked. Hot: once an ack."""
        super().settle(entry)
        self.forget(entry)

    def forget(self, entry: Entry) -> None:
        """`entry` will be needed no more, not even after a restart."""
        self.source.settle(entry.sequence)

    def _forget_waiting(self) -> None:
        for entry in [*self.backlog, *self.times.delayed()]:
            self.forget(entry)
        self.source.store()  # a purge is for good

    def close(self) -> None:
        self.source.close()
        super().close()
