"""Roster: which consumer gets the next entry.

Round robin among the consumers with room, those of the highest priority first.
A consumer found without room leaves its ring; it is put back when it has room again,
so a full consumer costs nothing until then. With single active consumer there is one
ring of one: the consumer that has been here longest.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.core.queue.consumer import Consumer


@final
class Roster:
    """The consumers of one queue."""

    __slots__ = (
        "_consumers",
        "_members",
        "_rings",
        "_rings_by_priority",
        "_single_active",
        "exclusive",
    )

    def __init__(self, *, single_active: bool) -> None:
        self._single_active = single_active
        self._consumers: dict[Consumer, None] = {}
        self._members: Counter[int] = Counter()  # consumers by priority
        self._rings_by_priority: dict[int, deque[Consumer]] = {}
        self._rings: list[deque[Consumer]] = []  # highest priority first
        self.exclusive: Consumer | None = None  # who has the queue for itself

    def __len__(self) -> int:
        return len(self._consumers)

    def __iter__(self) -> Iterator[Consumer]:
        return iter(self._consumers)

    def __contains__(self, consumer: Consumer) -> bool:
        return consumer in self._consumers

    def add(self, consumer: Consumer) -> None:
        """Let `consumer` work for this queue."""
        self._consumers[consumer] = None
        consumer.is_attached = True
        if consumer.exclusive:
            self.exclusive = consumer
        priority = consumer.priority
        self._members[priority] += 1
        if priority not in self._rings_by_priority:
            self._rings_by_priority[priority] = deque()
            self._order_rings()
        self.list(consumer)

    def remove(self, consumer: Consumer) -> None:
        """Forget `consumer`; with single active consumer the next one takes over."""
        del self._consumers[consumer]
        consumer.is_attached = False
        consumer.window.waiting.pop(consumer, None)
        if consumer is self.exclusive:
            self.exclusive = None
        priority = consumer.priority
        if consumer.is_listed:
            consumer.is_listed = False
            self._rings_by_priority[priority].remove(consumer)
        self._members[priority] -= 1
        if not self._members[priority]:
            del self._members[priority], self._rings_by_priority[priority]
            self._order_rings()
        if self._single_active and (heir := self.active) is not None:
            self.list(heir)

    @property
    def active(self) -> Consumer | None:
        """The consumer that single active consumer lets work."""
        return next(iter(self._consumers), None)

    def list(self, consumer: Consumer) -> None:
        """Count `consumer` among those that may have room, if it is one of ours."""
        if consumer.is_listed or not consumer.is_attached:
            return
        if self._single_active and consumer is not self.active:
            return
        consumer.is_listed = True
        self._rings_by_priority[consumer.priority].append(consumer)

    def next_ready(self) -> Consumer | None:
        """Choose who gets the next entry and move it to the end of its ring."""
        for ring in self._rings:
            while ring:
                consumer = ring[0]
                if consumer.has_room():
                    ring.rotate(-1)
                    return consumer
                ring.popleft()
                consumer.unlist()
        return None

    def _order_rings(self) -> None:
        rings = self._rings_by_priority
        self._rings = [rings[priority] for priority in sorted(rings, reverse=True)]
