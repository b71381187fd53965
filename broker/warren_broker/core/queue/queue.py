"""Queue: takes messages, hands them to consumers, and settles what they did.

Between two turns a queue never holds a ready entry while a consumer has room for it.
So `accept` may give a message straight to a consumer whenever nothing waits; that is
the fast path, and `push` + `dispatch` is what it stands for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, final

from warren.errors import AccessRefused, ResourceLocked
from warren_broker.core.deadlines import DeadlineOwner
from warren_broker.core.destination import Destination
from warren_broker.core.queue.backlog import backlog_for
from warren_broker.core.queue.entry import READY, SETTLED, UNACKED, Entry
from warren_broker.core.queue.expiry import Expiry
from warren_broker.core.queue.overflow import overflow_for
from warren_broker.core.queue.roster import Roster

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.arguments import QueueArguments
    from warren_broker.core.message import Message
    from warren_broker.core.queue.consumer import Consumer
    from warren_broker.core.session import Session
    from warren_broker.core.vhost import VHost

MILLISECONDS: Final = 1000.0


@final
class Queue(Destination, DeadlineOwner):
    """A queue of one virtual host.

    Attributes:
        owner: the session that declared it exclusive; None when it is not.
        arguments: as declared.  rules: the same, parsed.
        unacked_count: entries that somebody holds.
        ack_timeout_seconds: how long an entry may be held; None: for ever.
        ack_timeout_count: entries that were held longer, and taken back.
        late_ack_count: acks that came after the ack timeout had given the entry on.
    """

    kind: ClassVar[str] = "queue"
    __slots__ = (
        "_expiry",
        "_is_plain",
        "_overflow",
        "ack_timeout_count",
        "ack_timeout_seconds",
        "arguments",
        "auto_delete",
        "backlog",
        "durable",
        "is_deleted",
        "late_ack_count",
        "owner",
        "roster",
        "rules",
        "sequence",
        "unacked_count",
        "used_at",
        "vhost",
    )

    def __init__(
        self,
        vhost: VHost,
        name: str,
        *,
        durable: bool,
        auto_delete: bool,
        owner: Session | None,
        arguments: Mapping[str, object],
        rules: QueueArguments,
    ) -> None:
        super().__init__(name)
        self.vhost = vhost
        self.durable = durable
        self.auto_delete = auto_delete
        self.owner = owner
        self.arguments = arguments
        self.rules = rules
        self.roster = Roster(single_active=rules.single_active_consumer)
        self.backlog = backlog_for(rules)
        self.sequence = 0
        self.unacked_count = 0
        self.ack_timeout_count = 0
        self.late_ack_count = 0
        self.ack_timeout_seconds = vhost.broker.ack_timeout_seconds(
            rules.consumer_timeout_ms
        )
        self.is_deleted = False
        self.used_at = vhost.broker.now
        self._overflow = overflow_for(rules)
        self._expiry = Expiry()
        self._is_plain = self._overflow is None and rules.message_ttl_ms is None
        self._arm()

    def __str__(self) -> str:
        """Return the name as reply texts have it."""
        return f"queue '{self.name}' in vhost '{self.vhost.name}'"

    # Publishing

    def accept(self, message: Message) -> bool:
        """Take `message`; False when the overflow rule refuses it.

        Hot: once a message and queue.
        """
        if not self._is_plain or message.header.expiration_ms is not None:
            return self._accept_by_rules(message)
        self.sequence += 1
        entry = Entry(message, self, self.sequence)
        if (
            not self.backlog.count
            and (consumer := self.roster.next_ready()) is not None
        ):
            self._deliver(entry, consumer)
        else:
            self.backlog.push(entry)
        return True

    def _accept_by_rules(self, message: Message) -> bool:
        overflow = self._overflow
        if overflow is not None and not overflow.admits(self, message):
            return False
        self.sequence += 1
        entry = Entry(message, self, self.sequence)
        self._set_expiry(entry)
        if (
            not self.backlog.count
            and (consumer := self.roster.next_ready()) is not None
        ):
            self._deliver(entry, consumer)  # even with a time to live of 0
        else:
            self.backlog.push(entry)
            if overflow is not None:
                overflow.trim(self)
        return True

    def _set_expiry(self, entry: Entry) -> None:
        times = (self.rules.message_ttl_ms, entry.message.header.expiration_ms)
        known = [time_ms for time_ms in times if time_ms is not None]
        if known:
            now = self.vhost.broker.now
            self._expiry.watch(entry, now + min(known) / MILLISECONDS)
            self._arm()

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
        self.used_at = self.vhost.broker.now

    def detach(self, consumer: Consumer) -> None:
        """Give `consumer` nothing more. What it holds stays with its channel."""
        if consumer not in self.roster:
            return
        self.roster.remove(consumer)
        self.used_at = self.vhost.broker.now
        if self.auto_delete and not len(self.roster):
            self.vhost.drop_queue(self)
        else:
            self._arm()
            self.dispatch()

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
        self.used_at = self.vhost.broker.now
        while self.backlog.count:
            entry = self.backlog.pop()
            if not self._is_expired(entry):
                self.hold(entry)
                return entry
            self.bury(entry, "expired")
        return None

    def hold(self, entry: Entry) -> None:
        """Count `entry`, which no consumer has, as unacked until it is settled."""
        entry.state = UNACKED
        entry.delivered_at = self.vhost.broker.now
        self.unacked_count += 1

    def _deliver(self, entry: Entry, consumer: Consumer) -> None:
        if consumer.no_ack:
            entry.state = SETTLED
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

    def settle_late(self, entry: Entry) -> None:
        """`entry` was acked after its ack timeout: spare others the work if it waits.

        Otherwise the ack is only counted.
        """
        if entry.state == READY and not self.is_deleted:
            self.backlog.remove(entry)
        else:
            self.late_ack_count += 1

    def reject(self, entry: Entry) -> None:
        """`entry` was refused for good: dead-letter it."""
        consumer = self._release_and_list(entry)
        if consumer is not None:
            consumer.window.reopen()
        self.dispatch()
        self.bury(entry, "rejected")

    def take_back(self, entry: Entry) -> None:
        """Put `entry`, which was not acked, back to its place.

        Dispatch and reopen the window afterwards (`return_entries`): many entries
        may come back at once, and their order holds only if they are all here
        before one leaves.
        """
        self._release_and_list(entry)
        entry.delivery_count += 1
        limit = self.rules.delivery_limit
        if self.is_deleted:
            entry.state = SETTLED
        elif limit is not None and entry.delivery_count > limit:
            self.bury(entry, "delivery_limit")
        elif self._is_expired(entry):
            self.bury(entry, "expired")
        else:
            entry.state = READY
            self.backlog.push_returned(entry)
            if self._overflow is not None:
                self._overflow.trim(self)

    def bury(self, entry: Entry, reason: str) -> None:
        """Give up `entry`, which is in no place of this queue any more."""
        entry.state = SETTLED
        if not self.is_deleted:
            self.dead_letter(entry.message, reason)

    def dead_letter(self, message: Message, reason: str) -> None:
        """Send `message` to the dead letter exchange; drop it when there is none."""
        if self.rules.dead_letter_exchange is not None:
            self.vhost.dead_letters.add(self, message, reason)

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

    # Time, and the end

    def on_deadline(self, now: float) -> None:
        """Drop what is over its time; delete the queue if it is."""
        for entry in self._expiry.take_due(now):
            if self.is_deleted:  # a dead letter may set off anything
                break
            if entry.state == READY:
                self.backlog.remove(entry)
                self.bury(entry, "expired")
        if self.is_deleted:
            return
        if (expires_at := self._unused_until()) is not None and expires_at <= now:
            self.vhost.drop_queue(self)
        else:
            self._arm()

    def purge(self) -> int:
        """Drop all ready entries and return how many there were."""
        count = self.backlog.count
        sweeper = self.vhost.broker.sweeper
        sweeper.add(self.backlog.clear())
        sweeper.add([self._expiry.keep_unacked()])
        return count

    def close(self) -> None:
        """The queue is deleted: let go of everything, tell the consumers."""
        self.is_deleted = True
        self.vhost.broker.deadlines.cancel(self)
        self.purge()
        self._expiry = Expiry()  # it knows entries, and they the queue
        for consumer in list(self.roster):
            self.roster.remove(consumer)
            consumer.on_cancelled()

    def _is_expired(self, entry: Entry) -> bool:
        expires_at = entry.expires_at
        return expires_at is not None and expires_at <= self.vhost.broker.now

    def _unused_until(self) -> float | None:
        """When `x-expires` deletes the queue, if nobody uses it until then."""
        if self.rules.expires_ms is None or len(self.roster):
            return None
        return self.used_at + self.rules.expires_ms / MILLISECONDS

    def _arm(self) -> None:
        times = [self._expiry.next(), self._unused_until()]
        known = [when for when in times if when is not None]
        if known:
            self.vhost.broker.deadlines.set(self, min(known))
