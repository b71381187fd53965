"""Dispatcher: hands the ready entries of a queue to consumers, and settles them.

Between two turns there is never a ready entry while a consumer has room for it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from warren.errors import AccessRefused, ResourceLocked
from warren_broker.core.named_queue import NamedQueue
from warren_broker.core.queue.backlog import backlog_for
from warren_broker.core.queue.entry import DELAYED, READY, SETTLED, UNACKED
from warren_broker.core.queue.lending import Consumable, Lender
from warren_broker.core.queue.roster import Roster

if TYPE_CHECKING:
    from warren_broker.core.arguments import QueueArguments
    from warren_broker.core.lease import LeaseTerms
    from warren_broker.core.message import Message
    from warren_broker.core.named_queue import Declaration
    from warren_broker.core.queue.backlog import Backlog
    from warren_broker.core.queue.consumer import Consumer
    from warren_broker.core.queue.entry import Entry
    from warren_broker.core.queue.packing import Packed
    from warren_broker.core.queue.times import QueueTimes
    from warren_broker.core.vhost import VHost


class Dispatcher(NamedQueue, Lender, Consumable):
    """The part of a queue that deals with consumers.

    Attributes:
        backlog: what is ready.  roster: who may get it.
        times: what is due when; the subclass sets it.
        unacked_count: entries that somebody holds.
        lease: on which terms basic.get and new consumers get entries; the subclass
            sets it.
        ack_timeout_count: entries that were held longer, and taken back.
        late_ack_count: acks that came after the ack timeout had given the entry on.
        unreadable: entries that a disk did not give back. Those that the store has are
            kept there, for another start to try.
    """

    __slots__ = (
        "ack_timeout_count",
        "backlog",
        "late_ack_count",
        "lease",
        "roster",
        "times",
        "unacked_count",
        "unreadable",
    )

    lease: LeaseTerms
    times: QueueTimes

    def __init__(self, vhost: VHost, declaration: Declaration) -> None:
        super().__init__(vhost, declaration)
        self.roster = Roster(single_active=self.rules.single_active_consumer)
        self.backlog = self._make_backlog(self.rules)
        self.unacked_count = 0
        self.ack_timeout_count = 0
        self.late_ack_count = 0
        self.unreadable: list[Packed] = []

    @property
    def ready_count(self) -> int:
        return self.backlog.count

    @property
    def content_count(self) -> int:
        return self.backlog.count + self.times.delayed_count

    @property
    def consumer_count(self) -> int:
        return len(self.roster)

    def touch(self) -> None:
        self.times.touch()

    def _make_backlog(self, rules: QueueArguments) -> Backlog:
        """Return the empty backlog that such rules need."""
        return backlog_for(rules)

    @abstractmethod
    def dead_letter(self, message: Message, reason: str) -> None:
        """Send `message` to the dead letter exchange; drop it when there is none."""

    @abstractmethod
    def trim(self) -> None:
        """Keep the limits, after entries have come or the limits have changed."""

    # Consuming

    def attach(self, consumer: Consumer) -> None:
        """Let `consumer` have entries from now on.

        Raises:
            AccessRefused: somebody has the queue for itself, or `consumer` wants it
                for itself and is not alone (or the queue has a single active one).
        """
        if self.roster.exclusive is not None or (
            consumer.exclusive
            and (len(self.roster) or self.rules.single_active_consumer)
        ):
            raise AccessRefused(f"{self} in exclusive use")
        self.roster.add(consumer)
        self.times.touch()

    def expect(self, consumer: Consumer) -> None:
        self.roster.list(consumer)

    def resume(self, consumer: Consumer) -> None:
        """Count on `consumer` again: it may have room."""
        self.roster.list(consumer)
        self.dispatch()

    def dispatch(self) -> None:
        """Hand ready entries to consumers until one side runs out."""
        backlog, roster = self.backlog, self.roster
        while backlog.count and (consumer := roster.next_ready()) is not None:
            entry = backlog.pop()
            if entry.expires_at is not None and self._is_expired(entry):
                self.bury(entry, "expired")
            else:
                self._deliver(entry, consumer)

    def take_one(self) -> Entry | None:
        """Take the next entry for basic.get; None when nothing is ready.

        It counts as unacked until it is settled.

        Raises:
            ResourceLocked: the queue has a single active consumer.
        """
        if self.rules.single_active_consumer:
            raise ResourceLocked(
                f"cannot obtain access to locked {self}."
                " basic.get operations are not supported by queues with"
                " single active consumer"
            )
        self.times.touch()
        while (entry := self._take()) is not None:
            if not self._is_expired(entry):
                self.hold(entry)
                return entry
            self._drop_taken(entry)
        return None

    def _take(self) -> Entry | None:
        """Take the next entry that is nobody's in particular."""
        return self.backlog.pop() if self.backlog.count else None

    def _drop_taken(self, entry: Entry) -> None:
        """Give up an entry that was over its time when its turn came."""
        self.bury(entry, "expired")

    def hold(self, entry: Entry) -> None:
        """Count `entry`, which no consumer has, as unacked until it is settled."""
        entry.state = UNACKED
        entry.delivered_at = self.vhost.broker.now
        self.unacked_count += 1

    def _deliver(self, entry: Entry, consumer: Consumer) -> None:
        if consumer.no_ack:
            entry.state = SETTLED
            if entry.position:
                self.forget(entry)
        else:
            entry.state = UNACKED
            entry.consumer = consumer
            entry.delivered_at = self.vhost.broker.now
            self.unacked_count += 1
            consumer.unacked += 1
            consumer.window.unacked += 1
        consumer.deliver(entry)

    # Settling

    def settle(self, entry: Entry) -> None:
        """`entry` was acked: forget it, and use the room that its consumer got.

        Hot: once an ack.
        """
        entry.state = SETTLED
        if entry.position:
            self.forget(entry)
        consumer = self._release(entry)
        if consumer is not None and consumer.window.waiting:
            self.roster.list(consumer)
            consumer.window.reopen()
        if self.backlog.count:
            if consumer is None or consumer.is_listed or not consumer.is_attached:
                self.dispatch()
            else:
                self._refill(consumer)
        elif consumer is not None and not consumer.is_listed:
            self.roster.list(consumer)

    def _refill(self, consumer: Consumer) -> None:
        """Give the next entry to a consumer that was full and has settled one.

        Entries wait, so nobody else has room: there is no choice to make.
        """
        if not consumer.has_room():
            self.resume(consumer)  # another limit holds it: its roster takes note
            return
        entry = self.backlog.pop()
        if entry.expires_at is None or not self._is_expired(entry):
            self._deliver(entry, consumer)
        else:
            self.bury(entry, "expired")
            self.resume(consumer)  # its dead letter may have changed anything

    def on_timeout(self) -> None:
        self.ack_timeout_count += 1

    def settle_late(self, entry: Entry) -> None:
        """`entry` was acked after its ack timeout: spare others the work if it waits.

        Otherwise the ack is only counted.
        """
        if entry.state in {READY, DELAYED} and not self.is_deleted:
            self.withdraw(entry)
            self.forget(entry)
        else:
            self.late_ack_count += 1

    def withdraw(self, entry: Entry) -> None:
        """Take out an entry that is ready or delayed; it counts as settled."""
        if entry.state == READY:
            self.backlog.remove(entry)
        else:
            self.times.end_delay(entry)
            self.trim()
            self.dispatch()  # others may have waited for it

    def reject(self, entry: Entry, reason: str = "rejected") -> None:
        """`entry` was refused for good: dead-letter it, at once or after its delay."""
        consumer = self._release_and_list(entry)
        if consumer is not None:
            consumer.window.reopen()
        self.dispatch()
        is_over = self.is_deleted or self._is_expired(entry)
        if is_over or not self.times.delay_letter(entry, reason):
            self.bury(entry, reason)

    def take_back(self, entry: Entry, *, failed: bool) -> None:
        """Put `entry`, which was not acked, back to its place, or let it wait.

        With `failed` its consumer said, or its end, that something went wrong.
        Dispatch and reopen the window afterwards (`return_entries`): many entries
        may come back at once, and their order holds only if they are all here
        before one leaves.
        """
        self._release_and_list(entry)
        entry.delivery_count += 1
        limit = self.rules.delivery_limit
        if self.is_deleted:
            entry.state = SETTLED
            self.forget(entry)
        elif limit is not None and entry.delivery_count > limit:
            self.bury(entry, "delivery_limit")
        elif self._is_expired(entry):
            self.bury(entry, "expired")
        else:
            self._take_back(entry, failed=failed)

    def _take_back(self, entry: Entry, *, failed: bool) -> None:
        store = self.vhost.broker.store
        if entry.position and store is not None:
            store.count_return(self.number, entry.sequence, entry.delivery_count)
        if not self.times.delay_retry(entry, failed=failed):
            entry.state = READY
            self.backlog.push_returned(entry)
            self.trim()

    def bury(self, entry: Entry, reason: str) -> None:
        """Give up `entry`, which is in no place of this queue any more."""
        entry.state = SETTLED
        self.forget(entry)
        if not self.is_deleted:
            self.dead_letter(entry.message, reason)

    def forget(self, entry: Entry) -> None:
        """`entry` will be needed no more, not even after a restart."""
        store = self.vhost.broker.store
        if entry.position and store is not None:
            store.settle(self.number, entry.sequence, entry.position)
            entry.position = 0

    def _release(self, entry: Entry) -> Consumer | None:
        """Nobody holds `entry` any more; return who did, if it was a consumer."""
        self.unacked_count -= 1
        consumer = entry.consumer
        if consumer is not None:
            entry.consumer = None
            consumer.unacked -= 1
            consumer.window.unacked -= 1
        return consumer

    def _release_and_list(self, entry: Entry) -> Consumer | None:
        consumer = self._release(entry)
        if consumer is not None:
            self.roster.list(consumer)
        return consumer

    def _is_expired(self, entry: Entry) -> bool:
        expires_at = entry.expires_at
        return expires_at is not None and expires_at <= self.vhost.broker.now
