"""A damaged data directory: what is left is served, what is lost is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.core.support import message
from tests.server.test_commands_survive import PERSISTENT, Kept
from tests.simulated_disk import SimulatedDisk
from warren_broker.core.message import Message
from warren_broker.storage.repair import repair
from warren_broker.storage.segment import name_of

if TYPE_CHECKING:
    from warren_broker.core.broker import Broker


def declare(broker: Broker, name: str) -> None:
    broker.vhosts["/"].add_queue(
        name, durable=True, auto_delete=False, owner=None, arguments={}
    )


def publish(broker: Broker, name: str, body: bytes) -> None:
    route = message(name).route
    broker.vhosts["/"].publish(Message(route, PERSISTENT, body))


def disk_with_a_lost_queue(*, repaired: bool = False) -> SimulatedDisk:
    """The record that declared `lost` cannot be read; its messages can."""
    kept = Kept(SimulatedDisk())
    kept.take(lambda broker: declare(broker, "whole"))
    kept.commit()
    kept.take(lambda broker: declare(broker, "lost"))
    kept.commit()
    for number in range(10):
        for name in ("whole", "lost"):
            body = b"%d" % number
            kept.take(lambda broker, n=name, b=body: publish(broker, n, b))
        kept.commit()
    kept.commit(is_last=True)
    disk = kept.disk.crashed()
    segment = disk.contents()[name_of(1)]
    disk.damage(name_of(1), segment.index(b"dlost") - 3, b"\xff\xff")
    if repaired:
        repair(disk)
    return disk


def waiting(broker: Broker, name: str) -> list[tuple[bytes, int]]:
    queue = broker.vhosts["/"].queues[name]
    return [(entry.message.body, entry.delivery_count) for entry in queue.backlog]


def test_messages_of_a_lost_queue_have_another_one() -> None:
    expected = [(b"%d" % number, 1) for number in range(10)]
    for repaired in (False, True):
        kept = Kept(disk_with_a_lost_queue(repaired=repaired))
        health = kept.broker.health
        assert health.recovered_queues == ("warren.recovered.2",)
        assert health.is_damaged != repaired
        assert waiting(kept.broker, "whole") == expected, "all may have been delivered"
        assert waiting(kept.broker, "warren.recovered.2") == expected
        kept.take(lambda broker: declare(broker, "next"))
        kept.take(lambda broker: publish(broker, "next", b"mine"))
        kept.commit(is_last=True)
        again = Kept(kept.disk.crashed())
        assert again.broker.health.recovered_queues == ()
        assert again.broker.health.is_damaged != repaired
        assert waiting(again.broker, "warren.recovered.2") == expected
        assert waiting(again.broker, "next") == [(b"mine", int(not repaired))]


def test_what_is_whole_has_no_such_queues() -> None:
    """Messages of a queue that was deleted while somebody held them are forgotten."""
    kept = Kept(SimulatedDisk())
    kept.take(lambda broker: declare(broker, "q"))
    kept.take(lambda broker: publish(broker, "q", b"held"))
    entry = kept.broker.vhosts["/"].queues["q"].backlog.pop()
    kept.take(lambda broker: broker.vhosts["/"].drop_queue(entry.queue))
    kept.commit()
    again = Kept(kept.disk.crashed())
    assert again.recovered.messages
    assert again.broker.health.recovered_queues == ()
    again.commit()
    assert not Kept(again.disk.crashed()).recovered.messages
