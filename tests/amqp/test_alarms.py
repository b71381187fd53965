"""Alarms: those who publish are told to wait, and are not read; others are not."""

from __future__ import annotations

import pytest

from tests.pairs import World
from warren.wire.methods import (
    BasicConsume,
    BasicGet,
    ConfirmSelect,
    ConnectionBlocked,
    ConnectionUnblocked,
    QueueDeclare,
)


def alarm(world: World, resource: str = "memory", *, active: bool = True) -> None:
    world.broker.alarms.set(resource, active=active)


def test_a_publisher_is_blocked_and_unblocked_once_each() -> None:
    world = World()
    client = world.open()
    client.publish("q", b"x")
    for _ in range(2):
        alarm(world)
        alarm(world)
        assert client.methods() == [ConnectionBlocked("low on memory")]
        assert client.connection.throttled
        alarm(world, active=False)
        assert client.methods() == [ConnectionUnblocked()]
        assert not client.connection.throttled


def test_two_alarms_are_one_block() -> None:
    world = World()
    client = world.open()
    client.publish("q", b"x")
    alarm(world)
    alarm(world, "disk")
    alarm(world, active=False)
    assert client.methods() == [ConnectionBlocked("low on memory")]
    assert client.connection.throttled
    alarm(world, "disk", active=False)
    assert client.methods() == [ConnectionUnblocked()]


def test_who_publishes_first_in_an_alarm_is_blocked_then() -> None:
    world = World()
    alarm(world, "disk")
    client = world.open()
    assert client.methods() == []
    assert not client.connection.throttled
    client.call(QueueDeclare(queue="q"), ConfirmSelect())
    client.publish("q", b"x")
    names = [each.name for each in client.methods()]
    assert names == ["connection.blocked", "basic.ack"]  # this one is taken
    assert client.connection.throttled
    assert world.broker.vhosts["/"].queues["q"].backlog.count == 1


def test_consumers_go_on() -> None:
    world = World()
    publisher, consumer = world.open(), world.open()
    publisher.call(QueueDeclare(queue="q"))
    publisher.publish("q", b"1", b"2")
    alarm(world)
    assert not consumer.connection.throttled
    consumer.send(BasicGet(queue="q"), BasicConsume(queue="q"))
    assert consumer.bodies() == [b"1", b"2"]


def test_who_cannot_hear_is_not_told_but_waits() -> None:
    world = World()
    client = world.open(capabilities={})
    client.publish("q", b"x")
    alarm(world)
    assert client.methods() == []
    assert client.connection.throttled
    alarm(world, active=False)
    assert client.methods() == []
    assert not client.connection.throttled


def test_whoever_empties_the_outbox_is_woken_to_read_again() -> None:
    """Even if there is nothing to send: the relay looks at dirty outboxes only."""
    world = World()
    client = world.open(capabilities={})
    client.publish("q", b"x")
    alarm(world)
    world.dirty.clear()
    alarm(world, active=False)
    assert client.outbox in world.dirty


@pytest.mark.parametrize("ending", ["hang up", "error"])
def test_the_end_of_a_blocked_connection(ending: str) -> None:
    world = World()
    client = world.open()
    client.publish("q", b"x")
    alarm(world)
    client.arrivals()
    if ending == "error":
        client.send_raw(bytes(8))  # it was on its way
    else:
        client.hang_up()
    names = [each.name for each in client.methods()]
    alarm(world, active=False)
    assert client.methods() == []
    assert names == (["connection.close"] if ending == "error" else [])
    assert not client.connection.throttled
