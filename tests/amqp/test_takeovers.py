"""Who gets what when consumers come, go, fail or are let work again."""

from __future__ import annotations

import pytest

from tests.pairs import World
from warren.wire.frames import encode_method
from warren.wire.methods import (
    BasicConsume,
    BasicDeliver,
    BasicGet,
    BasicQos,
    ChannelClose,
    ChannelFlow,
    ChannelOpen,
    QueueDeclare,
)
from warren.wire.outbox import HIGH_WATER, LOW_WATER


@pytest.mark.parametrize("end", ["channel", "connection"])
def test_the_heir_of_a_single_active_consumer_gets_the_oldest_first(end: str) -> None:
    world = World()
    active, heir, publisher = world.open(), world.open(), world.open()
    active.call(
        QueueDeclare(queue="q", arguments={"x-single-active-consumer": True}),
        BasicQos(prefetch_count=10),
        BasicConsume(queue="q"),
    )
    heir.call(BasicQos(prefetch_count=5), BasicConsume(queue="q"))
    for number in range(20):
        publisher.publish("q", b"%02d" % number)
    active.take()
    if end == "channel":
        active.call(ChannelClose(200, "", 0, 0))
    else:
        active.hang_up()
    assert heir.bodies() == [b"00", b"01", b"02", b"03", b"04"]


def test_queues_of_a_slow_reader_take_turns() -> None:
    """Each time the outbox is drained another queue fills it first."""
    world = World()
    reader, publisher = world.open(), world.open()
    names = ["a", "b", "c"]
    for name in names:
        reader.call(QueueDeclare(queue=name))
        for _ in range(60):
            publisher.publish(name, name.encode() * (LOW_WATER // 4))
    for name in names:
        reader.send(BasicConsume(queue=name, no_ack=True))
    first_seen = dict.fromkeys(names, 0)
    for drain in range(1, 9):
        for arrival in reader.take():
            name = arrival.body[:1].decode()
            if name in names:
                first_seen[name] = first_seen[name] or drain
    assert max(first_seen.values()) <= len(names) + 1
    assert min(first_seen.values()) == 1


def test_priorities_hold_when_deliveries_go_on() -> None:
    world = World()
    client, publisher = world.open(), world.open()
    client.call(QueueDeclare(queue="q"), ChannelFlow(active=False))
    for tag, priority in (("low", 0), ("high", 10)):
        consume = BasicConsume(
            queue="q", consumer_tag=tag, no_ack=True, arguments={"x-priority": priority}
        )
        client.call(consume)
    for _ in range(20):
        publisher.publish("q", b"x")
    client.send(ChannelFlow(active=True))
    tags = {
        method.consumer_tag
        for method in client.methods()
        if isinstance(method, BasicDeliver)
    }
    assert tags == {"high"}


@pytest.mark.parametrize("no_ack", [True, False])
def test_a_message_too_large_for_many_consumers_is_lost_by_none(no_ack: bool) -> None:
    """Their channels close one after the other, and nobody else's turn suffers."""
    world = World()
    small, publisher = world.open(frame_max=4096), world.open()
    publisher.call(QueueDeclare(queue="q"))
    channels = range(2, 302)
    for number in channels:
        small.call(ChannelOpen(), channel=number)
        small.call(BasicConsume(queue="q", no_ack=no_ack), channel=number)
    publisher.publish("q", b"body", headers={"k": "v" * 6000})
    assert publisher.methods() == []
    world.advance(0)
    closes = [one for one in small.methods() if isinstance(one, ChannelClose)]
    assert [close.reply_code for close in closes] == [311] * len(channels)
    publisher.send(BasicGet(queue="q"))
    assert publisher.bodies() == [b"body"]


def test_gets_of_large_messages_do_not_fill_the_memory() -> None:
    """One small batch asks for much more than may wait to be sent."""
    world = World()
    client = world.open()
    client.call(QueueDeclare(queue="q"))
    size = HIGH_WATER
    for _ in range(40):
        client.publish("q", bytes(size))
    gets = encode_method(1, BasicGet(queue="q", no_ack=True)) * 40
    is_busy = client.connection.receive(gets, world.now)
    assert is_busy  # the server reads on when its replies have been read
    assert client.outbox.size < 4 * size
