"""GroupLine: the groups of which something may leave, by the place of that."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Callable

    from warren_broker.core.queue.groups import Group


@final
class GroupLine:
    """Groups in line, the one with the oldest entry first.

    What changes in a group is noticed when its turn comes: `may_leave` is asked then.
    """

    __slots__ = ("_heap", "_may_leave", "_numbers")

    def __init__(self, may_leave: Callable[[Group], bool]) -> None:
        self._may_leave = may_leave
        self._numbers = count()
        self._heap: list[tuple[int, int, Group]] = []

    def add(self, group: Group) -> None:
        """Let `group` stand at the place of its next entry, if it has one."""
        head = group.head()
        if head is not None and (group.listed is None or head.rank < group.listed):
            group.listed = head.rank
            heapq.heappush(self._heap, (head.rank, next(self._numbers), group))

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
