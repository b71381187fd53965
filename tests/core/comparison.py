"""Whether the broker's core and its model are in the same state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests import model_parts, model_queue
from tests.core.support import message
from tests.model_schedule import SCHEDULE
from tests.strategies import QUEUES
from warren_broker.core.arguments import parse_consumer_arguments
from warren_broker.core.queue.entry import READY, UNACKED
from warren_broker.core.queue.overflow import Block
from warren_broker.core.receipt import ReceiptHolder

if TYPE_CHECKING:
    from tests.core.support import Channel
    from tests.model import Model
    from tests.model_parts import Message
    from tests.model_queue import Room
    from warren_broker.core.broker import Broker
    from warren_broker.core.deadlines import DeadlineOwner
    from warren_broker.core.message import Message as CoreMessage
    from warren_broker.core.queue import Entry, Queue
    from warren_broker.core.vhost import VHost

_OWN_TIMES = (
    "x-message-ttl",
    "x-expires",
    "x-consumer-timeout",
    "x-lease-max",
    "x-delayed-retry-min",
    "x-delayed-retry-max",
)


def queue_arguments(name: str, features: dict[str, object]) -> dict[str, object]:
    """The arguments of a queue, with durations that no other queue has."""
    arguments = {key: value for key, value in features.items() if key[:2] == "x-"}
    arguments |= features.get("special", {})
    for key in _OWN_TIMES:
        if key in arguments:
            arguments[key] += 2 ** QUEUES.index(name)
    exchange, key = features.get("dead-letter", (None, None))
    if exchange is not None:
        arguments["x-dead-letter-exchange"] = exchange
    if key is not None:
        arguments["x-dead-letter-routing-key"] = name if key == "itself" else key
    return arguments


def lease_wishes(wishes: dict[str, object]) -> dict[str, object]:
    """What a consumer asks for with these arguments, as `support.Channel` takes it."""
    parsed = parse_consumer_arguments(wishes, "q", "/")
    return {
        "timeout_ms": parsed.consumer_timeout_ms,
        "consumer_timeout_action": parsed.consumer_timeout_action,
        "lease_renewal": parsed.lease_renewal,
        "lease_max_ms": parsed.lease_max_ms,
    }


def to_core(one: Message) -> CoreMessage:
    """The model's message as the core takes it; its body says which it is."""
    return message(
        one.key,
        exchange=one.exchange,
        body=str(one.identity).encode().ljust(one.size),
        priority=one.priority,
        expiration_ms=one.expiration_ms,
        headers=one.headers,
    )


def identity_of(one: CoreMessage) -> int:
    return int(one.body)


class Fates(ReceiptHolder):
    """What became of publishes that had to wait."""

    def __init__(self) -> None:
        self.known: dict[int, bool] = {}

    def on_fate(self, tag: int, *, taken: bool) -> None:
        assert tag not in self.known, "nobody is told twice"
        self.known[tag] = taken


def said_of(entry: Entry) -> tuple[int, str, int]:
    """An entry as `model_queue.Entry.seen` has it."""
    one = entry.message
    return identity_of(one), one.route.routing_key, entry.delivery_count


def due_owners(broker: Broker, now: float) -> list[DeadlineOwner]:
    """Who is told of a deadline at `now`; which comes first of those of one moment
    is not the model's to decide."""
    live = [(item, owner) for owner, item in broker.deadlines._live.items()]
    due = [(item, owner) for item, owner in live if item[0] <= now]
    return [owner for _, owner in sorted(due, key=lambda one: one[0])]


def owners(
    vhost: VHost, channels: dict[str, Channel], model: Model
) -> dict[DeadlineOwner, model_parts.Channel | model_queue.Queue | Room | str]:
    """What the model has for those that wait for deadlines."""
    blocking = [
        one for one in vhost.queues.values() if isinstance(one._overflow, Block)
    ]
    return {
        vhost.schedule: SCHEDULE,
        **{one._overflow.line: model.queues[one.name].room for one in blocking},
        **{queue.times: model.queues[name] for name, queue in vhost.queues.items()},
        **{one.unacked: model.channels[name] for name, one in channels.items()},
    }


