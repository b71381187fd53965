"""Groups: the backlog of a queue whose messages belong to keys (`x-group-by`).

Every key has its own ready entries, in the order they will leave. What a mode decides
is which key comes next, and for whom: see `group_modes`. A key is remembered as long
as it has an entry that is ready, out, or coming back.
"""

from __future__ import annotations

import heapq
from abc import abstractmethod
from collections import deque
from typing import TYPE_CHECKING, ClassVar, Final

from warren_broker.core.queue.backlog import Backlog
from warren_broker.core.queue.entry import READY, SETTLED, Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from warren_broker.core.arguments import GroupKey
    from warren_broker.core.message import Message
    from warren_broker.core.queue.consumer import Consumer
    from warren_broker.core.queue.queue import Queue
    from warren_broker.core.sweeper import Litter

_STALE_MAX: Final = 64
_LEVEL_BITS: Final = 56
"""A rank is the level above the sequence, which never gets so large."""


class Group:
    """One key.

    Attributes:
        name: the key; a number where each message without a key is a group.
        waiting: the ready entries by rank; settled ones may lie about.
        out_count: entries that are unacked, or will come back after a delay.
        owner: the consumer that has the key, in sticky mode.
        listed: the rank it stands in line with; None when it is in no line.
        credit: what it may still take in this round, in fair mode.
    """

    __slots__ = ("credit", "listed", "name", "out_count", "owner", "waiting")

    def __init__(self, name: str | int | None) -> None:
        self.name = name
        self.waiting: list[tuple[int, GroupedEntry]] = []
        self.out_count = 0
        self.owner: Consumer | None = None
        self.listed: int | None = None
        self.credit = 0

    def head(self) -> GroupedEntry | None:
        """Return the next entry; None when none is ready."""
        waiting = self.waiting
        while waiting and waiting[0][1].state != READY:
            heapq.heappop(waiting)
        return waiting[0][1] if waiting else None

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing of it, here or elsewhere."""
        return not self.out_count and self.head() is None


class GroupedEntry(Entry):
    """An entry that belongs to a group.

    Attributes:
        rank: its place in the queue, priority included.
        is_expected: it was returned, and its group waits for it.
    """

    __slots__ = ("__weakref__", "group", "is_expected", "rank")

    def __init__(
        self, message: Message, queue: Queue, sequence: int, group: Group, level: int
    ) -> None:
        super().__init__(message, queue, sequence)
        self.group = group
        self.rank = sequence - (level << _LEVEL_BITS)
        self.is_expected = False


class Groups(Backlog):
    """The ready entries of a queue, by key.

    It measures itself always: a queue with groups does not live by speed alone.
    """

    is_measured: ClassVar[bool] = True
    shares_keyless: ClassVar[bool] = False
    """Whether messages without a key are one group; otherwise each is its own."""

    __slots__ = ("_drops", "_groups", "_key", "_max_priority", "_settled_count")

    def __init__(self, key: GroupKey, max_priority: int | None) -> None:
        super().__init__()
        self._key = key
        self._max_priority = max_priority or 0
        self._groups: dict[str | int | None, Group] = {}
        self._settled_count = 0  # entries that lie about
        self._drops: list[tuple[int, int, GroupedEntry]] | None = None

    @property
    def group_count(self) -> int:
        """How many keys are remembered."""
        return len(self._groups)

    def entry(self, message: Message, queue: Queue, sequence: int) -> GroupedEntry:
        """Return `message` as an entry of its group."""
        name: str | int | None = self._key.of(message)
        if name is None and not self.shares_keyless:
            name = sequence
        group = self._groups.get(name) or Group(name)
        level = min(message.header.priority, self._max_priority)
        return GroupedEntry(message, queue, sequence, group, level)

    # What a mode decides

    @abstractmethod
    def can_give(self) -> bool:
        """Whether there is something for any consumer."""

    @abstractmethod
    def take(self, consumer: Consumer | None) -> GroupedEntry | None:
        """Take the next entry for `consumer` (None: for basic.get), if there is one.

        Its group counts it as out, until `release`.
        """

    @abstractmethod
    def _line_up(self, group: Group) -> None:
        """Put `group` in line if something of it may leave, and it is not there."""

    def waiting_owners(self) -> Iterable[Consumer]:
        """Return the consumers for which something waits that no other may have."""
        return ()

    def can_give_own(self, consumer: Consumer) -> bool:
        """Whether something waits that only `consumer` may have."""
        return False

    def forget_owner(self, consumer: Consumer) -> None:
        """`consumer` works here no more: others may have what was its own."""

    def owner_of(self, entry: Entry) -> Consumer | None:
        """Return the consumer that has the key of `entry`."""
        return _grouped(entry).group.owner

    # The life of entries

    def push(self, entry: Entry) -> None:
        grouped = _grouped(entry)
        group = self._join(grouped)
        heapq.heappush(group.waiting, (grouped.rank, grouped))
        if self._drops is not None:
            heapq.heappush(self._drops, _drop_item(grouped))
        self.count += 1
        self.size_bytes += entry.message.size_bytes
        self._line_up(group)

    def push_returned(self, entry: Entry) -> None:
        self.forget_expected(entry)
        self.push(entry)

    def release(self, entry: Entry) -> None:
        """`entry` is out no more: it was settled, or is about to come back."""
        self._give_up(_grouped(entry).group)

    def expect(self, entry: Entry) -> None:
        grouped = _grouped(entry)
        grouped.is_expected = True
        self._join(grouped).out_count += 1

    def forget_expected(self, entry: Entry) -> None:
        grouped = _grouped(entry)
        if grouped.is_expected:
            grouped.is_expected = False
            self._give_up(grouped.group)

    def remove(self, entry: Entry) -> None:
        grouped = _grouped(entry)
        self._leave(grouped)
        grouped.state = SETTLED
        self._settled_count += 1
        if self._settled_count > self.count + _STALE_MAX:
            self._forget_settled()
        if grouped.group.is_idle:
            self._forget(grouped.group)

    def pop(self) -> Entry:
        """Take any entry; there is no next one but for somebody.

        Raises:
            IndexError: nothing may leave now.
        """
        entry = self.take(None)
        if entry is None:
            raise IndexError("nothing may leave now")
        return entry

    def pop_oldest(self) -> Entry:
        if self._drops is None:  # nobody has asked before
            self._drops = [_drop_item(entry) for entry in self._ready()]
            heapq.heapify(self._drops)
        while True:
            entry = heapq.heappop(self._drops)[2]
            if entry.state == READY:
                self.remove(entry)
                return entry

    def __iter__(self) -> Iterator[Entry]:
        return iter(sorted(self._ready(), key=_rank))

    def clear(self) -> list[Litter]:
        litter: deque[Entry] = deque(self._ready())
        for entry in litter:
            entry.state = SETTLED  # an ack may still come for it
        for group in self._groups.values():
            group.waiting = []
            group.listed = group.owner = None
        self._groups = {
            name: group for name, group in self._groups.items() if group.out_count
        }
        self._drops = None
        self.count = self.size_bytes = self._settled_count = 0
        return [litter]

    # Groups

    def _join(self, entry: GroupedEntry) -> Group:
        """Return the group of `entry`, which may have been forgotten meanwhile."""
        entry.group = self._groups.setdefault(entry.group.name, entry.group)
        return entry.group

    def _forget(self, group: Group) -> None:
        """Nothing is left of `group`."""
        self._groups.pop(group.name, None)

    def _pop_from(self, group: Group) -> GroupedEntry:
        """Take the next entry of `group`, which has one; it is out now."""
        entry = heapq.heappop(group.waiting)[1]
        group.out_count += 1
        self._leave(entry)
        return entry

    def _give_up(self, group: Group) -> None:
        group.out_count -= 1
        if group.is_idle:
            self._forget(group)
        else:
            self._line_up(group)

    def _leave(self, entry: GroupedEntry) -> None:
        self.count -= 1
        self.size_bytes -= entry.message.size_bytes
        if self.watcher is not None:
            self.watcher.look_soon()
        drops = self._drops
        if drops is not None and len(drops) > 2 * self.count + _STALE_MAX:
            self._drops = None  # made anew when it is needed

    def _ready(self) -> Iterator[GroupedEntry]:
        for group in self._groups.values():
            yield from (entry for _, entry in group.waiting if entry.state == READY)

    def _forget_settled(self) -> None:
        """Let go of entries that were removed, and of their messages."""
        for group in self._groups.values():
            group.waiting = [item for item in group.waiting if item[1].state == READY]
            heapq.heapify(group.waiting)
        self._settled_count = 0


def _grouped(entry: Entry) -> GroupedEntry:
    assert isinstance(entry, GroupedEntry)
    return entry


def _rank(entry: GroupedEntry) -> int:
    return entry.rank


def _drop_item(entry: GroupedEntry) -> tuple[int, int, GroupedEntry]:
    """Return an item of the heap of those to drop: the lowest level comes first."""
    level = -((entry.rank - entry.sequence) >> _LEVEL_BITS)
    return level, entry.sequence, entry
