"""An alarm that lasts: publishers hear that they are refused, and nobody is robbed."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from tests.amqp.fingerprint import leftovers
from tests.amqp.slow_store import SlowStore
from tests.pairs import World, content
from warren.wire.methods import (
    BasicAck,
    BasicGet,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    ChannelClose,
    ConfirmSelect,
    ConnectionBlocked,
    ConnectionUnblocked,
    QueueDeclare,
    QueueDeclareOk,
    TxCommit,
    TxSelect,
)
from warren_broker.core.limits import Limits

if TYPE_CHECKING:
    from tests.pairs import RawClient
    from warren.wire.table import Table

DEADLINE = 30.0
MOMENT = 0.001
REFUSED = "PRECONDITION_FAILED - publishes are refused: low on disk"


def alarm(world: World, *, active: bool = True) -> None:
    world.broker.begin_turn(world.now)
    world.broker.alarms.set("disk", active=active)


def blocked(world: World, *, confirming: bool = True, heartbeat: int = 0) -> RawClient:
    """A publisher to `q` that has just been told to wait; its messages were taken."""
    client = world.open(channels=(1, 2), heartbeat=heartbeat)
    client.call(QueueDeclare(queue="q"))
    if confirming:
        client.call(ConfirmSelect())
    client.publish("q", b"1", b"2")
    client.arrivals()
    alarm(world)
    assert client.methods() == [ConnectionBlocked("low on disk")]
    return client


def refused(world: World | None = None, *, confirming: bool = True) -> RawClient:
    """The same, after its deadline."""
    world = world or World()
    client = blocked(world, confirming=confirming)
    world.advance(DEADLINE)
    return client


def ready(client: RawClient) -> int:
    return client.world.broker.vhosts["/"].queues["q"].backlog.count


def test_it_is_read_again_at_its_deadline_and_not_before() -> None:
    world = World()
    client = blocked(world)
    world.advance(DEADLINE - MOMENT)
    assert client.connection.throttled
    world.dirty.clear()
    world.advance(MOMENT)
    assert not client.connection.throttled
    assert client.outbox in world.dirty, "nobody would look at it"
    (notice,) = [n for n in world.broker.take_notices() if n.event[:3] == "pub"]
    assert notice.event == "publishes refused"
    assert notice.fields["reason"] == "low on disk"


def test_further_publishes_are_nacked_each_and_go_nowhere() -> None:
    client = refused()
    client.publish("q", b"3", b"4")
    client.publish("nowhere", b"5", mandatory=True)
    assert client.methods() == [BasicNack(tag, requeue=False) for tag in (3, 4, 5)]
    assert ready(client) == 2


def test_all_goes_on_when_the_alarm_ends() -> None:
    client = refused()
    client.publish("q", b"3")
    client.arrivals()
    alarm(client.world, active=False)
    assert client.methods() == [ConnectionUnblocked()]
    client.publish("q", b"4")
    assert client.methods() == [BasicAck(4)]
    alarm(client.world)
    assert client.methods() == [ConnectionBlocked("low on disk")]
    client.world.advance(DEADLINE - MOMENT)
    assert client.connection.throttled, "each alarm has a deadline of its own"


def test_an_alarm_that_comes_back_blocks_at_once() -> None:
    client = refused()
    alarm(client.world, active=False)
    alarm(client.world)
    assert client.methods() == [ConnectionUnblocked(), ConnectionBlocked("low on disk")]
    assert client.connection.throttled


def test_who_does_not_publish_hears_nothing() -> None:
    world = World()
    client = world.open()
    alarm(world)
    world.advance(2 * DEADLINE)
    alarm(world, active=False)
    assert client.methods() == []


def test_acks_and_other_methods_work() -> None:
    client = refused()
    client.send(BasicGet(queue="q"))
    (got,) = client.methods()
    assert isinstance(got, BasicGetOk)
    client.send(BasicAck(1))
    assert client.ask(QueueDeclare(queue="other")) == QueueDeclareOk("other", 0, 0)
    assert ready(client) == 1


def test_errors_are_errors_still() -> None:
    client = refused()
    client.publish("q", b"x", exchange="missing")
    (close,) = client.methods()
    assert isinstance(close, ChannelClose)
    assert close.reply_code == 404


def test_the_fast_lane_is_closed_as_well() -> None:
    world = World()
    client = blocked(world)
    alarm(world, active=False)
    client.publish("q", b"a", b"b", b"c", b"d")  # learned by the second
    alarm(world)
    world.advance(DEADLINE)
    client.arrivals()
    client.publish("q", b"e", b"f")
    assert client.methods() == [BasicNack(tag, requeue=False) for tag in (7, 8)]


# Without confirms


def test_who_asks_for_no_confirms_waits_to_the_end() -> None:
    client = refused(confirming=False)
    assert not client.connection.throttled, "its acks are read"
    frames = [content(BasicPublish(0, "", "q"), body) for body in (b"3", b"4", b"5")]
    data = b"".join(chunk for frame in frames for chunk in frame)
    assert client.connection.receive(data, client.world.now), "the rest waits"
    assert ready(client) == 3, "what was read is not lost"
    client.world.advance(100 * DEADLINE)
    assert client.connection.throttled
    alarm(client.world, active=False)
    assert not client.connection.throttled
    assert not client.connection.resume(client.world.now)
    assert ready(client) == 5
    assert client.methods() == [ConnectionUnblocked()]


def test_one_connection_may_have_channels_of_both_kinds() -> None:
    client = refused()
    client.publish("q", b"3", channel=1)
    assert client.methods() == [BasicNack(3, requeue=False)]
    client.publish("q", b"4", channel=2)
    assert client.connection.throttled
    assert ready(client) == 3


# Transactions


@pytest.mark.parametrize("begun", [False, True])
def test_a_transaction_is_refused_as_a_whole(*, begun: bool) -> None:
    world = World()
    client = blocked(world)
    client.call(TxSelect(), channel=2)
    alarm(world, active=False)
    if begun:
        client.publish("q", b"3", channel=2)
    alarm(world)
    world.advance(DEADLINE)
    client.arrivals()
    if begun:
        client.send(TxCommit(), channel=2)
    else:
        client.publish("q", b"3", channel=2)
    (close,) = client.methods()
    assert isinstance(close, ChannelClose)
    assert (close.reply_code, close.reply_text) == (406, REFUSED)
    assert ready(client) == 2


def test_a_transaction_of_acks_alone_is_committed() -> None:
    client = refused()
    client.call(TxSelect(), channel=2)
    client.call(BasicGet(queue="q"), channel=2)
    client.send(BasicAck(1), TxCommit(), channel=2)
    (answer,) = client.methods()
    assert answer.name == "tx.commit-ok"


# What the store has not made safe


def persistent(world: World) -> tuple[SlowStore, RawClient]:
    """A publisher to a durable queue; the disk is full from now on."""
    store = SlowStore(world)
    client = world.open()
    client.send(QueueDeclare(queue="q", durable=True))
    store.commit()
    client.call(ConfirmSelect())
    return store, client


def publish(client: RawClient, *bodies: bytes) -> None:
    client.publish("q", *bodies, delivery_mode=2)


def test_outstanding_confirms_become_nacks_and_stay_so() -> None:
    world = World()
    store, client = persistent(world)
    publish(client, b"1", b"2")
    publish(client, b"3")
    alarm(world)
    assert client.methods() == [ConnectionBlocked("low on disk")]
    world.advance(DEADLINE)
    assert client.methods() == [
        BasicNack(2, multiple=True, requeue=False),
        BasicNack(3, requeue=False),
    ]
    publish(client, b"4")
    assert client.methods() == [BasicNack(4, requeue=False)]
    alarm(world, active=False)
    store.commit()
    assert client.methods() == [ConnectionUnblocked()]
    publish(client, b"5")
    store.commit()
    assert client.methods() == [BasicAck(5)]


def test_what_was_taken_when_it_was_blocked_has_waited_as_long() -> None:
    world = World()
    _, client = persistent(world)
    alarm(world)
    publish(client, b"1", b"2")
    world.advance(DEADLINE)
    assert client.methods() == [
        ConnectionBlocked("low on disk"),
        BasicNack(2, multiple=True, requeue=False),
    ]


def test_what_became_safe_in_time_is_confirmed() -> None:
    world = World()
    store, client = persistent(world)
    publish(client, b"1")
    alarm(world)
    world.advance(DEADLINE - MOMENT)
    store.commit()
    world.advance(DEADLINE)
    assert client.methods() == [ConnectionBlocked("low on disk"), BasicAck(1)]


def test_what_found_room_in_a_full_queue_only_now_has_not_waited() -> None:
    world = World(Limits(publish_deadline_ms=60_000))
    store, client = persistent(world)
    arguments: Table = {"x-overflow": "block", "x-max-length": 1}
    client.send(QueueDeclare(queue="full", durable=True, arguments=arguments))
    store.commit()
    client.publish("full", b"1", b"2", delivery_mode=2)
    store.commit()
    alarm(world)
    world.advance(DEADLINE - MOMENT)
    world.open().send(BasicGet(queue="full", no_ack=True))
    client.arrivals()
    world.advance(MOMENT)
    assert client.methods() == []
    store.commit()
    assert client.methods() == [BasicAck(2)]


def test_the_answer_to_a_declare_is_no_confirm_and_waits() -> None:
    world = World()
    store, client = persistent(world)
    publish(client, b"1")
    client.send(QueueDeclare(queue="more", durable=True))
    alarm(world)
    world.advance(DEADLINE)
    names = [each.name for each in client.methods()]
    assert names == ["connection.blocked", "basic.nack"]
    assert client.connection.throttled, "what follows may need the queue"
    store.commit()
    assert client.methods() == [QueueDeclareOk("more", 0, 0)]
    assert not client.connection.throttled


def test_who_declares_what_is_there_need_not_wait_for_what_others_publish() -> None:
    """Consumers do so when they come, and nobody else can make room."""
    world = World()
    store, client = persistent(world)
    publish(client, b"1")
    consumer = world.open()
    consumer.send(QueueDeclare(queue="q", durable=True))
    assert consumer.methods() == [QueueDeclareOk("q", 1, 0)]
    client.send(QueueDeclare(queue="more", durable=True))
    consumer.send(QueueDeclare(queue="more", durable=True))
    assert consumer.methods() == [], "it is not safe yet"
    store.commit()
    assert consumer.methods() == [QueueDeclareOk("more", 0, 0)]


# Time


def test_without_a_deadline_it_waits_as_long_as_it_takes() -> None:
    world = World(Limits(publish_block_deadline_ms=0))
    client = blocked(world)
    world.advance(1e6)
    assert client.connection.throttled


@pytest.mark.parametrize("deadline_ms", [0, 30_000])
@pytest.mark.parametrize("confirming", [False, True])
def test_heartbeats_do_not_end_a_blocked_publisher(
    deadline_ms: int, *, confirming: bool
) -> None:
    world = World(Limits(publish_block_deadline_ms=deadline_ms))
    client = blocked(world, confirming=confirming, heartbeat=2)
    for _ in range(200):
        world.advance(1.0)
        client.arrivals()
        if not client.connection.throttled:
            client.heartbeat()
            client.publish("q", b"x")
            client.arrivals()
        assert not client.closed
    assert client.heartbeats >= 150, "it hears from us all the time"
    alarm(world, active=False)
    world.advance(2.0)
    assert not client.closed


def test_who_is_kept_waiting_for_the_disk_is_not_late() -> None:
    world = World()
    client = world.open(heartbeat=2)
    client.connection.is_kept_waiting = True
    world.advance(100.0)
    assert not client.closed
    client.connection.is_kept_waiting = False
    world.advance(100.0)
    assert client.closed


# The end


@pytest.mark.parametrize("seconds", [0.0, DEADLINE])
@pytest.mark.parametrize("confirming", [False, True])
def test_nothing_is_left_of_a_blocked_connection(
    seconds: float, *, confirming: bool
) -> None:
    gc.collect()
    world = World()
    client = blocked(world, confirming=confirming)
    world.advance(seconds)
    client.publish("q", b"3")
    client.arrivals()
    world.close()
    assert leftovers(world.broker) == []
    del client
    assert gc.collect() == 0
