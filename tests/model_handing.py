"""How the model of a broker hands out what is ready: to whom, and what comes next."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from tests.model_letters import Letters
from tests.model_parts import Delivered, Held

if TYPE_CHECKING:
    from tests.model_parts import Consumer
    from tests.model_queue import Entry, Queue


class Handing(Letters):
    """A virtual host with consumers."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = 0
        self.deliveries: deque[Delivered] = deque()

    # What comes next

    def next_entries(self, queue: Queue, taker: Consumer | None) -> list[Entry]:
        """What `taker` may be given now; the broker may choose if it is several.

        None stands for basic.get, which has nothing of its own.
        """
        if queue.mode is None:
            return queue.ready[:1]
        if queue.mode == "fair":
            keys = list(dict.fromkeys(entry.key for entry in queue.ready))
            return [self.first_of(queue, [key])[0] for key in keys]
        keys = [
            entry.key for entry in queue.ready if self.is_free(queue, entry.key, taker)
        ]
        return self.first_of(queue, keys)

    def first_of(self, queue: Queue, keys: list[object]) -> list[Entry]:
        return [entry for entry in queue.ready if entry.key in keys][:1]

    def is_free(self, queue: Queue, key: object, taker: Consumer | None) -> bool:
        """Whether nothing of `key` is out, or in sticky mode `taker` has the key."""
        if key in queue.key_owners:
            return queue.key_owners[key] is taker
        return key not in self.keys_out(queue)

    def keys_out(self, queue: Queue) -> list[object]:
        """The keys of what is unacked, or was and will come back."""
        out = [
            held.entry
            for channel in self.channels.values()
            for held in channel.unacked.values()
        ]
        out += [one.entry for one in queue.delayed if one.is_returned]
        return [entry.key for entry in out if entry.queue is queue]

    # To whom

    def takers(self, queue: Queue) -> list[Consumer]:
        """Who may get the next entry."""
        consumers = queue.consumers
        if queue.rules.get("x-single-active-consumer"):
            consumers = consumers[:1]
        able = [
            consumer
            for consumer in consumers
            if consumer.has_room() and self.next_entries(queue, consumer)
        ]
        if queue.mode == "sticky" and not self.next_entries(queue, None):
            return able  # each has something that nobody else may have
        best = max((consumer.priority for consumer in able), default=0)
        return [consumer for consumer in able if consumer.priority == best]

    def hand_over(self, queue: Queue) -> None:
        """An entry that may leave went to whom the broker says it did."""
        self.note_room()
        takers = self.takers(queue)
        assert self.deliveries, f"{queue.name}: {takers} were given nothing"
        said = self.deliveries.popleft()
        found = [
            taker
            for taker in takers
            if (taker.channel.name, taker.tag) == (said.channel, said.consumer)
        ]
        assert found, f"{said}, but only {takers} might get it"
        consumer, channel = found[0], found[0].channel
        channel.tag += 1
        wanted = {
            Delivered(
                queue.name,
                entry.message.identity,
                entry.message.key,
                entry.attempts,
                channel.name,
                consumer.tag,
                channel.tag,
            ): entry
            for entry in self.next_entries(queue, consumer)
        }
        assert said in wanted
        entry = wanted[said]
        self.take_turn(entry, consumer, takers)
        queue.take(entry)
        if consumer.no_ack:
            queue.fates["acked"] += 1
        else:
            channel.unacked[channel.tag] = Held(entry, consumer, self.now)
        self.end_turn(consumer)

    def take_turn(
        self, entry: Entry, consumer: Consumer, takers: list[Consumer]
    ) -> None:
        """Nobody is served twice while an equal waits with room all the time."""
        queue = entry.queue
        if queue.mode == "sticky":
            queue.key_owners[entry.key] = consumer
            return
        queue.take_key_turn(entry)
        for other in takers:
            assert (other.has_room_since or 0) >= consumer.served_at, (
                f"{consumer} was served twice while {other} waited"
            )

    def end_turn(self, consumer: Consumer) -> None:
        self.clock += 1
        consumer.served_at = self.clock
        consumer.has_room_since = self.clock
        self.note_room()

    def note_room(self) -> None:
        for channel in self.channels.values():
            for consumer in channel.consumers.values():
                if not consumer.has_room():
                    consumer.has_room_since = None
                elif consumer.has_room_since is None:
                    self.clock += 1
                    consumer.has_room_since = self.clock

    def able_queues(self) -> list[Queue]:
        """The queues where something is ready and somebody can take it."""
        return [
            queue
            for queue in self.queues.values()
            if queue.ready and self.takers(queue)
        ]

    def dispatch(self) -> None:
        """Hand out whatever can be."""
        self.note_room()
        while able := self.able_queues():
            name = self.deliveries[0].queue if self.deliveries else ""
            chosen = [queue for queue in able if queue.name == name] or able
            self.serve(chosen[0])

    def serve(self, queue: Queue, fresh: Entry | None = None) -> None:
        """Hand out what comes next; what is over its time is given up instead."""
        head = self.next_entries(queue, self.takers(queue)[0])[0]
        if head is fresh or not self.is_expired(head):
            self.hand_over(queue)
            return
        queue.take(head)
        for consumer in queue.consumers:
            consumer.served_at = 0  # somebody's turn may have gone with it
        self.bury(head, "expired")

    def is_expired(self, entry: Entry) -> bool:
        return entry.expires_at is not None and entry.expires_at <= self.now
