"""Channels: numbers, and what belongs to one and not to another."""

from __future__ import annotations

import pytest

from tests.amqp.bad_input import frame, header, on
from tests.pairs import World
from warren.wire.methods import (
    AccessRequest,
    AccessRequestOk,
    BasicAck,
    BasicConsume,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicPublish,
    BasicQos,
    ChannelClose,
    ChannelCloseOk,
    ChannelFlow,
    ChannelFlowOk,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    QueueDeclare,
    QueueDeclareOk,
)


@pytest.mark.parametrize("number", [1, 2, 2047, 65_535])
def test_any_number_can_be_opened_and_opened_again(number: int) -> None:
    client = World().open(channels=())
    for _ in range(3):
        assert client.ask(ChannelOpen(), channel=number) == ChannelOpenOk()
        assert client.ask(ChannelClose(), channel=number) == ChannelCloseOk()


def test_a_number_may_be_used_again_before_close_ok_has_come() -> None:
    client = World().open()
    assert client.call(ChannelClose(), ChannelOpen(), QueueDeclare(queue="q")) == [
        ChannelCloseOk(),
        ChannelOpenOk(),
        QueueDeclareOk("q"),
    ]


def test_a_channel_opened_again_remembers_nothing() -> None:
    client = World().open()
    client.call(QueueDeclare(queue="q"), ConfirmSelect(), BasicQos(0, 1))
    client.call(BasicConsume(queue="q", consumer_tag="c"))
    client.publish("q", b"1", b"2")
    assert [type(each) for each in client.methods()] == [BasicDeliver, BasicAck]
    client.call(ChannelClose(), ChannelOpen())
    client.publish("q", b"3")
    assert client.methods() == []  # neither confirms nor deliveries
    answers = client.call(BasicConsume(queue="q", consumer_tag="c"))
    deliveries = [each for each in answers if isinstance(each, BasicDeliver)]
    assert [each.delivery_tag for each in deliveries] == [1, 2, 3]


def test_delivery_tags_are_a_channels_own() -> None:
    client = World().open(channels=(1, 2))
    client.call(QueueDeclare(queue="q"))
    client.publish("q", b"1", b"2")
    first = client.ask(BasicGet(queue="q"), channel=1)
    second = client.ask(BasicGet(queue="q"), channel=2)
    tags = [each.delivery_tag for each in (first, second)]  # type: ignore[attr-defined]
    assert tags == [1, 1]


def test_a_channel_that_closes_gives_back_what_it_has() -> None:
    client = World().open(channels=(1, 2))
    client.call(QueueDeclare(queue="q"))
    client.publish("q", b"1", b"2", b"3")
    client.call(BasicGet(queue="q"), BasicGet(queue="q"), BasicAck(1))
    client.call(ChannelClose())
    client.send(*[BasicGet(queue="q")] * 3, channel=2)
    found = client.arrivals()
    assert [each.body for each in found] == [b"2", b"3", b""]
    redelivered = [getattr(each.method, "redelivered", None) for each in found]
    assert redelivered == [True, False, None]


def test_what_one_channel_gives_back_no_other_of_the_connection_gets() -> None:
    """Else each of them would count as one more delivery that came to nothing."""
    world = World()
    client = world.open(channels=tuple(range(1, 6)))
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 2}
    client.call(QueueDeclare(queue="q", durable=True, arguments=arguments))
    for number in range(1, 6):
        client.call(BasicQos(0, 1), BasicConsume(queue="q"), channel=number)
    client.publish("q", b"precious")
    assert len(client.bodies()) == 1
    client.hang_up()
    reader = world.open()
    reader.send(BasicGet(queue="q"))
    (arrival,) = reader.arrivals()
    assert arrival.body == b"precious"
    assert arrival.properties is not None
    assert arrival.properties.headers == {"x-delivery-count": 1}


def test_what_one_consumer_leaves_no_other_of_the_channel_gets() -> None:
    """With a single active consumer each would be the active one for a moment."""
    world = World()
    client = world.open()
    arguments = {"x-single-active-consumer": True}
    client.call(QueueDeclare(queue="q", arguments=arguments), BasicQos(0, 1))
    client.call(*[BasicConsume(queue="q") for _ in range(3)])
    client.publish("q", b"1", b"2", b"3")
    assert client.bodies() == [b"1"]
    assert client.call(ChannelClose()) == [ChannelCloseOk()]
    queue = world.broker.vhosts["/"].queues["q"]
    counts = [entry.delivery_count for entry in queue.backlog]
    assert counts == [1, 0, 0]


def test_half_a_message_is_forgotten_with_its_channel() -> None:
    client = World().open(channels=(1, 2))
    client.call(QueueDeclare(queue="q"))
    publish = BasicPublish(routing_key="q")
    client.send_raw(on(1, publish) + header(10) + frame(3, b"12345"))
    client.send_raw(on(2, ChannelClose()))  # another: nothing happens to the first
    client.send_raw(frame(3, b"67890"))
    client.arrivals()
    client.send_raw(on(1, publish) + header(10) + frame(3, b"half "))
    assert client.connection.inflight_bytes == 5
    client.hang_up()
    assert client.connection.inflight_bytes == 0
    assert client.world.broker.vhosts["/"].queues["q"].backlog.count == 1


def test_flow_pauses_and_resumes_deliveries() -> None:
    client = World().open(channels=(1, 2))
    client.call(QueueDeclare(queue="q"), BasicConsume(queue="q"))
    assert client.ask(ChannelFlow(active=False)) == ChannelFlowOk(active=False)
    client.publish("q", b"1", b"2")
    assert client.bodies() == []
    client.send(BasicGet(queue="q"))  # asked for, so it comes
    assert client.bodies() == [b"1"]
    client.send(BasicConsume(queue="q"), channel=2)
    assert client.bodies() == [b"2"]
    client.publish("q", b"3")
    assert [each.channel for each in client.arrivals()] == [2]
    client.call(ChannelClose(), channel=2)
    assert client.bodies() == []
    assert client.call(ChannelFlow(active=True))[0] == ChannelFlowOk(active=True)


def test_what_waited_comes_with_the_flow() -> None:
    client = World().open()
    client.call(QueueDeclare(queue="q"), ChannelFlow(active=False))
    client.call(BasicConsume(queue="q"))
    client.publish("q", b"1", b"2")
    client.arrivals()
    client.send(ChannelFlow(active=True))
    assert client.bodies() == [b"1", b"2"]


def test_a_servers_question_may_be_answered() -> None:
    """flow-ok: nobody asked, and nobody minds."""
    client = World().open()
    assert client.call(ChannelFlowOk(active=True), BasicGet(queue="q")) != []


def test_tickets_mean_nothing() -> None:
    client = World().open()
    assert client.ask(AccessRequest("/data")) == AccessRequestOk(1)
    client.call(QueueDeclare(reserved_1=1, queue="q"))
    assert client.ask(BasicGet(reserved_1=9, queue="q")) == BasicGetEmpty()
