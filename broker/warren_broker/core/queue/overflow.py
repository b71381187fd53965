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
from warren_broker.core.queue.waiting_room import WaitingRoom

if TYPE_CHECKING:
    from warren_broker.core.arguments import QueueArguments
    from warren_broker.core.message import Message
    from warren_broker.core.queue.queue import Queue
    from warren_broker.core.queue.waiting_room import Waiting


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
        backlog = queue.backlog
        count = backlog.count + queue.times.delayed_count + (extra is not None)
        if self._max_length is not None and count > self._max_length:
            return True
        if self._max_length_bytes is None:
            return False
        size_bytes = backlog.size_bytes + queue.times.delayed_bytes
        if extra is not None:
            size_bytes += extra.size_bytes
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

    __slots__ = ("_backlog", "_room")

    def __init__(self, queue: Queue, rules: QueueArguments) -> None:
        super().__init__(queue, rules)
        self._room = WaitingRoom(queue)
        self._backlog = watched(queue.backlog, self._room)
        queue.backlog = self._backlog

    def __len__(self) -> int:
        return len(self._room)

    def admits(self, queue: Queue, message: Message) -> bool:
        if not len(self._room) and self.has_room(queue, message):
            return True
        if self._ever_fits(message):
            self._room.admit(message)
        return False

    def waiting(self, message: Message) -> Waiting | None:
        newest = self._room.newest
        return newest if newest is not None and newest.message is message else None

    def trim(self, queue: Queue) -> None:
        """Make sure that nobody waits in vain; what was returned may be too much."""
        self._room.look_soon()

    def dissolve(self) -> None:
        self._backlog.watcher = None
        self._room.dissolve()

    def close(self) -> None:
        self._backlog.watcher = None
        self._room.close()

    def _ever_fits(self, message: Message) -> bool:
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
