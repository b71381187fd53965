"""The modes of groups (`x-group-mode`): which key comes next, and for whom."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, ClassVar, Final, final

from warren_broker.core.arguments import GroupMode
from warren_broker.core.queue.group_line import GroupLine
from warren_broker.core.queue.groups import Group, GroupedEntry, Groups

if TYPE_CHECKING:
    from warren_broker.core.arguments import GroupKey
    from warren_broker.core.message import Message
    from warren_broker.core.queue.consumer import Consumer
    from warren_broker.core.sweeper import Litter

IDLE_MAX: Final = 100_000
"""Keys of which there is nothing, and yet a sticky queue remembers whose they are."""

_STALE_MAX: Final = 64
_UNIT_BYTES: Final = 16 * 1024
_COST_MAX: Final = 16


@final
class OrderedGroups(Groups):
    """One entry of a key is out at most: the next one waits for its ack."""

    __slots__ = ("_line",)

    def __init__(self, key: GroupKey, max_priority: int | None) -> None:
        super().__init__(key, max_priority)
        self._line = GroupLine(_has_nothing_out)

    def can_give(self) -> bool:
        return self._line.first() is not None

    def take(self, consumer: Consumer | None) -> GroupedEntry | None:
        if self._line.first() is None:
            return None
        return self._pop_from(self._line.take_first())

    def clear(self) -> list[Litter]:
        self._line = GroupLine(_has_nothing_out)
        return super().clear()

    def _line_up(self, group: Group) -> None:
        if _has_nothing_out(group):
            self._line.add(group)


@final
class StickyGroups(Groups):
    """A key belongs to the consumer that got its first entry, while that lives.

    When its owner has gone, what is out must be settled before another gets the key.
    """

    __slots__ = ("_free", "_idle", "_lines", "_owned")

    def __init__(self, key: GroupKey, max_priority: int | None) -> None:
        super().__init__(key, max_priority)
        self._free = GroupLine(_is_free)
        self._lines: dict[Consumer, GroupLine] = {}
        self._owned: dict[Consumer, dict[Group, None]] = {}
        self._idle: OrderedDict[Group, None] = OrderedDict()

    def can_give(self) -> bool:
        return self._free.first() is not None

    def can_give_own(self, consumer: Consumer) -> bool:
        line = self._lines.get(consumer)
        return line is not None and line.first() is not None

    def waiting_owners(self) -> list[Consumer]:
        return [consumer for consumer in self._lines if self.can_give_own(consumer)]

    def take(self, consumer: Consumer | None) -> GroupedEntry | None:
        free = self._free.first()
        if consumer is None:
            return None if free is None else self._pop_from(self._free.take_first())
        line = self._lines.get(consumer)
        own = None if line is None else line.first()
        if line is not None and own is not None and _comes_first(own, free):
            group = line.take_first()
        elif free is not None:
            group = self._free.take_first()
            self._own(group, consumer)
        else:
            return None
        entry = self._pop_from(group)
        self._line_up(group)
        return entry

    def forget_owner(self, consumer: Consumer) -> None:
        self._lines.pop(consumer, None)
        for group in self._owned.pop(consumer, {}):
            group.owner = group.listed = None
            self._idle.pop(group, None)
            if group.is_idle:
                self._forget(group)
            else:
                self._line_up(group)

    def clear(self) -> list[Litter]:
        self._free = GroupLine(_is_free)
        self._lines.clear()
        self._owned.clear()
        self._idle.clear()
        return super().clear()

    def _own(self, group: Group, consumer: Consumer) -> None:
        group.owner = consumer
        self._owned.setdefault(consumer, {})[group] = None
        if consumer not in self._lines:
            self._lines[consumer] = GroupLine(lambda one: one.owner is consumer)

    def _line_up(self, group: Group) -> None:
        self._idle.pop(group, None)
        if group.owner is not None:
            self._lines[group.owner].add(group)
        elif _is_free(group):
            self._free.add(group)

    def _forget(self, group: Group) -> None:
        """Remember whose it was, up to a limit."""
        if group.owner is None:
            super()._forget(group)
            return
        self._idle[group] = None
        if len(self._idle) > IDLE_MAX:
            oldest, _ = self._idle.popitem(last=False)
            if oldest.owner is not None:
                del self._owned[oldest.owner][oldest]
                oldest.owner = None
            super()._forget(oldest)


@final
class FairGroups(Groups):
    """Keys take turns: deficit round robin.

    In each round a key may take one unit more; a message costs one for each 16 KiB
    begun, up to 16. So one tenant's flood, of messages or of bytes, holds up no other.
    """

    shares_keyless: ClassVar[bool] = True
    __slots__ = ("_gone_seen", "_ring")

    def __init__(self, key: GroupKey, max_priority: int | None) -> None:
        super().__init__(key, max_priority)
        self._ring: deque[Group] = deque()
        self._gone_seen = _STALE_MAX

    def can_give(self) -> bool:
        return self.count > 0

    def take(self, consumer: Consumer | None) -> GroupedEntry | None:
        ring = self._ring
        while ring:
            group = ring[0]
            head = group.head()
            if head is None:
                _leave_ring(ring.popleft())
                continue
            group.credit += 1
            cost = _cost(head.message)
            ring.rotate(-1)
            if group.credit >= cost:
                group.credit -= cost
                return self._pop_from(group)
        return None

    def clear(self) -> list[Litter]:
        self._ring.clear()
        return super().clear()

    def _line_up(self, group: Group) -> None:
        if group.listed is None and group.head() is not None:
            group.listed = 0
            self._ring.append(group)
            if len(self._ring) > self._gone_seen:
                self._forget_gone()

    def _forget_gone(self) -> None:
        """Let go of keys that have nothing left: nobody may take for a long time."""
        former, self._ring = self._ring, deque()
        for group in former:
            if group.head() is None:
                _leave_ring(group)
            else:
                self._ring.append(group)
        self._gone_seen = 2 * len(self._ring) + _STALE_MAX


def _leave_ring(group: Group) -> None:
    group.listed = None
    group.credit = 0


def _has_nothing_out(group: Group) -> bool:
    return not group.out_count


def _is_free(group: Group) -> bool:
    return group.owner is None and not group.out_count


def _comes_first(own: Group, free: Group | None) -> bool:
    return free is None or _place(own) < _place(free)


def _place(group: Group) -> int:
    return group.listed or 0


def _cost(message: Message) -> int:
    return min(1 + message.size_bytes // _UNIT_BYTES, _COST_MAX)


GROUP_MODES: Final[dict[GroupMode, type[Groups]]] = {
    GroupMode.ORDERED: OrderedGroups,
    GroupMode.STICKY: StickyGroups,
    GroupMode.FAIR: FairGroups,
}
