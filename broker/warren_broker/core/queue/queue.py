"""Queue: takes messages by its rules, and hands them to consumers.

Between two turns a queue never holds a ready entry while a consumer has room for it.
So `accept` may give a message straight to a consumer whenever nothing waits; that is
the fast path, and `push` + `dispatch` is what it stands for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from warren_broker.core.lease import lease_terms
from warren_broker.core.queue.backlog import measured
from warren_broker.core.queue.dispatcher import Dispatcher
from warren_broker.core.queue.entry import Entry
from warren_broker.core.queue.overflow import Overflow, overflow_for
from warren_broker.core.queue.times import QueueTimes
from warren_broker.core.queue.uniqueness import UniqueEntry, uniqueness_for

if TYPE_CHECKING:
    from warren_broker.core.arguments import QueueArguments
    from warren_broker.core.deduplication import UniqueId
    from warren_broker.core.message import Message
    from warren_broker.core.named_queue import Declaration
    from warren_broker.core.queue.consumer import Consumer
    from warren_broker.core.queue.waiting_room import Waiting
    from warren_broker.core.vhost import VHost


class Queue(Dispatcher):
    """A queue of one virtual host."""

    __slots__ = ("_is_plain", "_overflow", "_uniqueness", "sequence")

    def __init__(self, vhost: VHost, declaration: Declaration) -> None:
        super().__init__(vhost, declaration)
        self.sequence = 0
        store = vhost.broker.store
        if self.durable and store is not None:
            self.number = store.new_number()
        rules = declaration.rules
        self._uniqueness = uniqueness_for(self, rules)  # it may refuse: nothing is tied
        self.times = QueueTimes(self)
        self._overflow: Overflow | None = None
        self.apply_rules(rules)

    def apply_rules(self, rules: QueueArguments) -> None:
        """Keep to `rules` from now on.

        What has an end of its life already keeps it; limits hold for all that is ready.
        """
        self.rules = rules
        self.lease = lease_terms(self.vhost.broker, rules)
        if rules.max_length_bytes is not None:
            self.backlog = measured(self.backlog)
        former = self._overflow
        self._overflow = overflow_for(self, rules, former)
        self._is_plain = (
            self._overflow is None
            and rules.message_ttl_ms is None
            and rules.deliver_at_header is None
            and rules.group_by is None
            and self._uniqueness is None
            and not self.number
        )
        self.times.arm()
        if former is not None and former is not self._overflow:
            former.dissolve()
        self.trim()

    @property
    def duplicate_count(self) -> int:
        """Messages that were no new ones, in a queue that looks at their ids."""
        return 0 if self._uniqueness is None else self._uniqueness.duplicate_count

    # Publishing

    def accept(self, message: Message) -> bool:
        """Take `message`; False when a rule refuses it, or lets it wait.

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
        if self.is_deleted:
            return True  # on the way here, by what came before
        unique = None
        if self._uniqueness is not None:
            unique, answer = self._uniqueness.check(self, message)
            if answer is not None:
                self.vhost.broker.lean_on_store()
                return answer
        overflow = self._overflow
        if overflow is not None and not overflow.admits(self, message):
            return overflow.is_silent
        self.take_in(message, unique)
        return True

    def let_in(self, message: Message) -> bool:
        """Take `message`, which has waited for room; False: a duplicate, refused."""
        unique = answer = None
        if self._uniqueness is not None:
            # Its answer is late whatever it is, and so leans on the store already.
            unique, answer = self._uniqueness.check(self, message)
        if answer is None:
            self.take_in(message, unique)
        return answer is not False

    def take_in(
        self,
        message: Message,
        unique: UniqueId | None = None,
        *,
        instead_of: Entry | None = None,
    ) -> None:
        """Take `message`, which the rules admit, at the end or in another's place."""
        sequence = self.sequence = self.sequence + 1
        if instead_of is not None:
            sequence = instead_of.sequence
            self.withdraw(instead_of)
            self.forget(instead_of)
        entry = self._entry(message, sequence)
        if unique is not None and self._uniqueness is not None:
            self._uniqueness.remember(entry, unique)
        ready_at = self.times.ready_at(message)
        self.times.limit_life(entry, ready_at)
        if self.number and message.header.persistent:
            self._store(entry)  # first: nobody may copy it without its position
        if ready_at > self.vhost.broker.now:
            self.times.delay(entry, ready_at)
        elif instead_of is None:
            self._offer(entry)
        else:
            self.backlog.push_returned(entry)
            self.trim()
            self.dispatch()

    def _store(self, entry: Entry) -> None:
        """Keep `entry` beyond a restart."""
        broker = self.vhost.broker
        if broker.store is not None:
            expires_ms = broker.wall_ms(entry.expires_at)
            entry.position = broker.store.add(
                self.number, entry.sequence, entry.message, expires_ms
            )

    def has_room_for(self, message: Message) -> bool:
        """Whether the limits would be kept with `message`."""
        return self._overflow is None or self._overflow.has_room(self, message)

    def waiting(self, message: Message) -> Waiting | None:
        """Return `message` as it waits, if it has just not been taken for that."""
        return None if self._overflow is None else self._overflow.waiting(message)

    def _entry(self, message: Message, sequence: int) -> Entry:
        """Return `message` at the place `sequence` of this queue."""
        kind = Entry if self._uniqueness is None else UniqueEntry
        return kind(message, self, sequence)

    def _offer(self, entry: Entry) -> None:
        """Give a new entry to a consumer, or let it wait for one."""
        if (
            not self.backlog.count
            and (consumer := self.roster.next_ready()) is not None
        ):
            self._deliver(entry, consumer)  # even with a time to live of 0
        else:
            self.backlog.push(entry)
            self.trim()

    def trim(self) -> None:
        """Keep the limits, after an entry has come or the limits have changed."""
        if self._overflow is not None:
            self._overflow.trim(self)

    def dead_letter(self, message: Message, reason: str) -> None:
        """Send `message` to the dead letter exchange; drop it when there is none."""
        if self.rules.dead_letter_exchange is not None:
            self.vhost.dead_letters.add(self, message, reason)

    # The end

    def detach(self, consumer: Consumer) -> None:
        """Give `consumer` nothing more. What it holds stays with its channel."""
        if consumer not in self.roster:
            return
        self.roster.remove(consumer)
        self.times.touch()
        if self.auto_delete and not len(self.roster):
            self.vhost.drop_queue(self)
        else:
            self.times.arm()
            self.dispatch()

    def purge(self) -> int:
        """Drop all that is ready or delayed, and return how many there were."""
        self._forget_waiting()
        count = self.backlog.count + self.times.forget_waiting()
        self.vhost.broker.sweeper.add(self.backlog.clear())
        if self._uniqueness is not None:
            self._uniqueness.on_purged()
        self.trim()
        return count

    def _forget_waiting(self) -> None:
        """What is ready or delayed will be needed no more, nor what was unreadable."""
        unreadable, self.unreadable = self.unreadable, []
        store = self.vhost.broker.store
        if self.number and store is not None:
            places = [(one.sequence, one.position) for one in self.times.delayed()]
            places += self.backlog.places()
            for run in unreadable:
                places += run.places()
            store.settle_all(self.number, [place for place in places if place[1]])

    def adopt(self, number: int) -> None:
        """The store knows this queue by `number`."""
        self.number = number
        self.apply_rules(self.rules)

    def restore(
        self,
        sequence: int,
        message: Message,
        *,
        expires_ms: int,
        return_count: int,
        position: int,
    ) -> None:
        """Put back a message that the store has kept, in the order of sequences.

        It was returned `return_count` times.
        """
        self.sequence = max(self.sequence, sequence)
        entry = self._entry(message, sequence)
        entry.position = position
        entry.delivery_count = return_count
        if self._uniqueness is not None:
            self._uniqueness.restore(entry)
        broker = self.vhost.broker
        if expires_ms:
            self.times.limit_life_until(entry, broker.at_ms(expires_ms))
        ready_at = self.times.ready_at(message)
        if ready_at > broker.now:
            self.times.put_back(entry, ready_at)
        else:
            self.backlog.push(entry)

    def close(self) -> None:
        """The queue is deleted: let go of everything, tell the consumers."""
        self.is_deleted = True
        self.purge()
        self.times.close()
        if self._overflow is not None:
            self._overflow.close()
            self._overflow = None
        if self._uniqueness is not None:
            self.vhost.broker.sweeper.add(self._uniqueness.close())
        for consumer in list(self.roster):
            self.roster.remove(consumer)
            consumer.on_cancelled()
