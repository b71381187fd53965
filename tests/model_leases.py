"""How long a channel of the model may hold what it was given, and what ends that."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING

from tests.model_handing import Handing
from tests.model_parts import Lease

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.model_parts import Channel, Consumer, Held
    from tests.model_queue import Entry, Queue


class Leases(Handing):
    """A virtual host that takes back what is held too long."""

    def __init__(self, default_timeout: float) -> None:
        super().__init__()
        self.default_timeout = default_timeout

    @abstractmethod
    def give_back(self, channel: Channel, tags: Iterable[int], *, failed: bool) -> None:
        """Put back into their queues what a channel holds."""

    @abstractmethod
    def give_up(self, entry: Entry, reason: str) -> None:
        """Let an entry, which nobody holds any more, leave for good."""

    @abstractmethod
    def cancel(self, consumer: Consumer) -> None:
        """End a consumer; what it holds stays with its channel."""

    def lease_of(self, queue: Queue, wishes: Mapping[str, object]) -> Lease:
        """What somebody wishes, else what the queue says, else the broker."""
        said = {**queue.rules, **wishes}
        timeout = self.default_timeout
        if "x-consumer-timeout" in said:
            timeout = said["x-consumer-timeout"] / 1000.0 or math.inf
        return Lease(
            timeout,
            said.get("x-consumer-timeout-action", "requeue"),
            renews=said.get("x-lease-renew") == "connection",
            longest=said.get("x-lease-max", 86_400_000) / 1000.0,
        )

    def end_of(self, channel: Channel, held: Held) -> float:
        """Until when an entry may be held."""
        lease = self.terms_of(held)
        until = held.extended_until
        if lease.renews:
            until = max(until, channel.heard_at + lease.timeout)
        until = min(until, held.since + lease.longest)
        return max(until, held.since + lease.timeout)

    def terms_of(self, held: Held) -> Lease:
        if held.consumer is None:
            return self.lease_of(held.entry.queue, {})
        return held.consumer.lease

    def extend(self, channel: Channel, tag: int, seconds: float) -> bool:
        tags = channel.unacked if tag == 0 else {tag} & channel.unacked.keys()
        for one in tags:
            held = channel.unacked[one]
            held.extended_until = max(held.extended_until, self.now + seconds)
        return bool(tags)

    def end_leases(self, channel: Channel) -> None:
        """Do with what was held too long what its lease says."""
        due = {
            tag: held
            for tag, held in channel.unacked.items()
            if self.end_of(channel, held) <= self.now
        }
        by_action: dict[str, list[int]] = {}
        for tag, held in due.items():
            held.entry.queue.timed_out += 1
            action = self.action_for(channel, held)
            by_action.setdefault(action, []).append(tag)
            if action == "close-channel":
                channel.is_late = True
                channel.is_flowing = False
            else:
                channel.overdue[tag] = held.entry
        cancelled = {due[tag].consumer: None for tag in by_action.get("cancel", [])}
        for consumer in cancelled:
            consumer.is_stopped = True
        returned = by_action.get("requeue", []) + by_action.get("cancel", [])
        self.give_back(channel, sorted(returned), failed=False)
        for consumer in cancelled:
            if consumer in consumer.queue.consumers:
                self.cancel(consumer)
        for tag in by_action.get("dead-letter", []):
            entry = channel.unacked.pop(tag).entry
            self.dispatch()
            self.give_up(entry, "consumer_timeout")
            self.dispatch()

    def action_for(self, channel: Channel, held: Held) -> str:
        """What can be done: not everybody can be told of a cancelled consumer."""
        action, consumer = self.terms_of(held).action, held.consumer
        if action != "cancel":
            return action
        if consumer is None:
            return "close-channel"
        if consumer not in consumer.queue.consumers:
            return "requeue"
        return action if channel.knows_cancel else "close-channel"
