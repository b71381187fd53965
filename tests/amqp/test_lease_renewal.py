"""`x-lease-renew=connection`: who is heard keeps what he has, up to a maximum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.pairs import RawClient, World
from warren.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicDeliver,
    BasicGet,
    BasicQos,
    QueueDeclare,
)
from warren_broker.core.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from warren.wire.table import Table

TERMS: Final[Table] = {"x-consumer-timeout": 10_000, "x-lease-renew": "connection"}


def of_the_queue(world: World, **more: object) -> RawClient:
    return consuming(world, {**TERMS, **more}, {})


def of_the_consumer(world: World, **more: object) -> RawClient:
    return consuming(world, {}, {**TERMS, **more})


def consuming(world: World, of_queue: Table, of_consumer: Table) -> RawClient:
    client = world.open()
    client.call(QueueDeclare(queue="q", arguments=of_queue))
    client.call(BasicConsume(queue="q", consumer_tag="c", arguments=of_consumer))
    client.publish("q", b"1")
    assert len(client.arrivals()) == 1
    return client


def getting(world: World) -> RawClient:
    client = world.open()
    client.call(QueueDeclare(queue="q", arguments=TERMS))
    client.publish("q", b"1")
    client.call(BasicGet(queue="q"))
    return client


def timeouts(client: RawClient) -> int:
    return client.world.broker.vhosts["/"].queues["q"].ack_timeout_count


@pytest.mark.parametrize("case", [of_the_queue, of_the_consumer, getting])
def test_who_sends_heartbeats_keeps_what_he_has(
    case: Callable[[World], RawClient],
) -> None:
    world = World()
    client = case(world)
    for _ in range(100):
        world.advance(9.0)
        client.heartbeat()
    assert (timeouts(client), client.arrivals()) == (0, [])
    world.advance(9.5)
    assert timeouts(client) == 0
    world.advance(0.5)
    assert timeouts(client) == 1


def test_any_byte_will_do() -> None:
    """Even of a frame that is not whole, and of another channel."""
    world = World()
    client = of_the_queue(world)
    for byte in b"\x08\x00\x00\x00\x00\x00\x00\xce":
        world.advance(9.0)
        client.send_raw(bytes((byte,)))
    assert timeouts(client) == 0


def test_another_connection_does_not_count() -> None:
    world = World()
    client, other = of_the_queue(world), world.open()
    world.advance(9.0)
    other.heartbeat()
    world.advance(1.0)
    assert timeouts(client) == 1


def test_who_falls_silent_is_late_with_all_he_has() -> None:
    world = World()
    client = of_the_queue(world)
    world.advance(8.0)
    client.publish("q", b"2")  # heard at 8
    world.advance(9.0)
    client.send(BasicQos(0, 1))  # heard at 17
    client.arrivals()
    world.advance(10.0)
    assert timeouts(client) == 2
    assert [each.body for each in client.arrivals()] == [b"1"]


@pytest.mark.parametrize("case", [of_the_queue, of_the_consumer])
def test_nobody_keeps_it_beyond_the_maximum(case: Callable[..., RawClient]) -> None:
    world = World()
    client = case(world, **{"x-lease-max": 25_000})
    for _ in range(24):
        world.advance(1.0)
        client.heartbeat()
    world.advance(0.5)
    client.heartbeat()
    assert timeouts(client) == 0
    world.advance(0.5)
    assert timeouts(client) == 1
    assert [type(each) for each in client.methods()] == [BasicDeliver]


def test_the_maximum_is_no_timeout() -> None:
    """It bounds what makes a lease longer, not what the lease is by itself."""
    world = World()
    client = of_the_queue(world, **{"x-lease-max": 5000})
    world.advance(9.5)
    assert timeouts(client) == 0
    client.heartbeat()
    world.advance(0.5)
    assert timeouts(client) == 1


def test_a_renewed_lease_can_be_extended_as_well() -> None:
    world = World()
    client = of_the_queue(world)
    headers = {"delivery-tag": 1, "ms": 30_000}
    client.publish("extend", b"", exchange="amq.lease", headers=headers)
    world.advance(29.5)
    assert timeouts(client) == 0
    world.advance(0.5)
    assert timeouts(client) == 1


def test_who_is_not_read_is_not_silent() -> None:
    """While an alarm is on, it is we who do not listen to a publisher."""
    world = World(Limits(publish_block_deadline_ms=0))
    client = of_the_queue(world)
    world.broker.alarms.set("memory", active=True)
    assert client.connection.throttled
    world.advance(1000.0)
    assert timeouts(client) == 0
    world.broker.begin_turn(world.now)
    world.broker.alarms.set("memory", active=False)
    world.advance(9.5)
    assert timeouts(client) == 0
    world.advance(0.5)
    assert timeouts(client) == 1


def test_who_is_read_again_has_his_time_from_then() -> None:
    world = World()
    client = of_the_queue(world)
    world.broker.alarms.set("memory", active=True)
    world.advance(30.0)
    assert not client.connection.throttled
    world.advance(9.5)
    assert timeouts(client) == 0
    world.advance(0.5)
    assert timeouts(client) == 1


def test_what_comes_later_costs_no_deadline_of_its_own() -> None:
    world = World()
    client = of_the_queue(world)
    before = len(world.broker.deadlines)
    for _ in range(50):
        world.advance(0.5)
        client.publish("q", b"x")
    assert len(world.broker.deadlines) == before
    client.send(BasicAck(0, multiple=True))
    world.advance(20.0)
    assert (timeouts(client), len(world.broker.deadlines)) == (0, 0)
