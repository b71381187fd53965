"""What a broker must do, in slow and obvious lines.

Lists and dictionaries, no index, no cache, nothing shared with the broker itself.
Whatever can be counted is counted anew each time it is asked for.

Two things are not the model's to decide, and it asks the real broker for them: which
of several equal consumers got an entry (`deliveries`, what the broker has handed out
and the model has not yet accounted for), and in which order a message reached several
queues (`in_order`). It then says whether the answer was allowed.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from tests.model_parts import (
    AMPLE,
    Channel,
    Consumer,
    Delivered,
    Entry,
    Held,
    Message,
    Queue,
    Refused,
    dead,
    is_cycle,
    unused_until,
)
from tests.model_topology import Topology

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

UNROUTED, ACCEPTED, REFUSED = range(3)


class Model(Topology):
    """One virtual host, its connections and channels, and the time."""

    def __init__(self, default_timeout: float) -> None:
        super().__init__()
        self.default_timeout = default_timeout
        self.clock = 0
        self.place = 0
        self.deliveries: deque[Delivered] = deque()
        self.in_order: Callable[[Message, set[str]], list[str]]
        self.letters: list[tuple[Queue, Message, str]] = []
        self.is_busy = False  # letters wait

    # Publishing

    def publish(self, message: Message) -> int:
        if self.exchange(message.exchange).internal:
            raise Refused(403)
        names = self.route(message)
        if not names:
            return UNROUTED
        results = [
            self.accept(self.queues[name], message)
            for name in self.in_order(message, names)
        ]
        return ACCEPTED if all(results) else REFUSED

    def accept(self, queue: Queue, message: Message) -> bool:
        overflow = queue.arguments.get("x-overflow", "drop-head")
        if overflow != "drop-head" and queue.is_over([message]):
            if overflow == "reject-publish-dlx":
                self.dead_letter(queue, message, "maxlen")
            return False
        self.place += 1
        times = [message.expiration_ms, queue.arguments.get("x-message-ttl")]
        known = [self.now + time / 1000.0 for time in times if time is not None]
        entry = Entry(message, queue, self.place, min(known, default=None))
        queue.received += 1
        nothing_waits = not queue.ready
        queue.put(entry)
        if nothing_waits and self.takers(queue):
            self.hand_over(queue)  # even with a time to live of 0
        else:
            self.trim(queue)
        return True

    def trim(self, queue: Queue) -> None:
        """Drop the oldest of the lowest priority until the limits are kept."""
        if queue.arguments.get("x-overflow", "drop-head") == "drop-head":
            while queue.ready and queue.is_over():
                oldest = min(queue.ready, key=lambda one: (queue.level(one), one.place))
                queue.ready.remove(oldest)
                self.bury(oldest, "maxlen")

    # Handing out

    def takers(self, queue: Queue) -> list[Consumer]:
        """Who may get the next entry."""
        consumers = queue.consumers
        if queue.arguments.get("x-single-active-consumer"):
            consumers = consumers[:1]
        able = [consumer for consumer in consumers if consumer.has_room()]
        best = max((consumer.priority for consumer in able), default=0)
        return [consumer for consumer in able if consumer.priority == best]

    def hand_over(self, queue: Queue) -> None:
        """The first ready entry went to whom the broker says it did."""
        self.note_room()
        entry, takers = queue.ready.pop(0), self.takers(queue)
        assert self.deliveries, f"{queue.name}: {entry} was not delivered"
        said = self.deliveries.popleft()
        found = [
            taker
            for taker in takers
            if (taker.channel.name, taker.tag) == (said.channel, said.consumer)
        ]
        assert found, f"{said}, but only {takers} might get it"
        consumer, channel = found[0], found[0].channel
        channel.tag += 1
        assert said == Delivered(
            queue.name,
            entry.message.identity,
            entry.attempts,
            channel.name,
            consumer.tag,
            channel.tag,
        )
        if consumer.no_ack:
            queue.fates["acked"] += 1
        else:
            channel.unacked[channel.tag] = Held(entry, consumer, self.now)
        self.take_turn(consumer, takers)

    def take_turn(self, consumer: Consumer, takers: list[Consumer]) -> None:
        """Nobody is served twice while an equal waits with room all the time."""
        for other in takers:
            assert (other.has_room_since or 0) >= consumer.served_at, (
                f"{consumer} was served twice while {other} waited"
            )
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
        """Hand out whatever can be; what is over its time is given up instead."""
        self.note_room()
        while able := self.able_queues():
            name = self.deliveries[0].queue if self.deliveries else ""
            chosen = [queue for queue in able if queue.name == name] or able
            head = chosen[0].ready[0]
            if self.is_expired(head):
                chosen[0].ready.pop(0)
                for consumer in chosen[0].consumers:
                    consumer.served_at = 0  # somebody's turn may have gone with it
                self.bury(head, "expired")
            else:
                self.hand_over(chosen[0])

    def is_expired(self, entry: Entry) -> bool:
        return entry.expires_at is not None and entry.expires_at <= self.now

    # Consuming

    def consume(self, consumer: Consumer) -> None:
        queue = consumer.queue
        single = queue.arguments.get("x-single-active-consumer")
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
        queue.used_at = self.now
        if queue.auto_delete and not queue.consumers:
            self.drop(queue)
        self.dispatch()

    def get(self, channel: Channel, name: str, *, no_ack: bool) -> Entry | None:
        queue = self.queue(name, channel.connection)
        if queue.arguments.get("x-single-active-consumer"):
            raise Refused(405)
        queue.used_at = self.now
        while queue.ready:
            entry = queue.ready.pop(0)
            if self.is_expired(entry):
                self.bury(entry, "expired")
                continue
            channel.tag += 1
            if no_ack:
                queue.fates["acked"] += 1
            else:
                channel.unacked[channel.tag] = Held(entry, None, self.now)
            return entry
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
        if entry in entry.queue.ready:
            entry.queue.ready.remove(entry)
            entry.queue.fates["acked"] += 1
        else:
            entry.queue.late_acks += 1

    def refuse(
        self, channel: Channel, tag: int, *, multiple: bool, requeue: bool
    ) -> None:
        tags = self.tags(channel, tag, multiple=multiple)
        for tag in tags:
            channel.overdue.pop(tag, None)  # it is back in its queue already
        held = [tag for tag in tags if tag in channel.unacked]
        if requeue:
            self.give_back(channel, held)
        else:
            for tag in held:
                entry = channel.unacked.pop(tag).entry
                self.dispatch()
                self.bury(entry, "rejected")
                self.dispatch()

    def give_back(self, channel: Channel, tags: Iterable[int]) -> None:
        """All come back to their places before any is handed out or buried."""
        was_busy, self.is_busy = self.is_busy, True
        for tag in list(tags):
            self.take_back(channel.unacked.pop(tag).entry)
        self.dispatch()
        self.is_busy = was_busy
        self.send_letters()
        self.dispatch()

    def take_back(self, entry: Entry) -> None:
        queue = entry.queue
        entry.attempts += 1
        if queue.is_deleted:
            return
        if entry.attempts > queue.arguments.get("x-delivery-limit", AMPLE):
            self.bury(entry, "delivery_limit")
        elif self.is_expired(entry):
            self.bury(entry, "expired")
        else:
            queue.put(entry)
            self.trim(queue)

    def close_channel(self, channel: Channel) -> None:
        channel.is_flowing = False
        for consumer in list(channel.consumers.values()):
            self.cancel(consumer)
        del self.channels[channel.name]
        self.give_back(channel, channel.unacked)

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

    # Dead letters

    def bury(self, entry: Entry, reason: str) -> None:
        entry.queue.fates[reason] += 1
        if not entry.queue.is_deleted:
            self.dead_letter(entry.queue, entry.message, reason)

    def dead_letter(self, queue: Queue, message: Message, reason: str) -> None:
        """Letters wait in line: one is delivered before the next is sent."""
        self.letters.append((queue, message, reason))
        self.send_letters()

    def send_letters(self) -> None:
        """One after the other, and each with all that it sets off."""
        while self.letters and not self.is_busy:
            self.is_busy = True
            line, later = self.letters[:1], self.letters[1:]
            while line:
                self.letters = []
                self.send(*line.pop(0))
                line += self.letters
            self.letters = later
            self.is_busy = False

    def send(self, queue: Queue, message: Message, reason: str) -> None:
        name = queue.arguments.get("x-dead-letter-exchange")
        if name not in self.exchanges:
            return
        letter = dead(message, queue, reason)
        for target in self.in_order(letter, self.route(letter)):
            if not is_cycle(target, letter.deaths):
                self.accept(self.queues[target], letter)

    # Time

    def next_due(self) -> float | None:
        ready = [
            entry.expires_at
            for queue in self.queues.values()
            for entry in queue.ready
            if entry.expires_at is not None
        ]
        held = [
            due
            for channel in self.channels.values()
            for one in channel.unacked.values()
            if (due := self.overdue_at(one)) is not None
        ]
        unused = [
            due
            for queue in self.queues.values()
            if (due := unused_until(queue)) is not None
        ]
        return min([*ready, *held, *unused], default=None)

    def overdue_at(self, held: Held) -> float | None:
        """When an entry has been kept too long."""
        timeout = self.timeout_of(held.entry.queue)
        if held.consumer is not None:
            timeout = held.consumer.timeout
        return None if timeout is None else held.since + timeout

    def timeout_of(self, queue: Queue) -> float | None:
        chosen = queue.arguments.get("x-consumer-timeout")
        if chosen is None:
            return self.default_timeout
        return chosen / 1000.0 if chosen else None

    def tick(self, now: float) -> None:
        """Do all that is due."""
        self.now = now
        for queue in list(self.queues.values()):
            self.expire(queue)
        for channel in self.channels.values():
            due = {
                tag: held
                for tag, held in channel.unacked.items()
                if (at := self.overdue_at(held)) is not None and at <= now
            }
            for tag, held in due.items():
                channel.overdue[tag] = held.entry
                held.entry.queue.timed_out += 1
            self.give_back(channel, due)

    def expire(self, queue: Queue) -> None:
        due = [entry for entry in queue.ready if self.is_expired(entry)]
        for entry in sorted(due, key=lambda entry: (entry.expires_at, entry.place)):
            if entry in queue.ready:
                queue.ready.remove(entry)
                self.bury(entry, "expired")
        until = unused_until(queue)
        if until is not None and until <= self.now:
            self.drop(queue)
