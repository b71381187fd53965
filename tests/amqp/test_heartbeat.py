"""Heartbeats: sent when there is nothing else to say; missed ones end a connection."""

from __future__ import annotations

from typing import Final

import pytest

from tests.pairs import RawClient, World
from warren.wire.methods import BasicConsume, BasicGet, QueueDeclare
from warren_broker.core.limits import Limits

INTERVAL: Final = 10
MOMENT: Final = 0.001


def beating(world: World) -> RawClient:
    return world.open(heartbeat=INTERVAL)


def test_without_an_interval_there_are_none() -> None:
    world = World()
    client = world.open(heartbeat=0)
    world.advance(3600.0)
    client.arrivals()
    assert client.heartbeats == 0
    assert not client.closed
    assert len(world.broker.deadlines) == 0


def test_a_quiet_server_sends_one_each_half_interval() -> None:
    world = World()
    client = beating(world)
    for count in range(1, 7):
        world.advance(INTERVAL / 2)
        client.heartbeat()
        client.arrivals()
        assert client.heartbeats == count


def test_a_client_that_is_silent_is_gone() -> None:
    world = World()
    client = beating(world)
    world.advance(2 * INTERVAL)
    assert not client.closed
    world.advance(INTERVAL / 2 + MOMENT)
    assert client.closed
    assert client.methods() == []  # no close: there is nobody to read it
    assert len(world.broker.sessions) == 0


def test_what_it_held_is_given_to_others() -> None:
    world = World()
    client, other = beating(world), world.open()
    client.call(QueueDeclare(queue="q"))
    client.publish("q", b"1")
    client.call(BasicGet(queue="q"))
    other.call(BasicConsume(queue="q"))
    world.advance(3 * INTERVAL)
    assert other.bodies() == [b"1"]


@pytest.mark.parametrize("sign", ["heartbeat", "method", "byte"])
def test_any_byte_is_a_sign_of_life(sign: str) -> None:
    world = World()
    client = beating(world)
    client.call(QueueDeclare(queue="q"))
    pieces = iter(b"\x01\0\x01\0\0\x40\0" + bytes(100))  # a long frame, byte by byte
    signs = {
        "heartbeat": client.heartbeat,
        "method": lambda: client.send(BasicGet(queue="q")),
        "byte": lambda: client.send_raw(bytes((next(pieces),))),
    }
    for _ in range(10):
        world.advance(1.9 * INTERVAL)
        signs[sign]()
    assert not client.closed


def test_deliveries_are_heartbeats_enough() -> None:
    """What still waits to be sent will be heard: no need to add to it."""
    world = World()
    client, other = beating(world), world.open()
    client.call(QueueDeclare(queue="q"), BasicConsume(queue="q", no_ack=True))
    for _ in range(4):
        other.publish("q", b"x")
        world.advance(INTERVAL / 2)
        client.heartbeat()
    assert len(client.bodies()) == 4
    assert client.heartbeats == 0


def test_a_client_that_we_do_not_read_is_not_late() -> None:
    world = World(Limits(publish_block_deadline_ms=0))
    client = beating(world)
    client.publish("q", b"x")
    world.broker.alarms.set("memory", active=True)
    for _ in range(10):
        world.advance(INTERVAL)
        client.arrivals()
    assert not client.closed
    world.broker.alarms.set("memory", active=False)
    world.advance(2 * INTERVAL)
    assert not client.closed
    world.advance(INTERVAL)
    assert client.closed


def test_the_longest_interval_there_is() -> None:
    world = World()
    client = world.open(heartbeat=65_535)
    world.advance(65_535 * 2.0)
    assert not client.closed
    world.advance(65_535 * 1.0)
    assert client.closed
