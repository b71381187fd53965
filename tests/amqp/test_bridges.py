"""Queues that a stream feeds, and queues that feed a stream, over the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.amqp.stream_scenes import ack, consume, declare, got, offsets, publish
from tests.amqp.test_stream_confirms import StreamStore
from tests.pairs import World
from warren.errors import AccessRefused
from warren.wire.methods import (
    BasicAck,
    BasicGet,
    BasicNack,
    BasicQos,
    BasicReject,
    ChannelClose,
    ConfirmSelect,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueuePurge,
    QueuePurgeOk,
)
from warren_broker.core.access import Access, Permissions

if TYPE_CHECKING:
    from tests.pairs import RawClient
    from warren.wire.table import FieldValue, Table


def bridge(client: RawClient, name: str = "work", **arguments: FieldValue) -> None:
    table: Table = {key.replace("_", "-"): value for key, value in arguments.items()}
    client.ask(QueueDeclare(queue=name, durable=True, arguments=table))
    client.world.advance(0)


def fed(world: World) -> RawClient:
    """A client, and the queue `work` fed by a stream of five records."""
    client = world.open(channels=(1, 2))
    declare(client)
    publish(client, *(b"%d" % number for number in range(5)))
    bridge(client, x_source_stream="s")
    return client


def test_consumers_share_a_log() -> None:
    client = fed(World())
    first = consume(client, "work", prefetch=2)
    second = consume(client, "work", "d", prefetch=2, channel=2)
    assert (offsets(first), offsets(second)) == ([0, 1], [2, 3])
    assert [each.body for each in first + second] == [b"0", b"1", b"2", b"3"]
    assert offsets(ack(client, first[1])) == [4]
    assert declare(client) == 5, "the stream keeps all"


def test_a_returned_record_tells_its_attempts() -> None:
    client = fed(World())
    (first,) = consume(client, "work", prefetch=1)
    client.send(BasicNack(first.tag, multiple=False, requeue=True))
    (again,) = got(client)
    assert (again.offset, again.redelivered) == (0, True)
    assert again.headers["x-delivery-count"] == 1
    assert offsets(ack(client, again)) == [1]


def test_a_get_tells_the_offset() -> None:
    client = fed(World())
    for offset in (0, 1):
        client.send(BasicGet(queue="work"))
        (arrival,) = client.arrivals()
        assert arrival.properties is not None
        assert arrival.properties.headers == {"x-stream-offset": offset}


def test_dead_letters_of_a_fed_queue() -> None:
    client = World().open()
    declare(client)
    bridge(client, "dead")
    bridge(
        client,
        x_source_stream="s",
        x_dead_letter_exchange="",
        x_dead_letter_routing_key="dead",
    )
    publish(client, b"0")
    (record,) = consume(client, "work")
    client.send(BasicNack(record.tag, multiple=False, requeue=False))
    client.send(BasicGet(queue="dead"))
    (arrival,) = client.arrivals()
    assert arrival.body == b"0"


@pytest.mark.parametrize("target", ["s", "tapped"])
def test_what_expires_does_not_go_in_circles(target: str) -> None:
    world = World()
    client = world.open()
    declare(client)
    bridge(client, "tapped", x_tap="s")
    letters: Table = {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": target}
    bridge(client, x_source_stream="s", x_message_ttl=0, **letters)
    publish(client, b"0", b"1")
    for _ in range(5):
        world.advance(1)
    assert declare(client) == 2
    bridge(client, "other", x_source_stream="s", **letters)
    (first, *_) = consume(client, "other")
    client.send(BasicReject(first.tag, requeue=False))  # who does so means it
    assert [each.body for each in got(client)] == [first.body]
    assert declare(client) == 3


def test_a_purge_drops_what_was_taken() -> None:
    client = fed(World())
    assert client.ask(QueuePurge(queue="work")) == QueuePurgeOk(5)
    publish(client, b"5")
    assert offsets(consume(client, "work")) == [5]


def test_a_publish_to_a_fed_queue_is_refused() -> None:
    client = fed(World())
    client.call(ConfirmSelect())
    client.publish("work", b"x")
    assert client.methods() == [BasicNack(1, multiple=False, requeue=False)]


def test_a_publish_to_a_tapped_queue_is_confirmed_when_both_have_it() -> None:
    world = World()
    store = StreamStore(world)
    client = world.open()
    client.send(
        QueueDeclare(queue="s", durable=True, arguments={"x-queue-type": "stream"})
    )
    client.send(QueueDeclare(queue="work", arguments={"x-tap": "s"}))
    store.commit()
    client.methods()
    client.call(ConfirmSelect())
    client.publish("work", b"0")
    assert client.methods() == []
    store.commit()
    assert client.methods() == [BasicAck(1, multiple=False)]
    assert [each.message.body for each in store.logs[0].records] == [b"0"]


@pytest.mark.parametrize("gone", ["s", "work"])
def test_one_end_is_deleted(gone: str) -> None:
    client = fed(World())
    client.ask(QueueDelete(queue=gone))
    client.send(BasicQos(0, 10))
    if gone == "s":
        assert offsets(consume(client, "work")) == [0, 1, 2, 3, 4]
    else:
        assert offsets(consume(client, offset="first")) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("read", "write", "is_allowed"),
    [
        ("^(s|fed|tapped)$", "^(s|fed|tapped)$", (True, True)),
        ("^s$", "^fed$", (True, False)),
        ("^tapped$", "^s$", (False, True)),
        ("^s$", "^s$", (False, False)),
        ("^fed$", "^fed$", (False, False)),
    ],
)
def test_records_go_only_where_their_owner_may_send_them(
    read: str, write: str, is_allowed: tuple[bool, bool]
) -> None:
    access = Access()
    world = World(access=access)
    declare(world.open())
    permissions = Permissions(configure=".*", write=write, read=read)
    access.set_permissions("guest", "/", permissions)
    for name, key, may in zip(
        ("fed", "tapped"), ("x-source-stream", "x-tap"), is_allowed, strict=True
    ):
        method = QueueDeclare(queue=name, arguments={key: "s"})
        answer = world.open().ask(method)
        assert isinstance(answer, QueueDeclareOk if may else ChannelClose)
        if isinstance(answer, ChannelClose):
            assert answer.reply_code == AccessRefused.code
