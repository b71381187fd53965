"""Slow readers: they get no more than fits their outbox; others get the rest."""

from __future__ import annotations

from typing import Final

from tests.pairs import RawClient, World
from warren.wire.methods import (
    BasicConsume,
    BasicGet,
    ChannelClose,
    ChannelOpen,
    QueueDeclare,
    QueueDeclareOk,
)
from warren.wire.outbox import HIGH_WATER, LOW_WATER

KIB: Final = 1024
BODY: Final = b"x" * 100 * KIB
COUNT: Final = 100
DELIVERY_MAX: Final = len(BODY) + KIB


def slow_consumer(world: World, *, no_ack: bool = True) -> RawClient:
    client = world.open()
    client.call(QueueDeclare(queue="q"), BasicConsume(queue="q", no_ack=no_ack))
    return client


def publish(world: World, count: int = COUNT) -> RawClient:
    publisher = world.open()
    publisher.publish("q", *[BODY] * count)
    return publisher


def waiting(world: World) -> int:
    return world.broker.vhosts["/"].queues["q"].backlog.count


def test_a_slow_reader_gets_no_more_than_the_high_mark() -> None:
    world = World()
    client = slow_consumer(world)
    publish(world)
    assert HIGH_WATER < client.outbox.size <= HIGH_WATER + DELIVERY_MAX
    assert waiting(world) == COUNT - (HIGH_WATER // len(BODY) + 1)


def test_it_goes_on_at_the_low_mark() -> None:
    world = World()
    client = slow_consumer(world)
    publish(world)
    before = waiting(world)
    bodies = 0
    while client.outbox.size > LOW_WATER + DELIVERY_MAX:
        bodies += len(client.take(DELIVERY_MAX // 2))
        assert waiting(world) == before
    while waiting(world) == before:
        bodies += len(client.take(DELIVERY_MAX // 2))
    assert bodies + len(client.arrivals()) == COUNT


def test_unacked_or_not() -> None:
    world = World()
    client = slow_consumer(world, no_ack=False)
    publish(world)
    assert waiting(world) > 0
    assert len(client.bodies()) == COUNT


def test_others_are_not_kept_waiting() -> None:
    world = World()
    slow, quick = slow_consumer(world), slow_consumer(world)
    received = 0
    publisher = world.open()
    for _ in range(COUNT):
        publisher.publish("q", BODY)
        received += len(quick.bodies())
    assert waiting(world) == 0
    assert received + len(slow.bodies()) == COUNT
    assert received > COUNT // 2


def test_all_channels_of_a_connection_wait() -> None:
    world = World()
    client = slow_consumer(world)
    client.call(ChannelOpen(), channel=2)
    publish(world)
    client.send(BasicConsume(queue="q", no_ack=True), channel=2)
    before = waiting(world)
    assert client.outbox.size <= HIGH_WATER + DELIVERY_MAX
    assert before > 0
    found = client.arrivals()
    assert sum(bool(each.body) for each in found) == COUNT
    assert {each.channel for each in found} == {1, 2}


def test_answers_are_not_kept_back() -> None:
    """What a client asked for comes, however much it has not read yet."""
    world = World()
    client = slow_consumer(world)
    publish(world)
    size = client.outbox.size
    client.send(QueueDeclare(queue="r"), BasicGet(queue="q", no_ack=True))
    assert client.outbox.size > size + len(BODY)
    assert QueueDeclareOk("r") in client.methods()


def test_a_congested_channel_may_close() -> None:
    world = World()
    client = slow_consumer(world, no_ack=False)
    publish(world)
    client.send(ChannelClose())
    assert waiting(world) == COUNT
    client.arrivals()
    assert waiting(world) == COUNT


def test_a_congested_connection_may_end() -> None:
    world = World()
    client = slow_consumer(world, no_ack=False)
    publish(world)
    client.hang_up()
    assert waiting(world) == COUNT
    assert client.connection.consumer_count == 0
