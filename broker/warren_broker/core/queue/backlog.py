"""Backlog: the ready entries of a queue, in the order they will leave.

There are two ordered sources: `ready`, in publish order, and `returned`, a heap by
sequence. The next entry is the smaller head, so a returned entry gets its old place
back without any searching. A queue with priorities has such a pair for each level.
"""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING, ClassVar, Final, cast, final

from warren_broker.core.queue.entry import READY, SETTLED
from warren_broker.core.queue.tail import SetAside, Tail, places_of, size_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.core.arguments import QueueArguments
    from warren_broker.core.queue.entry import Entry
    from warren_broker.core.queue.queue import Queue
    from warren_broker.core.queue.waiting_room import WaitingRoom
    from warren_broker.core.sweeper import Litter

HEAD_MAX: Final = 4096
"""Entries that are objects at the head of a long backlog; those behind are packed."""

_STALE_MAX: Final = 64
"""Removed entries that may lie about in a backlog, besides as many as are ready."""


class Backlog(ABC):
    """Ready entries.

    Attributes:
        count: how many, settled ones that still lie about excluded.
        size_bytes: of their messages, where it `is_measured`.
        watcher: whom it tells when entries leave, where it `is_measured`.
    """

    is_measured: ClassVar[bool] = False
    __slots__ = ("count", "size_bytes", "watcher")

    def __init__(self) -> None:
        self.count = 0
        self.size_bytes = 0
        self.watcher: WaitingRoom | None = None

    @abstractmethod
    def push(self, entry: Entry) -> None:
        """Add a new entry at the end."""

    @abstractmethod
    def push_returned(self, entry: Entry) -> None:
        """Put an entry that was delivered back to its place."""

    @abstractmethod
    def pop(self) -> Entry:
        """Take the next entry to deliver. `count` must not be 0.

        It falls by more than one if those that follow are on a disk that fails.
        """

    @abstractmethod
    def pop_oldest(self) -> Entry:
        """Take the entry to drop first when there are too many.

        The oldest of the lowest priority. `count` must not be 0.
        """

    @abstractmethod
    def __iter__(self) -> Iterator[Entry]:
        """Go through the ready entries in the order they will leave.

        Raises OSError if some are on a disk that fails.
        """

    def places(self) -> Iterator[tuple[int, int]]:
        """Go through sequence and position of what is ready, reading nothing."""
        return places_of(self)

    def measure(self) -> int:
        """Return the size of all messages in bytes, reading nothing. Not hot."""
        return size_of(self)

    def take_lost_bytes(self) -> int:
        """Return the size of what could not be read since this was last asked."""
        return 0

    @abstractmethod
    def clear(self) -> list[Litter]:
        """Drop everything. Return what is still to be freed, see `Sweeper`.

        It costs what was returned, not what was never delivered: nobody can know of
        that, so it need not be marked as settled.
        """

    @abstractmethod
    def remove(self, entry: Entry) -> None:
        """Take out a ready entry, wherever it stands; it counts as settled."""

    def expect(self, entry: Entry) -> None:  # noqa: B027 - most need not know
        """`entry` was returned and will be here again after a delay."""

    def forget_expected(self, entry: Entry) -> None:  # noqa: B027
        """A delayed entry, expected or not, will not be here again."""


@final
class FifoBacklog(Backlog):
    """The backlog of a queue without priorities.

    What is far from its turn is packed (`Tail`), behind the head that is not.
    """

    __slots__ = ("_lost_bytes", "_ready", "_returned", "_tail")

    def __init__(self) -> None:
        super().__init__()
        self._lost_bytes = 0
        self._ready: deque[Entry] = deque()
        self._returned: list[Entry] = []
        self._tail: Tail | None = None

    def push(self, entry: Entry) -> None:
        self.count += 1
        if self._tail is not None:
            self._tail.push(entry)
            return
        self._ready.append(entry)
        if len(self._ready) >= HEAD_MAX:
            self._tail = Tail(cast("Queue", entry.queue))

    def push_returned(self, entry: Entry) -> None:
        heapq.heappush(self._returned, entry)
        self.count += 1

    def pop(self) -> Entry:
        ready = self._ready
        entry = self._pop_first() if self._returned else ready.popleft()
        self.count -= 1
        if not ready or ready[0].state != READY:
            self._advance()
        return entry

    pop_oldest = pop

    def _pop_first(self) -> Entry:
        ready, returned = self._ready, self._returned
        while returned and (not ready or returned[0].sequence < ready[0].sequence):
            entry = heapq.heappop(returned)
            if entry.state == READY:
                return entry
        return ready.popleft()

    def _advance(self) -> None:
        """Have one that is ready in front, as long as any but returned ones are.

        So whatever cannot be read is found out before somebody counts on it.
        """
        ready = self._ready
        while True:
            while ready and ready[0].state != READY:
                ready.popleft()
            if ready or self._tail is None:
                return
            try:
                ready.extend(self._tail.take_first())
            except SetAside as lost:
                self.count -= lost.count
                self._lost_bytes += lost.size_bytes
            else:
                if not ready:
                    self._tail = None

    def take_lost_bytes(self) -> int:
        lost_bytes, self._lost_bytes = self._lost_bytes, 0
        return lost_bytes

    def remove(self, entry: Entry) -> None:
        entry.state = SETTLED
        self.count -= 1
        size = len(self._ready) + len(self._returned)
        if self._tail is not None:
            size += self._tail.size
        if size > 2 * self.count + _STALE_MAX:
            self._forget_settled()
        self._advance()

    def _forget_settled(self) -> None:
        """Let go of entries that were removed behind the head, and their messages."""
        self._ready = deque(entry for entry in self._ready if entry.state == READY)
        self._returned = [entry for entry in self._returned if entry.state == READY]
        heapq.heapify(self._returned)
        if self._tail is not None:
            self._tail.forget_settled()

    def __iter__(self) -> Iterator[Entry]:
        merged = heapq.merge(
            sorted(self._returned), chain(self._ready, self._tail or ())
        )
        return (entry for entry in merged if entry.state == READY)

    def places(self) -> Iterator[tuple[int, int]]:
        tail = () if self._tail is None else self._tail.places()
        return chain(places_of(chain(self._returned, self._ready)), tail)

    def measure(self) -> int:
        tail = 0 if self._tail is None else self._tail.measure()
        return size_of(chain(self._returned, self._ready)) + tail

    def clear(self) -> list[Litter]:
        for entry in self._returned:
            entry.state = SETTLED  # an ack may still come for it
        litter: list[Litter] = [self._ready]
        if self._tail is not None:
            litter.append(self._tail.clear())
        self._ready, self._returned, self._tail = deque(), [], None
        self.count = 0
        return litter


