"""Delays: entries that belong to a queue but must wait before they are ready.

A returned entry waits for its retry, a message with a moment of its own for that.
One heap a queue and one deadline for it, like expiry.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final, final

from warren_broker.core.queue.entry import DELAYED, SETTLED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.core.queue.entry import Entry

_STALE_MAX: Final = 64


@final
class Delays:
    """The delayed entries of a queue, soonest first.

    Attributes:
        count: those that still wait.  size_bytes: of their messages.
    """

    __slots__ = ("_heap", "count", "size_bytes")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Entry, str | None]] = []
        self.count = 0
        self.size_bytes = 0

    def __iter__(self) -> Iterator[Entry]:
        return (item[2] for item in self._heap if item[2].state == DELAYED)

    def add(self, entry: Entry, until: float, reason: str | None) -> None:
        """Let `entry` wait; then it is ready again or, with a `reason`, given up."""
        entry.state = DELAYED
        self._account(1, entry)
        heapq.heappush(self._heap, (until, entry.sequence, entry, reason))

    def remove(self, entry: Entry) -> None:
        """Let `entry` wait no longer; it counts as settled."""
        entry.state = SETTLED
        self._account(-1, entry)
        if len(self._heap) > 2 * self.count + _STALE_MAX:
            self._heap = [item for item in self._heap if item[2].state == DELAYED]
            heapq.heapify(self._heap)

    def next(self) -> float | None:
        """Return when the next entry has waited enough."""
        heap = self._heap
        while heap and heap[0][2].state != DELAYED:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def take_due(self, now: float, maximum: int) -> list[tuple[Entry, str | None]]:
        """Remove and return what has waited enough, `maximum` at most, and why."""
        due: list[tuple[Entry, str | None]] = []
        while len(due) < maximum and (when := self.next()) is not None and when <= now:
            due.append(self._take())
        return due

    def take_soonest(self) -> tuple[Entry, str | None]:
        """Remove and return what has to wait least; something must wait."""
        self.next()
        return self._take()

    def _take(self) -> tuple[Entry, str | None]:
        _, _, entry, reason = heapq.heappop(self._heap)
        self._account(-1, entry)
        return entry, reason

    def _account(self, sign: int, entry: Entry) -> None:
        self.count += sign
        self.size_bytes += sign * entry.message.size_bytes

    def clear(self) -> list[tuple[float, int, Entry, str | None]]:
        """Forget all entries; they count as settled. Return what is to be freed."""
        litter, self._heap = self._heap, []
        for _, _, entry, _ in litter:
            if entry.state == DELAYED:
                entry.state = SETTLED  # an ack may still come for it
        self.count = self.size_bytes = 0
        return litter
