"""Whether the broker's core and its model are in the same state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests import model_parts
from tests.core.support import message
from tests.strategies import QUEUES
from warren_broker.core.queue.entry import READY, UNACKED

if TYPE_CHECKING:
    from tests.core.support import Channel
    from tests.model import Model
    from tests.model_parts import Message
    from warren_broker.core.message import Message as CoreMessage
    from warren_broker.core.queue import Entry, Queue
    from warren_broker.core.vhost import VHost

_OWN_TIMES = ("x-message-ttl", "x-expires", "x-consumer-timeout")


def queue_arguments(name: str, features: dict[str, object]) -> dict[str, object]:
    """The arguments of a queue, with durations that no other queue has."""
    arguments = {key: value for key, value in features.items() if key[:2] == "x-"}
    for key in _OWN_TIMES:
        if key in arguments:
            arguments[key] += 2 ** QUEUES.index(name)
    exchange, key = features.get("dead-letter", (None, None))
    if exchange is not None:
        arguments["x-dead-letter-exchange"] = exchange
    if key is not None:
        arguments["x-dead-letter-routing-key"] = name if key == "itself" else key
    return arguments


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


def compare_queue(real: Queue, known: model_parts.Queue, held: list[Entry]) -> None:
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
    unacked = [entry for entry in held if entry.queue is real]
    assert real.unacked_count == len(unacked)
    assert [one.tag for one in real.roster] == [one.tag for one in known.consumers]
    assert real.ack_timeout_count == known.timed_out
    assert real.late_ack_count == known.late_acks
    assert known.received == (
        real.backlog.count + real.unacked_count + sum(known.fates.values())
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