def compare(vhost: VHost, channels: dict[str, Channel], model: Model) -> None:
    """Fail unless both are in the same state."""
    assert not model.deliveries, f"nobody may have got {model.deliveries}"
    assert not model.able_queues(), "something is ready, and somebody has room"
    held = [
        entry for one in channels.values() for entry in one.unacked.entries.values()
    ]
    ready = [entry for queue in vhost.queues.values() for entry in queue.backlog]
    assert all(entry.state == READY for entry in ready)
    assert all(entry.state == UNACKED for entry in held)
    assert len({*held, *ready}) == len(held) + len(ready), "an entry has two holders"
    assert vhost.queues.keys() == model.queues.keys()
    for name, queue in vhost.queues.items():
        compare_queue(queue, model.queues[name], held)
    for name, channel in channels.items():
        compare_channel(channel, model.channels[name])
    compare_exchanges(vhost, model)
    assert len(vhost.schedule) == len(model.scheduled)


def compare_queue(real: Queue, known: model_queue.Queue, held: list[Entry]) -> None:
    assert [seen(entry) for entry in real.backlog] == [
        (
            entry.message.identity,
            entry.attempts,
            entry.message.exchange,
            entry.message.key,
            entry.message.deaths,
        )
        for entry in known.ready
    ]
    assert real.backlog.count == len(known.ready)
    assert real.times.delayed_count == len(known.delayed)
    is_blocking = isinstance(real._overflow, Block)
    assert len(known.room.line) == (len(real._overflow) if is_blocking else 0)
    assert real.duplicate_count == known.duplicates
    unacked = [entry for entry in held if entry.queue is real]
    assert real.unacked_count == len(unacked)
    if known.mode == "ordered":
        keys = [real.rules.group_by.of(entry.message) for entry in unacked]
        named = [key for key in keys if key is not None]
        assert len(named) == len(set(named)), "a key has two unacked"
    assert [one.tag for one in real.roster] == [one.tag for one in known.consumers]
    assert real.ack_timeout_count == known.timed_out
    assert real.late_ack_count == known.late_acks
    assert known.received == (
        real.backlog.count
        + real.unacked_count
        + real.times.delayed_count
        + sum(known.fates.values())
    ), f"{real}: what came in is not what is there and what left"


def seen(entry: Entry) -> tuple[object, ...]:
    """An entry as far as the model tells it."""
    one = entry.message
    deaths = one.header.headers().get("x-death", [])
    return (
        identity_of(one),
        entry.delivery_count,
        one.route.exchange,
        one.route.routing_key,
        tuple((death["queue"], death["reason"], death["count"]) for death in deaths),
    )


def compare_channel(real: Channel, known: model_parts.Channel) -> None:
    assert real.unacked.tag == known.tag
    assert [
        (tag, identity_of(entry.message), entry.delivery_count)
        for tag, entry in real.unacked.entries.items()
    ] == [
        (tag, held.entry.message.identity, held.entry.attempts)
        for tag, held in known.unacked.items()
    ]
    assert list(real.consumers) == list(known.consumers)
    entries = list(real.unacked.entries.values())
    assert real.window.unacked == sum(entry.consumer is not None for entry in entries)
    for consumer in real.consumers.values():
        mine = [entry for entry in entries if entry.consumer is consumer]
        assert consumer.unacked == len(mine)


def compare_exchanges(vhost: VHost, model: Model) -> None:
    total = 0
    for name, known in model.exchanges.items():
        real = vhost.exchanges[name]
        if name:
            total += real.binding_count
            assert [
                (b.destination.kind, b.destination.name, b.key, b.arguments)
                for b in real.bindings()
            ] == [(b.kind, b.name, b.key, b.arguments) for b in known.bindings]
        if real.routes_generation == vhost.generation:
            for key, queues in real.routes.items():
                remembered = {queue.name for queue in queues}
                assert remembered == model.route(model_parts.Message(0, name, key))
    assert vhost.binding_count == total
    assert {name for name in vhost.exchanges if name[:4] != "amq."} == {
        *model.exchanges
    }
