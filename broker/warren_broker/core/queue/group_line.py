"""GroupLine: the groups of which something may leave, by the place of that."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Callable

    from warren_broker.core.queue.groups import Group

_STALE_MAX: Final = 64


@final
class GroupLine:
    """Groups in line, the one with the oldest entry first.

    What changes in a group is noticed when its turn comes: `may_leave` is asked then.
    Groups that have nothing left are let go of now and then besides: while nobody
    consumes, the first one's turn may never come.
    """

    __slots__ = ("_gone_seen", "_heap", "_may_leave", "_numbers")

    def __init__(self, may_leave: Callable[[Group], bool]) -> None:
        self._may_leave = may_leave
        self._numbers = count()
        self._heap: list[tuple[int, int, Group]] = []
        self._gone_seen = _STALE_MAX

    def add(self, group: Group) -> None:
        """Let `group` stand at the place of its next entry, if it has one."""
        head = group.head()
        if head is not None and (group.listed is None or head.rank < group.listed):
            group.listed = head.rank
            heapq.heappush(self._heap, (head.rank, next(self._numbers), group))
            if len(self._heap) > self._gone_seen:
                self._forget_gone()

    def first(self) -> Group | None:
        """Return the group whose turn it is; None when nobody stands in line."""
        while self._heap:
            rank, _, group = self._heap[0]
            if group.listed == rank:
                head = group.head()
                if head is not None and head.rank == rank and self._may_leave(group):
                    return group
                group.listed = None
            heapq.heappop(self._heap)
            if group.listed is None and self._may_leave(group):
                self.add(group)
        return None

    def take_first(self) -> Group:
        """Remove and return what `first` has just returned."""
        group = heapq.heappop(self._heap)[2]
        group.listed = None
        return group

    def _forget_gone(self) -> None:
        """Let go of groups that have nothing left, and of places that are none now."""
        kept = []
        for item in self._heap:
            rank, _, group = item
            if group.listed != rank:
                continue
            if group.head() is None:
                group.listed = None
            else:
                kept.append(item)
        heapq.heapify(kept)
        self._heap = kept
        self._gone_seen = 2 * len(kept) + _STALE_MAX
