"""Expiry: which ready entries are over their time to live.

One heap a queue and one deadline for it. RabbitMQ looks at the head only; here an
entry expires when its time is over, wherever it stands.
"""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, final

from warren_broker.core.queue.entry import READY, SETTLED, UNACKED

if TYPE_CHECKING:
    from warren_broker.core.queue.entry import Entry

_STALE_MAX: Final = 64


class Reminder(ABC):
    """Stands for entries that are packed, when the first of them is over its time.

    Attributes:
        sequence: of that or another of them.
        state: ready, or settled if they are packed no more.
    """

    __slots__ = ("sequence", "state")

    def __init__(self, sequence: int) -> None:
        self.sequence = sequence
        self.state = READY

    def __lt__(self, other: Entry | Reminder) -> bool:
        return self.sequence < other.sequence

    @abstractmethod
    def unpack(self) -> None:
        """Have the entries watched themselves."""


@final
class Expiry:
    """The entries of a queue that have a time to live, soonest first."""

    __slots__ = ("_heap", "_settled_seen")

    def __init__(self) -> None:
        self._heap: list[tuple[float, Entry | Reminder]] = []
        self._settled_seen = _STALE_MAX

    def watch(self, entry: Entry, expires_at: float) -> None:
        """Remember that `entry` must not be delivered from `expires_at` on."""
        entry.expires_at = expires_at
        self.remind(entry, expires_at)

    def remind(self, item: Entry | Reminder, when: float) -> None:
        """Remember `item` until then."""
        heapq.heappush(self._heap, (when, item))
        if len(self._heap) > self._settled_seen:
            self._forget_settled()

    def next(self) -> float | None:
        """Return when the next entry is over its time."""
        heap = self._heap
        while heap and heap[0][1].state == SETTLED:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def take_due(self, now: float) -> Entry | Reminder | None:
        """Remove and return an entry that is over its time and not settled."""
        when = self.next()
        if when is None or when > now:
            return None
        return heapq.heappop(self._heap)[1]

    def keep_unacked(self) -> list[tuple[float, Entry | Reminder]]:
        """Forget all entries but those that are out and may come back.

        Return what is still to be freed, see `Sweeper`.
        """
        forgotten = self._heap
        self._heap = [item for item in forgotten if item[1].state == UNACKED]
        heapq.heapify(self._heap)
        return forgotten

    def _forget_settled(self) -> None:
        """Let go of entries that left in time: they would pin their messages."""
        self._heap = [item for item in self._heap if item[1].state != SETTLED]
        heapq.heapify(self._heap)
        self._settled_seen = 2 * len(self._heap) + _STALE_MAX
