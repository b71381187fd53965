"""What a queue of the model does with a message whose id it has, or had lately."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING

from tests.model_parts import AMPLE
from tests.model_schedule import Scheduling

if TYPE_CHECKING:
    from tests.model_parts import Message
    from tests.model_queue import Entry, Queue


class Uniqueness(Scheduling):
    """A virtual host with queues that want no duplicates."""

    @abstractmethod
    def take_in(
        self, queue: Queue, message: Message, *, instead_of: Entry | None = None
    ) -> None:
        """Put a message into a queue that has room for it."""

    def deduplicate(self, queue: Queue, message: Message) -> bool | None:
        """What the publisher of a duplicate is told; None: it is none."""
        mode, unique = queue.unique_mode, message.unique
        if mode is None or unique is None:
            return None
        answer = None
        if mode in {"drop", "reject"}:
            if queue.seen.get(unique, -math.inf) > self.now:
                answer = mode == "drop"
        elif mode == "until-ack":
            answer = None if self.present(queue, unique) is None else True
        else:
            answer = self.replace(queue, message)
        queue.duplicates += answer is not None
        return answer

    def replace(self, queue: Queue, message: Message) -> bool | None:
        """It takes the place of the one before, if that waits and lets it fit."""
        old = self.waiting(queue, message.unique)
        if old is None:
            return None
        growth = message.size - old.message.size
        limit = queue.rules.get("x-max-length-bytes", AMPLE)
        total = sum(entry.message.size for entry in queue.ready)
        if growth > 0 and total + growth > limit:
            return None
        self.take_in(queue, message, instead_of=old)
        return True

    def remember(self, entry: Entry) -> None:
        queue, unique = entry.queue, entry.message.unique
        if queue.unique_mode is None or unique is None:
            return
        if queue.unique_mode == "replace":
            self.replaced(self.waiting(queue, unique))
        queue.newest[unique] = entry
        queue.seen.pop(unique, None)
        own = entry.message.headers.get("x-cache-ttl")
        lifetime = own or queue.rules.get("x-cache-ttl", math.inf)
        queue.seen[unique] = self.now + lifetime / 1000.0
        while len(queue.seen) > queue.rules.get("x-cache-size", AMPLE):
            del queue.seen[next(iter(queue.seen))]

    def replaced(self, entry: Entry | None) -> None:
        if entry is not None:
            entry.queue.fates["replaced"] += 1
            self.withdraw(entry)

    def present(self, queue: Queue, unique: object) -> Entry | None:
        """The last entry of the id, if it is still there."""
        held = [
            one.entry
            for channel in self.channels.values()
            for one in channel.unacked.values()
        ]
        there = [*queue.ready, *(one.entry for one in queue.delayed), *held]
        known = [queue.newest.get(unique), queue.survivors.get(unique)]
        return next((entry for entry in known if entry in there), None)

    def waiting(self, queue: Queue, unique: object) -> Entry | None:
        """The same if nobody has it, and if it is not out for a retry."""
        entry = self.present(queue, unique)
        if entry in queue.ready:
            return entry
        returned = [one.entry for one in queue.delayed if one.is_returned]
        refused = [one.entry for one in queue.delayed if one.reason is not None]
        delayed = [one.entry for one in queue.delayed]
        return entry if entry in delayed and entry not in returned + refused else None
