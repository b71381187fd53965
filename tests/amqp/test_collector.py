"""Nothing is left for the cyclic collector: it may be switched off.

Each scenario runs in a world of its own; then all connections end, and the broker
lives on. What is not freed by then, only the collector could free.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from tests.amqp.bad_input import frame, header, on, published
from tests.amqp.fingerprint import leftovers
from tests.pairs import RawClient, World
from warren.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicGet,
    BasicNack,
    BasicPublish,
    BasicQos,
    ChannelClose,
    ChannelOpen,
    ConfirmSelect,
    ConnectionClose,
    ExchangeBind,
    ExchangeDeclare,
    ExchangeDelete,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    TxSelect,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from warren.wire.table import Table

DECLARE = QueueDeclare(queue="q")
EXPIRATION_SECONDS = 60.0
CONSUME = BasicConsume(queue="q", consumer_tag="c")


@pytest.fixture(autouse=True)
def _without_collector() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


def opens(client: RawClient) -> None:
    """Do nothing."""


def closes(client: RawClient) -> None:
    client.call(ConnectionClose(), channel=0)


def publishes(client: RawClient) -> None:
    client.call(DECLARE, ConfirmSelect())
    client.publish("q", *[b"x"] * 5)
    client.publish("q", b"y", headers={"CC": ["z"]}, expiration="60000")
    client.publish("no", b"z", mandatory=True)


def consumes(client: RawClient) -> None:
    publishes(client)
    client.call(BasicQos(0, 2), CONSUME, BasicGet(queue="q"))
    client.call(BasicAck(1), BasicNack(2))


def consumes_to_the_limit(client: RawClient) -> None:
    publishes(client)
    client.call(BasicQos(0, 2, global_=True), CONSUME, BasicCancel("c"), CONSUME)
    client.call(BasicConsume(queue="q", consumer_tag="d"))


def transacts(client: RawClient) -> None:
    client.call(DECLARE)
    client.publish("q", b"x", b"y")
    client.call(TxSelect(), CONSUME, BasicAck(1))
    client.publish("q", b"z")


def asks_for_replies(client: RawClient) -> None:
    client.call(DECLARE, BasicConsume(queue="amq.rabbitmq.reply-to", no_ack=True))
    client.publish("q", b"x", reply_to="amq.rabbitmq.reply-to")


def owns_queues(client: RawClient) -> None:
    for name, arguments in {
        "plain": {},
        "expires": {"x-expires": 60_000},
        "bounded": {"x-max-length": 2},
        "measured": {"x-max-length-bytes": 5000},
        "by priority": {"x-max-priority": 5},
    }.items():
        declare = QueueDeclare(queue=name, exclusive=True, arguments=dict(arguments))
        client.call(declare, BasicConsume(queue=name), BasicQos(0, 1))
        client.publish(name, *[b"x"] * 5)


def owns_a_queue_where_messages_expire(client: RawClient) -> None:
    arguments: Table = {"x-message-ttl": 60_000}
    client.call(QueueDeclare(queue="ttl", exclusive=True, arguments=arguments))
    client.publish("ttl", *[b"x"] * 5)


def builds_and_destroys(client: RawClient) -> None:
    client.call(
        DECLARE,
        *(ExchangeDeclare(exchange=each, type="topic") for each in "xyz"),
        *(QueueBind(queue="q", exchange=each, routing_key="#.a") for each in "xyz"),
        ExchangeBind(destination="x", source="y"),
        ExchangeBind(destination="y", source="x"),
    )
    client.publish("b.a", b"1", exchange="x")
    client.call(CONSUME, QueueDelete(queue="q"), ExchangeDelete(exchange="y"))


def leaves_channels_open(client: RawClient) -> None:
    for number in range(2, 9):
        client.call(ChannelOpen(), DECLARE, CONSUME, channel=number)
    client.call(ChannelClose(), channel=4)
    client.publish("q", *[b"x"] * 9)


def leaves_half_a_message(client: RawClient) -> None:
    client.send_raw(on(1, BasicPublish(routing_key="q")) + header(9) + frame(3, b"x"))
    client.send_raw(frame(3, b"xyz")[:5])


def fails_on_a_channel(client: RawClient) -> None:
    consumes(client)
    client.call(QueueDeclare(queue="nope", passive=True))


def fails(client: RawClient) -> None:
    consumes(client)
    client.send_raw(published("", "q") + bytes(8))


def reads_slowly(client: RawClient) -> None:
    client.call(DECLARE, CONSUME)
    client.publish("q", *[b"x" * 100_000] * 20)


def waits_too_long(client: RawClient) -> None:
    client.call(QueueDeclare(queue="late", arguments={"x-consumer-timeout": 1000}))
    client.call(BasicConsume(queue="late"))
    client.publish("late", b"x", b"y")
    client.world.advance(5.0)
    client.call(BasicAck(1))


def loses_its_leases(client: RawClient) -> None:
    for action in ("dead-letter", "cancel", "close-channel"):
        terms: Table = {
            "x-consumer-timeout": 1000,
            "x-consumer-timeout-action": action,
            "x-lease-renew": "connection",
        }
        client.call(QueueDeclare(queue=action, exclusive=True, arguments=terms))
        client.call(BasicConsume(queue=action))
        client.publish(action, b"x", b"y")
    headers = {"delivery-tag": 1, "ms": 3000}
    client.publish("extend", b"", exchange="amq.lease", headers=headers)
    client.world.advance(5.0)


def reads_streams(client: RawClient) -> None:
    stream: Table = {"x-queue-type": "stream"}
    client.call(
        QueueDeclare(queue="s", durable=True, arguments=stream),
        QueueDeclare(
            queue="gone", durable=True, arguments={**stream, "x-max-age": "1D"}
        ),
        ExchangeDeclare(
            exchange="sup",
            type="x-super-stream",
            durable=True,
            arguments={"partitions": 2},
        ),
        BasicQos(0, 2),
    )
    first: Table = {"x-stream-offset": "first"}
    shared: Table = {"x-group": "g", "x-stream-offset": "snapshot"}
    for name in ("s", "gone", "sup"):
        client.publish(name, *[b"x"] * 5, exchange="sup" if name == "sup" else "")
        client.call(BasicConsume(queue=name, consumer_tag=name, arguments=first))
        client.call(BasicConsume(queue=name, arguments=shared))
    client.world.advance(2.0)
    client.call(BasicAck(1), BasicNack(2), QueueDelete(queue="gone"))
    client.call(ExchangeDelete(exchange="sup"))
    client.world.advance(2.0)
    client.call(BasicAck(3))


SCENARIOS = [
    opens,
    reads_streams,
    closes,
    publishes,
    consumes,
    consumes_to_the_limit,
    transacts,
    asks_for_replies,
    owns_queues,
    owns_a_queue_where_messages_expire,
    builds_and_destroys,
    leaves_channels_open,
    leaves_half_a_message,
    fails_on_a_channel,
    fails,
    reads_slowly,
    waits_too_long,
    loses_its_leases,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)
def test_nothing_is_left(scenario: Callable[[RawClient], None]) -> None:
    world = World()
    scenario(world.open(heartbeat=10))
    world.close()
    world.advance(EXPIRATION_SECONDS)
    world.broker.take_notices()
    assert leftovers(world.broker) == []
    assert gc.collect() == 0
    assert not [each for each in gc.get_objects() if isinstance(each, RawClient)]


def test_nothing_is_left_of_strangers() -> None:
    world = World()
    for said in (b"", b"AMQP", b"AMQP\0\0\x09\x01", b"GET /", b"AMQP\0\0\x09\x01" * 2):
        world.connect().send_raw(said)
    world.advance(20.0)
    world.close()
    world.broker.take_notices()
    assert leftovers(world.broker) == []
    assert gc.collect() == 0
