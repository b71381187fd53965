"""What a broker must do, in slow and obvious lines.

Lists and dictionaries, no index, no cache, nothing shared with the broker itself.
Whatever can be counted is counted anew each time it is asked for.

What is free to the broker the model asks for, and then says whether the answer was
allowed: which of several equal consumers got an entry, and of which key where keys take
turns (`deliveries`, what the broker has handed out and the model has not yet accounted
for); in which order a message reached several queues (`in_order`); and in which order
several things were done that were due at one moment (`tick`).

Each part of it is a class that knows those before it: topology, dead letters, handing
out, leases, times, the schedule, uniqueness, waiting rooms, and then this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model_parts import (
    ACCEPTED,
    AMPLE,
    PENDING,
    REFUSED,
    UNROUTED,
    Channel,
    Consumer,
    Held,
    Message,
    Refused,
)
from tests.model_queue import Delayed, Entry, Queue, Waiting
from tests.model_room import Rooms

if TYPE_CHECKING:
    from collections.abc import Iterable


class Model(Rooms):
    """One virtual host, its connections and channels, and the time."""

    def __init__(self, default_timeout: float) -> None:
        super().__init__(default_timeout)
        self.place = 0

    # Publishing

    def publish(self, message: Message) -> int:
        if self.exchange(message.exchange).internal:
            raise Refused(403)
        kept = self.schedule(message)
        if kept is not None:
            return kept
        results = self.publish_now(message)
        if not results:
            return UNROUTED
        waiting = [one for one in results if isinstance(one, Waiting)]
        if False in results:
            return REFUSED
        if waiting:
            self.join(message.identity, waiting)
        return PENDING if waiting else ACCEPTED

    def publish_now(self, message: Message) -> list[bool | Waiting]:
        names = self.in_order(message, self.route(message))
        return [self.accept(self.queues[name], message) for name in names]

    def accept(self, queue: Queue, message: Message) -> bool | Waiting:
        answer = self.deduplicate(queue, message)
        if answer is not None:
            return answer
        overflow = queue.overflow
        if overflow == "block" and (queue.room.line or queue.is_over([message])):
            return self.wait_for_room(queue, message)
        if overflow not in {"drop-head", "block"} and queue.is_over([message]):
            if overflow in {"reject-publish-dlx", "drop-tail"}:
                self.dead_letter(queue, message, "maxlen")
            return overflow == "drop-tail"
        self.take_in(queue, message)
        return True

    def take_in(
        self, queue: Queue, message: Message, *, instead_of: Entry | None = None
    ) -> None:
        self.place += 1
        place = self.place
        if instead_of is not None:
            place = instead_of.place
            self.replaced(instead_of)
        ready_at = max(self.now, queue.deliver_at(message))
        expires_at = queue.lifetime_ends(message, ready_at)
        entry = Entry(message, queue, place, expires_at)
        self.remember(entry)
        queue.received += 1
        if ready_at > self.now:
            self.delay(Delayed(entry, ready_at))
        elif instead_of is None:
            self.offer(entry)
        else:
            queue.put(entry)
            self.trim(queue)
            self.dispatch()

    def change_rules(self, queue: Queue, rules: dict[str, object]) -> None:
        """They hold from now on; what has an end of its life already keeps it."""
        queue.rules = rules
        if queue.overflow != "block":
            self.dissolve(queue.room)
        self.trim(queue)

    def offer(self, entry: Entry) -> None:
        """Hand out what is new, even with a time to live of 0, or let it wait."""
        queue = entry.queue
        is_next = not queue.ready
        queue.put(entry)
        if queue.mode is None and is_next and self.takers(queue):
            self.serve(queue, entry)
            return
        while queue.mode is not None and self.takers(queue):
            self.serve(queue, entry)
        self.trim(queue)

    # Consuming

    def consume(self, consumer: Consumer) -> None:
        queue = consumer.queue
        single = queue.rules.get("x-single-active-consumer")
        if any(other.exclusive for other in queue.consumers) or (
            consumer.exclusive and (queue.consumers or single)
        ):
            raise Refused(403)
        queue.consumers.append(consumer)
        consumer.channel.consumers[consumer.tag] = consumer
        queue.used_at = self.now
        self.dispatch()

    def cancel(self, consumer: Consumer) -> None:
        queue = consumer.queue
        del consumer.channel.consumers[consumer.tag]
        queue.consumers.remove(consumer)
        queue.key_owners = {
            key: owner for key, owner in queue.key_owners.items() if owner != consumer
        }
        queue.used_at = self.now
        if queue.auto_delete and not queue.consumers:
            self.drop(queue)
        self.dispatch()

    def get(
        self,
        channel: Channel,
        name: str,
        said: tuple[int, str, int] | None,
        *,
        no_ack: bool,
    ) -> Entry | None:
        """The broker said what it took, where that is a matter of turns of keys."""
        queue = self.queue(name, channel.connection)
        if queue.rules.get("x-single-active-consumer"):
            raise Refused(405)
        queue.used_at = self.now
        while found := self.next_entries(queue, None):
            same = [entry for entry in found if entry.seen == said]
            entry = (same or found)[0]
            if not self.is_expired(entry):
                channel.tag += 1
                queue.take_key_turn(entry)
                queue.take(entry)
                if no_ack:
                    queue.fates["acked"] += 1
                    self.dispatch()
                else:
                    channel.unacked[channel.tag] = Held(entry, None, self.now)
                return entry
            queue.take(entry)
            self.bury(entry, "expired")
        return None

    # Settling

    def tags(self, channel: Channel, tag: int, *, multiple: bool) -> list[int]:
        known = sorted({*channel.unacked, *channel.overdue})
        if multiple and tag == 0:
            return known
        if tag not in known:
            raise Refused(406)
        return [one for one in known if one == tag or (multiple and one < tag)]

    def ack(self, channel: Channel, tag: int, *, multiple: bool) -> None:
        tags = self.tags(channel, tag, multiple=multiple)
        for tag in tags:
            if tag in channel.unacked:
                channel.unacked.pop(tag).entry.queue.fates["acked"] += 1
                self.dispatch()
        for tag in tags:
            if tag in channel.overdue:
                self.ack_late(channel.overdue.pop(tag))

    def ack_late(self, entry: Entry) -> None:
        """The work is done: nobody else needs to do it, if nobody has begun."""
        if self.withdraw(entry):
            entry.queue.fates["acked"] += 1
        else:
            entry.queue.late_acks += 1

    def refuse(
        self, channel: Channel, tag: int, *, multiple: bool, requeue: bool, failed: bool
    ) -> None:
        tags = self.tags(channel, tag, multiple=multiple)
        for tag in tags:
            channel.overdue.pop(tag, None)  # it is back in its queue already
        held = [tag for tag in tags if tag in channel.unacked]
        if requeue:
            self.give_back(channel, held, failed=failed)
        else:
            for tag in held:
                entry = channel.unacked.pop(tag).entry
                self.dispatch()
                self.give_up(entry, "rejected")
                self.dispatch()

    def give_up(self, entry: Entry, reason: str) -> None:
        """It leaves for good: at once, or after the delay that it asks for."""
        queue = entry.queue
        waits = entry.own_delay and "x-dead-letter-exchange" in queue.rules
        if waits and not self.is_expired(entry):
            self.delay(Delayed(entry, self.now + entry.own_delay, reason))
        else:
            self.bury(entry, reason)

    def delay(self, one: Delayed) -> None:
        queue = one.entry.queue
        if not queue.is_deleted:
            queue.delayed.append(one)
            self.trim(queue)

    def give_back(self, channel: Channel, tags: Iterable[int], *, failed: bool) -> None:
        """All come back to their places before any is handed out or buried."""
        was_busy, self.is_busy = self.is_busy, True
        for tag in list(tags):
            self.take_back(channel.unacked.pop(tag).entry, failed=failed)
        self.dispatch()
        self.is_busy = was_busy
        self.send_letters()
        self.dispatch()

    def take_back(self, entry: Entry, *, failed: bool) -> None:
        queue = entry.queue
        entry.attempts += 1
        if queue.is_deleted:
            return
        if entry.attempts > queue.rules.get("x-delivery-limit", AMPLE):
            self.bury(entry, "delivery_limit")
        elif self.is_expired(entry):
            self.bury(entry, "expired")
        elif seconds := queue.retry_delay(entry, failed=failed):
            self.delay(Delayed(entry, self.now + seconds, is_returned=True))
        else:
            queue.put(entry)
            self.trim(queue)

    def close_channel(self, channel: Channel) -> None:
        channel.is_flowing = False
        for consumer in list(channel.consumers.values()):
            self.cancel(consumer)
        del self.channels[channel.name]
        self.give_back(channel, channel.unacked, failed=True)

    def close_connection(self, connection: str) -> None:
        """Its channels take nothing from one another on the way."""
        mine = [one for one in self.channels.values() if one.connection == connection]
        for channel in mine:
            channel.is_flowing = False
        for channel in sorted(mine, key=lambda one: one.name):
            self.close_channel(channel)
        for queue in list(self.queues.values()):
            if queue.owner == connection:
                self.drop(queue)
