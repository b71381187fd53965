"""Deadlines: when the broker must next be told the time.

Every owner (a queue, a connection, the unacked deliveries of a channel) registers
its *earliest* deadline only and works out the next one when it is told. So the heap
holds one live entry an owner, never one a message.
"""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from typing import Final, final

_STALE_MAX: Final = 64


class DeadlineOwner(ABC):
    """Something that wants to be told when a moment has come."""

    __slots__ = ()

    @abstractmethod
    def on_deadline(self, now: float) -> None:
        """Act on what is due at `now` and register the next deadline, if any."""


@final
class Deadlines:
    """The moments (monotonic seconds) that owners wait for."""

    __slots__ = ("_count", "_heap", "_live")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, DeadlineOwner]] = []
        self._live: dict[DeadlineOwner, tuple[float, int]] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._live)

    def set(self, owner: DeadlineOwner, when: float) -> None:
        """Wake `owner` at `when`, and no longer at the moment it had before."""
        known = self._live.get(owner)
        if known is not None and known[0] == when:
            return
        self._count += 1
        self._live[owner] = (when, self._count)
        heapq.heappush(self._heap, (when, self._count, owner))
        if len(self._heap) > 2 * len(self._live) + _STALE_MAX:
            self._heap = [item for item in self._heap if self._is_live(item)]
            heapq.heapify(self._heap)

    def cancel(self, owner: DeadlineOwner) -> None:
        """Forget `owner`. One that is not registered is no error."""
        self._live.pop(owner, None)
        if not self._live:
            self._heap.clear()

    def next(self) -> float | None:
        """Return the earliest moment anybody waits for, None when nobody does."""
        heap = self._heap
        while heap and not self._is_live(heap[0]):
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def run(self, now: float) -> None:
        """Tell each owner that is due at `now`, in order of time.

        An owner that registers a moment not after `now` while it is told is told
        again in a later call: one turn of deadlines always ends. What owners raise
        is raised when all have been told, in an exception group.
        """
        known = self._count
        later: list[tuple[float, int, DeadlineOwner]] = []
        bugs: list[Exception] = []
        while self._heap and self._heap[0][0] <= now:
            item = heapq.heappop(self._heap)
            if not self._is_live(item):
                continue
            if item[1] > known:  # registered by one of those told
                later.append(item)
                continue
            del self._live[item[2]]
            try:
                item[2].on_deadline(now)
            except Exception as bug:  # noqa: BLE001 - the others must be told
                bugs.append(bug)
        for item in later:
            heapq.heappush(self._heap, item)
        if bugs:
            raise ExceptionGroup("deadlines failed", bugs)

    def _is_live(self, item: tuple[float, int, DeadlineOwner]) -> bool:
        return self._live.get(item[2]) == item[:2]