@final
class PriorityBacklog(Backlog):
    """The backlog of a queue with `x-max-priority`: higher levels leave first.

    Levels are made when they are first needed: 255 priorities on ten thousand
    queues cost nothing until somebody uses them.
    """

    __slots__ = ("_levels", "_max_priority", "_order")

    def __init__(self, max_priority: int) -> None:
        super().__init__()
        self._max_priority = max_priority
        self._levels: dict[int, FifoBacklog] = {}
        self._order: list[FifoBacklog] = []  # highest priority first

    def push(self, entry: Entry) -> None:
        self._level(entry).push(entry)
        self.count += 1

    def push_returned(self, entry: Entry) -> None:
        self._level(entry).push_returned(entry)
        self.count += 1

    def pop(self) -> Entry:
        return self._pop(next(level for level in self._order if level.count))

    def pop_oldest(self) -> Entry:
        return self._pop(next(level for level in self._order[::-1] if level.count))

    def _pop(self, level: FifoBacklog) -> Entry:
        before = level.count
        entry = level.pop()
        self.count -= before - level.count
        return entry

    def remove(self, entry: Entry) -> None:
        level = self._level(entry)
        before = level.count
        level.remove(entry)
        self.count -= before - level.count

    def __iter__(self) -> Iterator[Entry]:
        return (entry for level in self._order for entry in level)

    def places(self) -> Iterator[tuple[int, int]]:
        return chain.from_iterable(level.places() for level in self._order)

    def measure(self) -> int:
        return sum(level.measure() for level in self._order)

    def take_lost_bytes(self) -> int:
        return sum(level.take_lost_bytes() for level in self._order)

    def clear(self) -> list[Litter]:
        litter = [ready for level in self._order for ready in level.clear()]
        self._levels.clear()
        self._order.clear()
        self.count = 0
        return litter

    def _level(self, entry: Entry) -> FifoBacklog:
        priority = min(entry.message.header.priority, self._max_priority)
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = FifoBacklog()
            self._order = [self._levels[key] for key in sorted(self._levels)[::-1]]
        return level


@final
class MeasuredBacklog(Backlog):
    """A backlog that also knows its size in bytes, for `x-max-length-bytes`.

    Header and routing count, so that empty bodies with large headers do not slip
    under the limit.
    """

    is_measured: ClassVar[bool] = True
    __slots__ = ("_backlog",)

    def __init__(self, backlog: Backlog) -> None:
        super().__init__()
        self._backlog = backlog
        self.count = backlog.count
        self.size_bytes = backlog.measure()
        backlog.take_lost_bytes()

    def push(self, entry: Entry) -> None:
        self._backlog.push(entry)
        self._account(1, entry)

    def push_returned(self, entry: Entry) -> None:
        self._backlog.push_returned(entry)
        self._account(1, entry)

    def pop(self) -> Entry:
        entry = self._backlog.pop()
        self._account(-1, entry)
        return entry

    def pop_oldest(self) -> Entry:
        entry = self._backlog.pop_oldest()
        self._account(-1, entry)
        return entry

    def remove(self, entry: Entry) -> None:
        self._backlog.remove(entry)
        self._account(-1, entry)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._backlog)

    def places(self) -> Iterator[tuple[int, int]]:
        return self._backlog.places()

    def measure(self) -> int:
        return self.size_bytes

    def clear(self) -> list[Litter]:
        self.count = self.size_bytes = 0
        return self._backlog.clear()

    def _account(self, sign: int, entry: Entry) -> None:
        count = self.count + sign
        self.count = self._backlog.count
        self.size_bytes += sign * entry.message.size_bytes
        if self.count != count:
            self.size_bytes -= self._backlog.take_lost_bytes()
        if sign < 0 and self.watcher is not None:
            self.watcher.look_soon()


def backlog_for(rules: QueueArguments) -> Backlog:
    """Return the backlog that a queue with such rules needs, but for measuring."""
    if rules.max_priority is None:
        return FifoBacklog()
    return PriorityBacklog(rules.max_priority)


def measured(backlog: Backlog) -> Backlog:
    """Return `backlog` as one that knows its size in bytes."""
    return backlog if backlog.is_measured else MeasuredBacklog(backlog)


def watched(backlog: Backlog, watcher: WaitingRoom) -> Backlog:
    """Return `backlog` as one that tells `watcher` when entries leave, one by one."""
    backlog = measured(backlog)
    backlog.watcher = watcher
    return backlog
