"""A connection that the broker ends: what it hears before, and why."""

from __future__ import annotations

from tests.amqp.slow_store import SlowStore
from tests.pairs import RawClient, World
from warren.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicConsumeOk,
    ChannelCloseOk,
    ConfirmSelect,
    ConnectionClose,
    ConnectionCloseOk,
    QueueDeclare,
)
from warren_broker.amqp.farewell import CLOSE_WAIT_SECONDS, SYNC_WAIT_SECONDS


def publishing() -> tuple[World, SlowStore, RawClient]:
    """A client whose confirms wait for the disk."""
    world = World()
    store = SlowStore(world)
    client = world.open(channels=(1,))
    client.send(QueueDeclare(queue="q", durable=True))
    store.commit()
    client.call(ConfirmSelect())
    client.publish("q", b"a", b"b", delivery_mode=2)
    assert client.methods() == []
    return world, store, client


def is_shutdown(method: object) -> bool:
    return isinstance(method, ConnectionClose) and method.reply_code == 320


def test_confirms_that_wait_for_their_sync_come_before_the_close() -> None:
    world, store, client = publishing()
    client.connection.shutdown(world.now)
    assert client.methods() == []
    assert client.connection.throttled, "it is not read meanwhile"
    world.advance(SYNC_WAIT_SECONDS / 2)
    assert client.methods() == []
    store.commit()
    world.advance(0.0)
    ack, close = client.methods()
    assert ack == BasicAck(2, multiple=True)
    assert is_shutdown(close)
    assert not client.connection.throttled, "its close-ok is read"
    client.send(ConnectionCloseOk(), channel=0)
    assert client.closed


def test_a_sync_that_does_not_come_is_not_waited_for_forever() -> None:
    world, _, client = publishing()
    client.connection.shutdown(world.now)
    world.advance(SYNC_WAIT_SECONDS)
    (close,) = client.methods()
    assert is_shutdown(close)
    world.advance(CLOSE_WAIT_SECONDS)
    assert client.closed


def test_who_waits_for_nothing_is_told_at_once() -> None:
    world, _, client = publishing()
    other = world.open()
    other.connection.shutdown(world.now)
    (close,) = other.methods()
    assert is_shutdown(close)
    assert client.methods() == []


def test_who_leaves_meanwhile_has_left() -> None:
    world, store, client = publishing()
    client.connection.shutdown(world.now)
    client.connection.receive(b"", world.now)
    store.commit()
    world.advance(SYNC_WAIT_SECONDS)
    assert client.closed
    assert len(world.broker.deadlines) == 0


def test_a_deleted_user_is_told_and_leaves() -> None:
    world = World()
    client = world.open()
    world.broker.administration.delete_user("guest")
    (close,) = client.methods()
    assert isinstance(close, ConnectionClose)
    assert close.reply_code == 320
    assert close.reply_text == "CONNECTION_FORCED - user 'guest' is deleted"
    client.send(ConnectionCloseOk(), channel=0)
    assert client.closed
    assert len(world.broker.sessions) == 0


def test_a_deleted_vhost_takes_consumers_and_what_they_hold() -> None:
    world = World()
    client = world.open()
    client.call(QueueDeclare(queue="q", durable=True))
    client.publish("q", b"a", b"b")
    consumed, _, _ = client.call(BasicConsume(queue="q", consumer_tag="c"))
    assert consumed == BasicConsumeOk("c")
    world.broker.administration.delete_vhost("/")
    *_, close = client.methods()
    assert isinstance(close, ConnectionClose)
    assert close.reply_text == "CONNECTION_FORCED - vhost '/' is deleted"
    client.send(ChannelCloseOk(), channel=1)
    client.send(ConnectionCloseOk(), channel=0)
    assert client.closed
    world.advance(100.0)
    assert world.broker.vhosts == {}
    assert len(world.broker.deadlines) == 0
