"""What is dropped at once is freed by and by, and nobody sees it meanwhile."""

from __future__ import annotations

import weakref
from collections import deque

import pytest

from tests.pairs import World
from warren.wire.methods import (
    BasicGet,
    BasicGetEmpty,
    QueueDeclare,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
)
from warren_broker.core.broker import Broker
from warren_broker.core.sweeper import SLICE


class Thing:
    """Something that tells when it is gone."""


@pytest.mark.parametrize("kind", [list, deque])
def test_frees_a_slice_a_turn(kind: type[list[Thing] | deque[Thing]]) -> None:
    broker = Broker()
    alive: weakref.WeakSet[Thing] = weakref.WeakSet()
    things = kind(Thing() for _ in range(2 * SLICE + 1))
    alive.update(things)
    broker.sweeper.add([things])
    del things
    left = []
    while broker.next_deadline() is not None:
        broker.on_deadline(0.0)
        left.append(len(alive))
    assert left == [SLICE + 1, 1, 0]


def test_few_are_not_worth_a_turn() -> None:
    broker = Broker()
    broker.sweeper.add([[Thing()] * SLICE])
    assert (len(broker.sweeper), broker.next_deadline()) == (0, None)


@pytest.mark.parametrize("arguments", [{}, {"x-message-ttl": 1000}])
def test_what_was_purged_is_gone_at_once(arguments: dict[str, object]) -> None:
    count = SLICE + 5
    world = World()
    client = world.open()
    client.call(QueueDeclare(queue="q", arguments=dict(arguments)))  # type: ignore[arg-type]
    for _ in range(count):
        client.publish("q", b"x")
    assert client.call(QueuePurge(queue="q")) == [QueuePurgeOk(count)]
    assert isinstance(client.call(BasicGet(queue="q"))[0], BasicGetEmpty)
    client.publish("q", b"y")
    world.advance(2)  # past the time to live of those that are gone, and of the new one
    left = 0 if arguments else 1
    assert len(world.broker.sweeper) == 0
    assert client.call(QueueDelete(queue="q")) == [QueueDeleteOk(left)]
