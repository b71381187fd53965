"""What the model of a broker does by itself, when its time has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model_leases import Leases

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.model_parts import Channel
    from tests.model_queue import Entry, Queue


class Times(Leases):
    """A virtual host in time."""

    def next_due(self) -> float | None:
        return min(
            [
                *(when for queue in self.queues.values() for when in dues_of(queue)),
                *(
                    self.end_of(channel, held)
                    for channel in self.channels.values()
                    for held in channel.unacked.values()
                ),
            ],
            default=None,
        )

    def tick(self, now: float, order: Iterable[Queue | Channel]) -> None:
        """Do what is due, in the order in which the broker does it."""
        self.now = now
        for one in order:
            if one in self.queues.values():
                self.tick_queue(one)
            elif one in self.channels.values():
                self.end_leases(one)
            self.dispatch()

    def tick_queue(self, queue: Queue) -> None:
        self.expire(queue)
        if not queue.is_deleted:
            self.end_delays(queue)
        until = queue.unused_until()
        if not queue.is_deleted and until is not None and until <= self.now:
            self.drop(queue)

    def expire(self, queue: Queue) -> None:
        mine = [*queue.ready, *(one.entry for one in queue.delayed)]
        due = [entry for entry in mine if self.is_expired(entry)]
        for entry in sorted(due, key=lambda entry: (entry.expires_at, entry.place)):
            if self.withdraw(entry):
                self.bury(entry, "expired")

    def withdraw(self, entry: Entry) -> bool:
        """Take an entry out of its queue, if it is there and nobody holds it."""
        queue = entry.queue
        if entry in queue.ready:
            queue.take(entry)
            return True
        for one in queue.delayed:
            if one.entry is entry:
                queue.delayed.remove(one)
                self.trim(queue)
                self.dispatch()
                return True
        return False

    def end_delays(self, queue: Queue) -> None:
        """All that is ready again is in its place before any of it leaves."""
        due = [one for one in queue.delayed if one.until <= self.now]
        due.sort(key=lambda one: (one.until, one.entry.place))
        for one in due:
            queue.delayed.remove(one)
            if one.reason is None:
                queue.put(one.entry)
        if due:
            self.trim(queue)
            self.dispatch()
        for one in due:
            if one.reason is not None:
                self.bury(one.entry, one.reason)


def dues_of(queue: Queue) -> list[float]:
    """When a queue has something to do."""
    mine = [*queue.ready, *(one.entry for one in queue.delayed)]
    whens = [entry.expires_at for entry in mine]
    whens += [one.until for one in queue.delayed]
    return [when for when in (*whens, queue.unused_until()) if when is not None]
