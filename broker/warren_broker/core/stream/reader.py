"""Reader: one place in one stream, for one consumer.

It goes from page to page, and hands out what is chosen as long as its consumer has
room. Between two turns it waits for one of three things: room, more of the stream, or
its next turn at the pump. So whoever makes one of these true has it served.

What was handed out and is not settled is known by its offset; the least of these is how
far the reader has come, and may be stored: never ahead of what was settled.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from typing import TYPE_CHECKING, Final, final

from warren.errors import ChannelError
from warren_broker.core.deadlines import DeadlineOwner
from warren_broker.core.queue.entry import READY, SETTLED, UNACKED
from warren_broker.core.queue.lending import Lender
from warren_broker.core.stream.entry import StreamEntry
from warren_broker.core.stream.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.lease import LeaseTerms
    from warren_broker.core.queue import Entry
    from warren_broker.core.stream.choice import Choice
    from warren_broker.core.stream.consumer import RecordConsumer
    from warren_broker.core.stream.record import Page, Record
    from warren_broker.core.stream.stream import Stream
    from warren_broker.core.stream.subscription import Subscription
    from warren_broker.core.vhost import VHost

STORE_SECONDS: Final = 1.0
"""How often at most it is stored how far a reader has come."""

GAP: Final = "x-stream-gap"
SNAPSHOT: Final = "x-snapshot"
DELIVERY_COUNT: Final = "x-delivery-count"


@final
class Reader(Lender, DeadlineOwner):
    """A reader, from `begin` or `begin_snapshot` to `close`.

    Attributes:
        out_count: entries that somebody holds.
        reference: the name under which it is stored how far it has come; None: not.
        doubt_until: what is before may have been delivered to another reader.
        is_listed: the pump has it in its line.
        is_waiting: the stream tells when there is more.
        is_open: it hands out records.
        is_alone: its consumer reads nothing else.
    """

    __slots__ = (
        "_begun_at",
        "_choice",
        "_first_marks",
        "_held",
        "_index",
        "_is_noted",
        "_marks",
        "_next",
        "_records",
        "_returned",
        "_snapshot",
        "_usual_marks",
        "consumer",
        "doubt_until",
        "is_alone",
        "is_listed",
        "is_open",
        "is_waiting",
        "lease",
        "out_count",
        "reference",
        "stream",
        "subscription",
        "vhost",
    )

    def __init__(
        self,
        stream: Stream,
        subscription: Subscription,
        consumer: RecordConsumer,
        *,
        reference: str | None,
        choice: Choice | None,
        marks: Mapping[str, object],
    ) -> None:
        """`marks` are the headers that each delivery has besides."""
        self.stream = stream
        self.vhost: VHost = stream.vhost
        self.lease: LeaseTerms = stream.lease
        self.subscription = subscription
        self.consumer = consumer
        self.reference = reference
        self.out_count = 0
        self.doubt_until = 0
        self.is_listed = False
        self.is_waiting = True
        self.is_open = True
        self.is_alone = True
        self._choice = choice
        self._usual_marks = self._marks = marks
        self._first_marks: Mapping[str, object] | None = None
        self._begun_at = 0
        self._records: list[Record] = []
        self._index = 0
        self._next = 0  # the first offset that `_records` do not tell about
        self._snapshot: Snapshot | None = None
        self._held: set[int] = set()  # delivered, and not settled
        self._returned: list[StreamEntry] = []
        self._is_noted = False

    # Where it is

    @property
    def position(self) -> int:
        """The offset of the next record that it looks at."""
        if self._snapshot is not None:
            return self._begun_at
        if self._index < len(self._records):
            return self._records[self._index].offset
        return self._next

    @property
    def settled_until(self) -> int:
        """All that it was to have before this offset is settled."""
        return min(self._held, default=self.position)

    def begin(self, offset: int) -> None:
        """Read from `offset` on; serve it afterwards."""
        self._begun_at = self._next = offset
        self.is_waiting = False
        if self.stream.offsets.get(self.reference) is None:
            self._note()

    def begin_snapshot(self) -> None:
        """Read the newest record of each key, and then what follows."""
        log = self.stream.log
        self._snapshot = Snapshot(log.end, self.vhost.broker.limits)
        self.begin(log.first)

    # Reading

    def dispatch(self) -> None:
        """Have it served."""
        if self.is_open and not self.is_waiting:
            self.vhost.broker.pump.add(self)

    def serve(self, count: int) -> int:
        """Take at most `count` steps; return how many: less if it has to wait."""
        consumer = self.consumer
        for step in range(count):
            if self.is_waiting or not self.is_open:
                if not self.is_alone:
                    self.subscription.serve_blocked()
                return step
            if not consumer.has_room():
                consumer.wait_for_window()
                if not self.is_alone:
                    self.subscription.blocked[self] = None
                return step
            if self._returned:
                self._deliver_again(heapq.heappop(self._returned))
            elif self._snapshot is not None:
                self._read_for_snapshot(self._snapshot)
            elif self._index < len(self._records):
                record = self._records[self._index]
                self._index += 1
                if self._choice is None or self._choice.passes(record):
                    self._deliver(record)
            else:
                self._marks = self._usual_marks
                self._turn_page()
        return count

    def take(self, page: Page) -> None:
        """Read `page`, which tells about the next offset, from there on."""
        self._records = page.records
        self._index = 0
        if page.start < self._next:
            self._index = bisect_left(page.records, self._next, key=_offset)
        self._next = page.end

    def _turn_page(self) -> None:
        """Go on with the page that is next, or wait for it."""
        stream, log = self.stream, self.stream.log
        if self._next < log.first:
            self._jump(log.first)
        if self._next >= log.end:
            self.is_waiting = True
            stream.wait_at_end(self)
            return
        page = stream.page_with(self._next, self)
        if page is None:
            self.is_waiting = True
        else:
            self.take(page)

    def _jump(self, first: int) -> None:
        """What it was to read next is gone: go on with the oldest that is left."""
        missed = first - self._next
        self._first_marks = {**self._usual_marks, GAP: missed}
        self._next = first
        self.stream.note_gap(self.consumer.tag, missed)

    def _read_for_snapshot(self, snapshot: Snapshot) -> None:
        """Read one more page, or deliver the snapshot if all is read."""
        if self._next < snapshot.end and self._index == len(self._records):
            self._next = max(self._next, self.stream.log.first)
        if self._index < len(self._records):
            records, self._index = self._records[self._index :], len(self._records)
            try:
                snapshot.add(records)
            except ChannelError as error:
                self.is_open = False
                self.consumer.fail(error)
        elif self._next < snapshot.end:
            self._turn_page()
        else:
            self._snapshot = None
            self._records, self._index = snapshot.records(), 0
            self._next = snapshot.end
            self._marks = {**self._usual_marks, SNAPSHOT: True}

    def _deliver(self, record: Record) -> None:
        """Hand out `record`. Hot: once a delivery."""
        offset = record.offset
        entry = StreamEntry(record.message, self, offset, self._marks)
        consumer = self.consumer
        if self._first_marks or offset < self.doubt_until or consumer.no_ack:
            self._deliver_first(entry)
            return
        broker = self.vhost.broker
        broker.work += 1
        self._held.add(offset)
        self.out_count += 1
        entry.consumer = consumer
        entry.delivered_at = broker.now
        consumer.unacked += 1
        consumer.window.unacked += 1
        consumer.deliver(entry)

    def _deliver_first(self, entry: StreamEntry) -> None:
        """Hand out a record that may differ in more than its offset."""
        if self._first_marks is not None:
            entry.marks, self._first_marks = self._first_marks, None
        if entry.sequence < self.doubt_until:
            entry.delivery_count = 1
        self._lend(entry)

    def _deliver_again(self, entry: StreamEntry) -> None:
        if entry.state != SETTLED:  # late, while it waited
            entry.marks = {**self._usual_marks, DELIVERY_COUNT: entry.delivery_count}
            entry.state = UNACKED
            self._lend(entry)

    def _lend(self, entry: StreamEntry) -> None:
        consumer, broker = self.consumer, self.vhost.broker
        broker.work += 1
        if consumer.no_ack:
            entry.state = SETTLED
            if not self._is_noted:
                self._note()
        else:
            self._held.add(entry.sequence)
            self.out_count += 1
            entry.consumer = consumer
            entry.delivered_at = broker.now
            consumer.unacked += 1
            consumer.window.unacked += 1
        consumer.deliver(entry)

    # Settling

    def settle(self, entry: Entry) -> None:
        """`entry` was acked: use the room that its consumer got. Hot: once an ack."""
        entry.state = SETTLED
        self._held.discard(entry.sequence)
        if not self._is_noted:
            self._note()
        consumer, window = self.consumer, self.consumer.window
        if entry.consumer is None or not (self.is_open and self.is_alone):
            self._settle_shared(entry)
            return
        entry.consumer = None
        self.out_count -= 1
        consumer.unacked -= 1
        window.unacked -= 1
        if window.waiting:
            window.reopen()
        if self.is_listed or self.is_waiting:
            return
        index, records = self._index, self._records
        if index < len(records) and not (
            self._choice or self._snapshot or self._returned
        ):
            if consumer.has_room():  # for one: it waited for nothing else
                self._index = index + 1
                self._deliver(records[index])
        elif self.serve(1) and consumer.has_room():
            self.vhost.broker.pump.add(self)

    def _settle_shared(self, entry: Entry) -> None:
        """The same for a consumer that has several readers, or none any more."""
        self._release(entry)
        window = self.consumer.window
        if window.waiting:
            window.reopen()
        if not self.is_alone:
            self.subscription.serve_blocked()

    def settle_late(self, entry: Entry) -> None:
        """`entry` was acked after its time: spare the reader what still waits."""
        if entry.state == READY:
            entry.state = SETTLED
            self._held.discard(entry.sequence)
            self._note()

    def reject(self, entry: Entry, reason: str = "rejected") -> None:
        """`entry` was refused for good: there is nothing else to do with a record."""
        self.settle(entry)

    def take_back(self, entry: Entry, *, failed: bool) -> None:
        """`entry` comes again, before what follows; its offset stays unsettled."""
        entry.delivery_count += 1
        entry.state = READY
        if self.is_open and isinstance(entry, StreamEntry):
            heapq.heappush(self._returned, entry)
            self.is_waiting = False
            self.stream.forget(self)
        self._release(entry)

    def on_timeout(self) -> None:
        """It comes again; see `take_back`."""

    def hold(self, entry: Entry) -> None:
        """See `Lender.hold`."""
        entry.state = UNACKED
        entry.delivered_at = self.vhost.broker.now
        self._held.add(entry.sequence)
        self.out_count += 1

    def _release(self, entry: Entry) -> None:
        """Nobody holds `entry` any more."""
        self.out_count -= 1
        consumer = entry.consumer
        if consumer is not None:
            entry.consumer = None
            consumer.unacked -= 1
            consumer.window.unacked -= 1
        if not self.is_open and not self.out_count:
            self._store()
            self.subscription.on_left(self)

    # How far it has come

    def on_deadline(self, now: float) -> None:
        """Store how far it has come."""
        self._store()

    def _note(self) -> None:
        """Something was settled: that is to be stored, but not each time."""
        self._is_noted = True
        if self.reference is not None:
            broker = self.vhost.broker
            broker.deadlines.set(self, broker.now + STORE_SECONDS)

    def _store(self) -> None:
        if self._is_noted and self.reference is not None:
            self.stream.offsets.put(self.stream, self.reference, self.settled_until)
        self._is_noted = False
        self.vhost.broker.deadlines.cancel(self)

    # The end

    def close(self) -> bool:
        """Hand out nothing more, keep no page. Return whether nothing of it is out."""
        self.is_open = False
        self._next, self._records, self._snapshot = self.position, [], None
        self.vhost.broker.pump.remove(self)
        self.stream.forget(self)
        self._returned.clear()
        self._store()
        return not self.out_count

    def retire(self) -> None:
        """Somebody else goes on where it was: what is still settled counts no more."""
        self.reference = None
        self.vhost.broker.deadlines.cancel(self)


def _offset(record: Record) -> int:
    return record.offset
