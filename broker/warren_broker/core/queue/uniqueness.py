"""Uniqueness: what a queue does with a message whose id it has, or had lately.

The modes of `x-unique-mode`. Two of them look at a window of the last ids, whatever has
become of their messages: `x-cache-size` of them (10 000 if it does not say), each for
`x-cache-ttl` (until pushed out). The other two look at the messages in the queue; they
need no window, and the arguments for it mean nothing to them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Final, cast, final
from weakref import WeakValueDictionary

from warren_broker.core.arguments import UniqueMode, resource
from warren_broker.core.arguments.deduplication import (
    CACHE_SIZE_DEFAULT,
    check_cache_size,
)
from warren_broker.core.deduplication import new_seen_ids, unique_id
from warren_broker.core.queue.entry import DELAYED, READY, SETTLED, UNACKED, Entry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warren_broker.core.arguments import QueueArguments
    from warren_broker.core.deduplication import UniqueId
    from warren_broker.core.message import Message
    from warren_broker.core.queue.queue import Queue
    from warren_broker.core.sweeper import Litter


class UniqueEntry(Entry):
    """An entry that its queue can find by the id of its message."""

    __slots__ = ("__weakref__",)


class Uniqueness(ABC):
    """One mode.

    Attributes:
        duplicate_count: messages that were no new ones.
    """

    __slots__ = ("duplicate_count",)

    def __init__(self, queue: Queue, rules: QueueArguments) -> None:
        self.duplicate_count = 0

    def check(
        self, queue: Queue, message: Message
    ) -> tuple[UniqueId | None, bool | None]:
        """Return the id of `message`, and what its publisher is told of a duplicate.

        That is True if it counts as taken, False if it is refused, and None if
        `message` is a new one, to be accepted like any other.
        """
        unique = unique_id(message)
        if unique is None:
            return None, None
        answer = self._answer(queue, message, unique)
        if answer is not None:
            self.duplicate_count += 1
        return unique, answer

    def restore(self, entry: Entry) -> None:
        """`entry` is back from the store."""
        unique = unique_id(entry.message)
        if unique is not None:
            self.remember(entry, unique)

    @abstractmethod
    def remember(self, entry: Entry, unique: UniqueId) -> None:
        """`entry` is accepted, and will be ready or delayed in a moment."""

    @abstractmethod
    def _answer(self, queue: Queue, message: Message, unique: UniqueId) -> bool | None:
        """Deal with `message` if it is a duplicate, see `check`."""

    def on_purged(self) -> None:  # noqa: B027 - most need not know
        """All that was ready or delayed is gone."""

    def close(self) -> Iterable[Litter]:
        """Remember nothing more. Return what is to be freed, see `Sweeper`."""
        return ()


class Window(Uniqueness):
    """What came lately comes no more."""

    answer_to_duplicates: ClassVar[bool]
    __slots__ = ("_seen",)

    def __init__(self, queue: Queue, rules: QueueArguments) -> None:
        super().__init__(queue, rules)
        broker, surroundings = queue.vhost.broker, queue.vhost.surroundings
        size = rules.cache_size or min(CACHE_SIZE_DEFAULT, broker.limits.unique_ids_max)
        self._seen = new_seen_ids(size, rules.cache_ttl_ms, surroundings.id_budget)

    def remember(self, entry: Entry, unique: UniqueId) -> None:
        self._seen.add(unique, entry.queue.vhost.broker.now)

    def _answer(self, queue: Queue, message: Message, unique: UniqueId) -> bool | None:
        if self._seen.knows(unique, queue.vhost.broker.now):
            return self.answer_to_duplicates
        return None

    def close(self) -> Iterable[Litter]:
        return (self._seen.close(),)


@final
class Drop(Window):
    """Duplicates go, and their publishers do not notice."""

    answer_to_duplicates: ClassVar[bool] = True
    __slots__ = ()


@final
class Reject(Window):
    """Publishers of duplicates get a basic.nack."""

    answer_to_duplicates: ClassVar[bool] = False
    __slots__ = ()


class Presence(Uniqueness):
    """What counts is whether a message with the id is in the queue.

    Entries are known weakly, and asked for their state: nobody has to tell when one
    leaves. But an entry that was never delivered does not learn of a purge.
    """

    __slots__ = ("_entries", "_survivors")

    def __init__(self, queue: Queue, rules: QueueArguments) -> None:
        super().__init__(queue, rules)
        self._entries: WeakValueDictionary[bytes, Entry] = WeakValueDictionary()
        self._survivors: WeakValueDictionary[bytes, Entry] = WeakValueDictionary()

    def remember(self, entry: Entry, unique: UniqueId) -> None:
        self._entries[unique.key] = entry

    def on_purged(self) -> None:
        """Doubt all that is known: what survived was out, and few are out."""
        for key, entry in self._survivors.items():
            self._entries.setdefault(key, entry)
        self._survivors, self._entries = self._entries, WeakValueDictionary()

    def _present(self, unique: UniqueId) -> Entry | None:
        """Return the newest entry of the id that is in the queue."""
        entry = self._entries.get(unique.key)
        if entry is not None and entry.state != SETTLED:
            return entry
        entry = self._survivors.get(unique.key)
        if entry is None or entry.state == SETTLED:
            return None
        is_purged = entry.state == READY and not entry.delivery_count
        return None if is_purged else entry


@final
class UntilAck(Presence):
    """Duplicates go as long as the first is ready, unacked, or delayed."""

    __slots__ = ()

    def _answer(self, queue: Queue, message: Message, unique: UniqueId) -> bool | None:
        return None if self._present(unique) is None else True


@final
class Replace(Presence):
    """The last message of an id takes the place of the one before, if that waits.

    Place means sequence: with another priority, or another key, it is the place that
    the first one would have had with that. The message is a new one in all else: its
    times count from now, and nobody has been given it before. One that was given to a
    consumer already does not wait in this sense, not even for its next delivery.
    """

    __slots__ = ()

    def remember(self, entry: Entry, unique: UniqueId) -> None:
        outgrown = self._waiting(unique)
        if outgrown is not None:
            queue = cast("Queue", entry.queue)
            queue.withdraw(outgrown)
            queue.forget(outgrown)
        super().remember(entry, unique)

    def _answer(self, queue: Queue, message: Message, unique: UniqueId) -> bool | None:
        old = self._waiting(unique)
        if old is None or _outgrows(queue, old, message):
            return None
        queue.take_in(message, unique, instead_of=old)
        return True

    def _waiting(self, unique: UniqueId) -> Entry | None:
        entry = self._present(unique)
        if entry is None or entry.state == UNACKED:
            return None
        was_delivered = entry.delivery_count or entry.delivered_at
        return None if entry.state == DELAYED and was_delivered else entry


def _outgrows(queue: Queue, old: Entry, message: Message) -> bool:
    """Whether `message` instead of `old` would be too much for `x-max-length-bytes`.

    Then it has to pass the overflow rule like one more message.
    """
    limit = queue.rules.max_length_bytes
    growth = message.size_bytes - old.message.size_bytes
    size_bytes = queue.backlog.size_bytes + queue.times.delayed_bytes
    return limit is not None and 0 < growth > limit - size_bytes


UNIQUENESSES: Final[dict[UniqueMode, type[Uniqueness]]] = {
    UniqueMode.DROP: Drop,
    UniqueMode.REJECT: Reject,
    UniqueMode.REPLACE: Replace,
    UniqueMode.UNTIL_ACK: UntilAck,
}


def uniqueness_for(queue: Queue, rules: QueueArguments) -> Uniqueness | None:
    """Return what `rules` mean for `queue`; None when messages may repeat.

    Without a mode it is until-ack, as in RabbitMQ's plugin, which knows no window on
    queues; the arguments of a window make it drop.

    Raises:
        PreconditionFailed: the window is larger than a virtual host may have.
    """
    ids_max = queue.vhost.broker.limits.unique_ids_max
    subject = resource("queue", queue.name, queue.vhost.name)
    check_cache_size(rules.cache_size, subject, ids_max)
    if not rules.deduplication and rules.unique_mode is None:
        return None
    has_window = rules.cache_size is not None or rules.cache_ttl_ms is not None
    default = UniqueMode.DROP if has_window else UniqueMode.UNTIL_ACK
    return UNIQUENESSES[rules.unique_mode or default](queue, rules)
