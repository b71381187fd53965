"""What the tests of the core share: a front end with no wire.

`Channel` does what any front end must do with the seams of the core, in the order
the AMQP one does it, and writes every delivery down instead of sending it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from warren_broker.core.access import User
from warren_broker.core.arguments import ConsumerArguments
from warren_broker.core.broker import Broker
from warren_broker.core.directives import read_directives
from warren_broker.core.lease import LeaseHolder, lease_terms
from warren_broker.core.message import Header, Message, Route
from warren_broker.core.queue import Consumer, Window, resume_all
from warren_broker.core.queue.consumer import UNLIMITED
from warren_broker.core.session import Session
from warren_broker.core.unacked import Unacked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.limits import Limits
    from warren_broker.core.queue import Entry, Queue

GUEST = User("guest", frozenset({"administrator"}))


class PlainHeader(Header):
    """A header that was never encoded."""

    def __init__(
        self,
        headers: Mapping[str, object] | None = None,
        *,
        priority: int = 0,
        expiration_ms: int | None = None,
        payload: bytes = b"",
        properties: Mapping[str, str] | None = None,
    ) -> None:
        self._headers = dict(headers or {})
        self._properties = dict(properties or {})
        self.payload = payload
        self.persistent = False
        self.repeats = True
        self.priority = priority
        self.expiration_ms = expiration_ms
        keys: list[str] = []
        for name in ("CC", "BCC"):
            values = self._headers.get(name)
            keys += values if isinstance(values, list) else []
        self.instruct(tuple(keys), read_directives(self._headers))

    def headers(self) -> dict[str, object]:
        return {
            key: list(value) if isinstance(value, list) else value
            for key, value in self._headers.items()
        }

    @classmethod
    def restored(cls, payload: bytes) -> PlainHeader:
        raise AssertionError("a header that repeats is kept")

    def property_text(self, name: str) -> str | None:
        return self._properties.get(name)

    def rewritten(
        self, headers: Mapping[str, object], *, keep_expiration: bool
    ) -> PlainHeader:
        header = PlainHeader(
            headers,
            priority=self.priority,
            expiration_ms=self.expiration_ms if keep_expiration else None,
            payload=self.payload,
            properties=self._properties,
        )
        if header.directives is not None:
            header.instruct(header.extra_keys, header.directives.after_publishing())
        return header


def message(
    key: str = "q",
    *,
    exchange: str = "",
    body: bytes = b"",
    priority: int = 0,
    expiration_ms: int | None = None,
    headers: Mapping[str, object] | None = None,
) -> Message:
    """A message to the queue `q`, if nothing else is said."""
    header = PlainHeader(headers, priority=priority, expiration_ms=expiration_ms)
    return Message(Route(exchange, key, b""), header, body)


class Delivery(NamedTuple):
    """One entry handed to one consumer."""

    channel: str
    consumer: str
    tag: int
    queue: str
    message: Message
    redelivered: bool
    delivery_count: int

    @property
    def body(self) -> bytes:
        return self.message.body


class RecordingConsumer(Consumer):
    """A consumer whose peer is a list."""

    def __init__(
        self,
        channel: Channel,
        queue: Queue,
        tag: str,
        *,
        no_ack: bool,
        exclusive: bool,
        priority: int,
    ) -> None:
        super().__init__(
            queue,
            tag,
            no_ack=no_ack,
            exclusive=exclusive,
            priority=priority,
            window=channel.window,
        )
        self.channel = channel
        self.prefetch = channel.prefetch
        self.paused = not channel.is_flowing
        self.breaks = False

    def deliver(self, entry: Entry) -> None:
        unacked = self.channel.unacked
        if self.no_ack:
            unacked.tag += 1
        else:
            unacked.add(entry)
        self.channel.log.append(
            Delivery(
                self.channel.name,
                self.tag,
                unacked.tag,
                self.queue.name,
                entry.message,
                entry.redelivered,
                entry.delivery_count,
            )
        )

        if self.breaks:
            self.channel.close()  # as when a header does not fit the peer's frames

    def on_cancelled(self) -> None:
        del self.channel.consumers[self.tag]
        self.channel.cancelled.append(self.tag)


class Channel(LeaseHolder):
    """What a front end keeps for a channel, and does with it.

    Attributes:
        last_heard: when its peer was heard, as a test has it.
        knows_cancel: its peer understands basic.cancel.
        late: the timeouts because of which it should be closed.
    """

    def __init__(
        self, session: Session, name: str = "1", log: list[Delivery] | None = None
    ) -> None:
        broker = session.vhost.broker
        self.session = session
        self.name = name
        self.log: list[Delivery] = [] if log is None else log
        self.unacked = Unacked(broker, self)
        self.last_heard = 0.0
        self.knows_cancel = True
        self.late: list[float] = []
        self.window = Window(broker.limits.unacked_per_channel_max)
        self.prefetch = UNLIMITED
        self.is_flowing = True
        self.consumers: dict[str, RecordingConsumer] = {}
        self.cancelled: list[str] = []

    @property
    def bodies(self) -> list[bytes]:
        return [delivery.body for delivery in self.log]

    def heard_at(self) -> float:
        return self.last_heard

    def hears_cancel(self) -> bool:
        return self.knows_cancel

    def close_late(self, timeout_seconds: float) -> None:
        self.late.append(timeout_seconds)
        self.stop()

    def consume(
        self,
        queue_name: str = "q",
        tag: str = "c",
        *,
        no_ack: bool = False,
        exclusive: bool = False,
        priority: int = 0,
        prefetch: int | None = None,
        timeout_ms: int | None = None,
        **lease: object,
    ) -> RecordingConsumer:
        queue = self.session.readable_queue(queue_name)
        consumer = RecordingConsumer(
            self, queue, tag, no_ack=no_ack, exclusive=exclusive, priority=priority
        )
        if prefetch is not None:
            consumer.prefetch = prefetch
        wishes = ConsumerArguments(consumer_timeout_ms=timeout_ms, **lease)  # type: ignore[arg-type]
        consumer.take_lease(lease_terms(queue.vhost.broker, queue.rules, wishes))
        queue.attach(consumer)
        self.consumers[tag] = consumer
        queue.dispatch()
        return consumer

    def cancel(self, tag: str = "c") -> None:
        consumer = self.consumers.pop(tag)
        consumer.queue.detach(consumer)

    def get(self, queue_name: str = "q", *, no_ack: bool = False) -> Entry | None:
        queue = self.session.readable_queue(queue_name)
        entry = queue.take_one()
        if entry is None:
            return None
        if no_ack:
            self.unacked.tag += 1
            queue.settle(entry)
        else:
            self.unacked.add(entry)
        return entry

    def qos(self, count: int, *, whole_channel: bool = False) -> None:
        if whole_channel:
            limits = self.session.vhost.broker.limits
            self.window.limit = count or limits.unacked_per_channel_max
        else:
            self.prefetch = count or UNLIMITED
            for consumer in self.consumers.values():
                consumer.prefetch = self.prefetch
        self.flow(active=self.is_flowing)

    def flow(self, *, active: bool) -> None:
        self.is_flowing = active
        for consumer in list(self.consumers.values()):
            consumer.paused = not active
        if active:
            resume_all(list(self.consumers.values()))

    def stop(self) -> None:
        """Take no delivery any more: the end is near."""
        for consumer in self.consumers.values():
            consumer.paused = True

    def close(self) -> None:
        self.stop()
        for tag in list(self.consumers):
            self.cancel(tag)
        self.unacked.close()


def new_broker(limits: Limits | None = None) -> tuple[Broker, Session]:
    """A broker and a session of its administrator on `/`."""
    broker = Broker(limits)
    return broker, Session(broker.vhosts["/"], GUEST)


def declare(
    session: Session,
    name: str = "q",
    *,
    durable: bool = False,
    exclusive: bool = False,
    auto_delete: bool = False,
    **arguments: object,
) -> Queue:
    """Declare a queue; `x_max_length=1` stands for the argument `x-max-length`."""
    summary = session.declare_queue(
        name,
        durable=durable,
        exclusive=exclusive,
        auto_delete=auto_delete,
        arguments={key.replace("_", "-"): value for key, value in arguments.items()},
    )
    return session.vhost.queues[summary.name]


def declare_exchange(
    session: Session,
    name: str = "x",
    type_name: str = "direct",
    *,
    durable: bool = False,
    auto_delete: bool = False,
    internal: bool = False,
    arguments: Mapping[str, object] | None = None,
) -> None:
    """Declare an exchange."""
    session.declare_exchange(
        name,
        type_name,
        durable=durable,
        auto_delete=auto_delete,
        internal=internal,
        arguments=arguments or {},
    )


def bodies(queue: Queue) -> list[bytes]:
    """What is ready in `queue`, in the order it will leave."""
    return [entry.message.body for entry in queue.backlog]


def at(broker: Broker, now: float) -> None:
    """Let time pass until `now`, with every deadline told at its own moment."""
    while (when := broker.next_deadline()) is not None and when <= now:
        broker.on_deadline(when)
    broker.begin_turn(now)


def fingerprint(broker: Broker, *channels: Channel) -> object:
    """All that a refused operation must leave as it is, as one comparable value."""
    vhosts = [
        (
            vhost.name,
            vhost.generation,
            vhost.binding_count,
            [_of_exchange(vhost.exchanges[name]) for name in vhost.exchanges],
            [_of_queue(queue) for queue in vhost.queues.values()],
        )
        for vhost in broker.vhosts.values()
    ]
    held = [_of_channel(channel) for channel in channels]
    return vhosts, held, broker.next_deadline(), len(broker.deadlines)


def _of_exchange(exchange: object) -> object:
    bindings = exchange.bindings()  # type: ignore[attr-defined]
    return (
        id(exchange),
        [(id(b.destination), b.key, sorted(b.arguments)) for b in bindings],
    )


def _of_queue(queue: Queue) -> object:
    return (
        id(queue),
        queue.times.used_at,
        queue.sequence,
        queue.unacked_count,
        queue.late_ack_count,
        queue.backlog.count,
        queue.times.delayed_count,
        [(e.sequence, e.state, e.delivery_count) for e in queue.backlog],
        [(id(consumer), consumer.is_listed) for consumer in queue.roster],
        id(queue.roster.exclusive),
    )


def _of_channel(channel: Channel) -> object:
    return (
        channel.unacked.tag,
        [(tag, id(entry)) for tag, entry in channel.unacked.entries.items()],
        channel.window.unacked,
        [(tag, c.unacked, c.paused) for tag, c in channel.consumers.items()],
    )
