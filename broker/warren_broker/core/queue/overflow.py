"""Overflow: what happens when a queue has more ready entries than it may.

The rules of `x-overflow`, for queues with `x-max-length` or `x-max-length-bytes`.
Ready and delayed entries count; unacked ones do not, as in RabbitMQ. So room comes
when entries are delivered, expire, are purged; an ack makes none by itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Final, final

from warren_broker.core.arguments import OverflowMode
from warren_broker.core.queue.backlog import watched
from warren_broker.core.queue.waiting_room import Waiting, WaitingRoom

if TYPE_CHECKING:
    from warren_broker.core.arguments import QueueArguments
    from warren_broker.core.message import Message
    from warren_broker.core.queue.queue import Queue


TRIM_MAX: Final = 1000
"""Entries that are dropped in one turn, and copies of dead letters that they set off: a
lowered limit may ask for millions."""


class Overflow(ABC):
    """One rule, with the limits it keeps.

    Attributes:
        is_silent: what it does not admit counts as taken all the same.
    """

    is_silent: ClassVar[bool] = False
    __slots__ = ("_max_length", "_max_length_bytes")

    def __init__(self, queue: Queue, rules: QueueArguments) -> None:
        self.limit(rules)

    def limit(self, rules: QueueArguments) -> None:
        """Keep the limits of `rules` from now on."""
        self._max_length = rules.max_length
        self._max_length_bytes = rules.max_length_bytes

    @abstractmethod
    def admits(self, queue: Queue, message: Message) -> bool:
        """Whether `queue` takes `message`; a rule may act on one it refuses."""

    @abstractmethod
    def trim(self, queue: Queue) -> None:
        """Bring `queue`, which has just got an entry, back under its limits."""

    def waiting(self, message: Message) -> Waiting | None:
        """Return `message` as it waits, if it has just not been admitted for that."""
        return None

    def dissolve(self) -> None:  # noqa: B027 - most have nothing to leave in order
        """Another rule is in force."""

    def close(self) -> None:  # noqa: B027
        """The queue is deleted."""

    def has_room(self, queue: Queue, message: Message) -> bool:
        """Whether `queue` would still keep its limits with `message`."""
        return not self._is_over(queue, message)

    def _is_over(self, queue: Queue, extra: Message | None = None) -> bool:
        if extra is None:
            return self._would_be_over(queue, 0, 0)
        return self._would_be_over(queue, 1, extra.size_bytes)

    def _would_be_over(self, queue: Queue, count: int, size_bytes: int) -> bool:
        """Whether `queue` would be over its limits with so many messages more."""
        backlog = queue.backlog
        count += backlog.count + queue.times.delayed_count
        if self._max_length is not None and count > self._max_length:
            return True
        if self._max_length_bytes is None:
            return False
        size_bytes += backlog.size_bytes + queue.times.delayed_bytes
        return size_bytes > self._max_length_bytes


@final
class DropHead(Overflow):
    """The oldest entries make room; if only delayed ones are left, the next to come."""

    __slots__ = ()

    def admits(self, queue: Queue, message: Message) -> bool:
        return True

    def trim(self, queue: Queue) -> None:
        broker = queue.vhost.broker
        work_until = broker.work + TRIM_MAX
        while self._is_over(queue):
            if broker.work >= work_until:
                queue.times.trim_soon()
                return
            broker.work += 1
            if queue.backlog.count:
                queue.bury(queue.backlog.pop_oldest(), "maxlen")
            else:
                queue.times.drop_soonest()


class RejectPublish(Overflow):
    """The newest message is refused: its publisher gets a basic.nack."""

    __slots__ = ()

    def admits(self, queue: Queue, message: Message) -> bool:
        return self.has_room(queue, message)

    def trim(self, queue: Queue) -> None:
        """Do nothing: what was returned may exceed the limits for a while."""


class RejectPublishDeadLetter(RejectPublish):
    """As reject-publish, and the refused message is dead-lettered."""

    __slots__ = ()

    def admits(self, queue: Queue, message: Message) -> bool:
        if super().admits(queue, message):
            return True
        queue.dead_letter(message, "maxlen")
        return False


@final
class DropTail(RejectPublishDeadLetter):
    """The newest message is dropped as if it had been taken: its publisher is acked.

    It is dead-lettered, as drop-head does with the oldest one.
    """

    is_silent: ClassVar[bool] = True
    __slots__ = ()


@final
class Block(Overflow):
    """The newest message waits for room, and so does its confirm.

    What would not even fit into the empty queue is refused: it would wait in vain, and
    all the others behind it.
    """

    __slots__ = ("_backlog", "_queue", "line")

    def __init__(self, queue: Queue, rules: QueueArguments) -> None:
        super().__init__(queue, rules)
        self._queue = queue
        self.line = WaitingRoom(queue)
        self._backlog = watched(queue.backlog, self.line)
        queue.backlog = self._backlog
        queue.vhost.blocking[queue] = self

    def __len__(self) -> int:
        return len(self.line)

    def admits(self, queue: Queue, message: Message) -> bool:
        if queue.vhost.is_committing:
            return True
        if not len(self.line) and self.has_room(queue, message):
            return True
        if self.ever_fits(message):
            self.line.admit(message)
        return False

    def waiting(self, message: Message) -> Waiting | None:
        newest = self.line.newest
        if isinstance(newest, Waiting) and newest.message is message:
            return newest
        return None

    def trim(self, queue: Queue) -> None:
        """Make sure that nobody waits in vain; what was returned may be too much."""
        self.line.look_soon()

    def dissolve(self) -> None:
        self._end()
        self.line.dissolve()

    def close(self) -> None:
        self._end()
        self.line.close()

    def _end(self) -> None:
        del self._queue.vhost.blocking[self._queue]
        self._backlog.watcher = None

    def has_room_for_all(self, count: int, size_bytes: int) -> bool:
        """Whether there is room for so many messages at once.

        More than the queue may ever have get in when it has none.
        """
        queue = self._queue
        is_empty = not (queue.backlog.count or queue.times.delayed_count)
        return is_empty or not self._would_be_over(queue, count, size_bytes)

    def ever_fits(self, message: Message) -> bool:
        """Whether `message` would fit into the empty queue."""
        length, size_bytes = self._max_length, self._max_length_bytes
        return length != 0 and (size_bytes is None or message.size_bytes <= size_bytes)


OVERFLOWS: Final[dict[OverflowMode, type[Overflow]]] = {
    OverflowMode.DROP_HEAD: DropHead,
    OverflowMode.REJECT_PUBLISH: RejectPublish,
    OverflowMode.REJECT_PUBLISH_DLX: RejectPublishDeadLetter,
    OverflowMode.DROP_TAIL: DropTail,
    OverflowMode.BLOCK: Block,
}


def overflow_for(
    queue: Queue, rules: QueueArguments, former: Overflow | None
) -> Overflow | None:
    """Return what `rules` mean for `queue`; None when it has no limit to keep.

    The `former` rule stays, with new limits, if it is of the same kind. Otherwise it
    must be dissolved when the one returned is in force.
    """
    if rules.max_length is None and rules.max_length_bytes is None:
        return None
    kind = OVERFLOWS[rules.overflow]
    if former is None or type(former) is not kind:
        return kind(queue, rules)
    former.limit(rules)
    return former
