"""Reader: one place in one stream, for one consumer.

It goes from page to page, and hands out what is chosen as long as its consumer has
room. Between two turns it waits for one of three things: room, more of the stream, or
its next turn at the pump. So whoever makes one of these true has it served.

What was handed out and is not settled is known by its offset, or is part of a loan; the
least offset of these is how far the reader has come, and may be stored: never ahead of
what was settled.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final, final

from warren.errors import ChannelError
from warren_broker.core.deadlines import DeadlineOwner
from warren_broker.core.queue.entry import READY, SETTLED, UNACKED
from warren_broker.core.queue.lending import Lender
from warren_broker.core.stream.cursor import DELIVERY_COUNT, GAP, Cursor
from warren_broker.core.stream.entry import StreamEntry
from warren_broker.core.stream.loan import LOAN_MAX, Loan
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

SERVED_MAX: Final = 1000
"""Records that one ack, of however many, has delivered at once."""

STORE_SECONDS: Final = 1.0
"""How often at most it is stored how far a reader has come."""


@final
class Reader(Lender, DeadlineOwner):
    """A reader, from `begin` or `begin_snapshot` to `close`.

    Attributes:
        out_count: entries that somebody holds.
        reference: the name under which it is stored how far it has come; None: not.
        doubt_until: what is before may have been delivered to another reader.
        is_listed: the pump has it in its line.
        is_waiting: the stream tells when there is more.
        is_begun: it is known where it is.
        is_open: it hands out records.
        is_alone: its consumer reads nothing else.
    """

    __slots__ = (
        "_choice",
        "_cursor",
        "_held",
        "_is_noted",
        "_loans",
        "_returned",
        "_usual_marks",
        "consumer",
        "doubt_until",
        "is_alone",
        "is_begun",
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
        self.is_begun = False
        self.is_open = True
        self.is_alone = True
        self._choice = choice
        self._usual_marks = marks
        self._cursor = Cursor(marks)
        self._held: set[int] = set()  # delivered as entries, and not settled
        self._loans: dict[Loan, None] = {}  # the others, in the order of offsets
        self._returned: list[StreamEntry] = []
        self._is_noted = False

    # Where it is

    @property
    def position(self) -> int:
        """The offset of the next record that it looks at."""
        return self._cursor.offset

    @property
    def settled_until(self) -> int:
        """All that it was to have before this offset is settled."""
        lent = next(iter(self._loans), None)
        least = self.position if lent is None else lent.offset
        return min(least, min(self._held, default=least))

    def begin(self, offset: int) -> None:
        """Read from `offset` on; serve it afterwards."""
        self._cursor.begin(offset)
        self.is_begun, self.is_waiting = True, False
        self.stream.offsets.begin(self.stream, self.reference, offset)

    def begin_snapshot(self) -> None:
        """Read the newest record of each key, and then what follows."""
        log = self.stream.log
        self._cursor.snapshot = Snapshot(log.end, self.vhost.broker.snapshots)
        self.begin(log.first)

    # Reading

    def dispatch(self) -> None:
        """Have it served."""
        if self.is_open and not self.is_waiting:
            self.vhost.broker.pump.add(self)

    def serve(self, count: int) -> int:
        """Take at most `count` steps; return how many: less if it has to wait."""
        consumer, cursor, done = self.consumer, self._cursor, 0
        while done < count:
            if self.is_waiting or not self.is_open:
                if not self.is_alone:
                    self.subscription.serve_blocked()
                return done
            if not consumer.has_room():
                consumer.wait_for_window()
                if not self.is_alone:
                    self.subscription.blocked[self] = None
                return done
            if self._returned:
                self._deliver_again(heapq.heappop(self._returned))
            elif cursor.snapshot is not None:
                self._read_for_snapshot(cursor.snapshot)
            elif cursor.index < len(cursor.records):
                done += self._deliver_next(count - done)
                continue
            else:
                self.is_waiting = not cursor.turn(self)
            done += 1
        return done

    def take(self, page: Page) -> None:
        """Read `page`, which tells about the next offset, from there on."""
        self._cursor.take(page)

    def _read_for_snapshot(self, snapshot: Snapshot) -> None:
        try:
            self.is_waiting = not self._cursor.read_for_snapshot(snapshot, self)
        except ChannelError as error:
            self.is_open = False
            self.consumer.fail(error)

    def _deliver_next(self, most: int) -> int:
        """Hand out the next record, or at most so many; return how many steps it was.

        Hot: once a delivery, or a loan.
        """
        cursor, consumer = self._cursor, self.consumer
        index, page = cursor.index, cursor.page
        record = cursor.records[index]
        if (
            page is not None
            and self._choice is None
            and cursor.is_in_order
            and not cursor.gap
            and record.offset >= self.doubt_until
        ):
            count = min(most, LOAN_MAX, len(page.records) - index, consumer.room())
            loan = Loan(self, page, index, index + count, cursor.marks)
            held = consumer.deliver_loan(loan)
            if held is not None:
                if not consumer.no_ack:
                    self._loans[held] = None
                cursor.index = loan.stop
                return self._count_out(loan.stop - index)
        cursor.index = index + 1
        if self._choice is None or self._choice.passes(record):
            self._deliver(record)
        return 1

    def _count_out(self, count: int) -> int:
        """`count` more are handed out."""
        consumer = self.consumer
        self.vhost.broker.work += count
        if not consumer.no_ack:
            self.out_count += count
            consumer.unacked += count
            consumer.window.unacked += count
        elif not self._is_noted:
            self._note()
        return count

    def _deliver(self, record: Record) -> None:
        """Hand out `record` as an entry. Hot: once a delivery."""
        cursor = self._cursor
        entry = StreamEntry(record.message, self, record.offset, cursor.marks)
        if cursor.gap:
            entry.marks = {**self._usual_marks, GAP: cursor.gap}
            cursor.gap = 0
        if entry.sequence < self.doubt_until:
            entry.delivery_count = 1
        self._lend(entry)

    def _deliver_again(self, entry: StreamEntry) -> None:
        if entry.state != SETTLED:  # late, while it waited
            entry.marks = {**entry.marks, DELIVERY_COUNT: entry.delivery_count}
            entry.state = UNACKED
            self._lend(entry)

    def _lend(self, entry: StreamEntry) -> None:
        consumer = self.consumer
        if consumer.no_ack:
            entry.state = SETTLED
        else:
            self._held.add(entry.sequence)
            entry.consumer = consumer
            entry.delivered_at = self.vhost.broker.now
        self._count_out(1)
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
        self._use_room(1)

    def _use_room(self, count: int) -> None:
        """There is room for `count` more, and mostly it waited for nothing else."""
        if self.is_listed or self.is_waiting:
            return
        if self.serve(count) == count and self.consumer.has_room():
            self.vhost.broker.pump.add(self)

    def settle_loan(self, loan: Loan, count: int) -> None:
        """The first `count` of `loan` were acked, and are no longer part of it."""
        if loan.start == loan.stop:
            del self._loans[loan]
        if not self._is_noted:
            self._note()
        consumer, window = self.consumer, self.consumer.window
        self.out_count -= count
        consumer.unacked -= count
        window.unacked -= count
        self._leave_if_over()
        if window.waiting:
            window.reopen()
        if not self.is_alone:
            self.subscription.serve_blocked()
        elif self.is_open:
            self._use_room(min(count, SERVED_MAX))

    def break_up(self, loan: Loan) -> list[StreamEntry]:
        """Return an entry for each record of `loan`, which is no loan any more.

        Who did not settle in order may well do so again: it gets entries until the
        page ends.
        """
        del self._loans[loan]
        self._cursor.is_in_order = False
        entries = loan.entries(self.vhost.broker.now)
        self._held.update(entry.sequence for entry in entries)
        return entries

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
        self._leave_if_over()

    def _leave_if_over(self) -> None:
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
        self._cursor.leave()
        for loan in self._loans:
            loan.leave_page()
        self.vhost.broker.pump.remove(self)
        self.stream.forget(self)
        self._returned.clear()
        self._store()
        return not self.out_count

    def retire(self) -> None:
        """Somebody else goes on where it was: what is still settled counts no more."""
        self.reference = None
        self.vhost.broker.deadlines.cancel(self)
