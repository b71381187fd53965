"""The broker: turns, clocks, notices, and nothing left behind."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from tests.core.support import (
    Channel,
    at,
    declare,
    declare_exchange,
    message,
    new_broker,
)
from warren_broker.core.broker import Broker
from warren_broker.core.limits import Limits
from warren_broker.core.notice import NOTICES_MAX, Notice

if TYPE_CHECKING:
    from warren_broker.core.session import Session


def test_time_never_runs_backwards() -> None:
    broker = Broker(now=5.0)
    for now, expected in ((7.0, 7.0), (6.0, 7.0), (7.5, 7.5)):
        broker.begin_turn(now)
        assert broker.now == expected
    broker.on_deadline(1.0)
    assert broker.now == 7.5


def test_both_clocks_go_together() -> None:
    broker = Broker(now=100.0, wall_seconds=1_700_000_000.0)
    assert broker.wall_seconds == 1_700_000_000.0
    broker.begin_turn(160.0)
    assert broker.wall_seconds == 1_700_000_060.0


def test_an_ack_timeout_of_nothing_is_none() -> None:
    broker = Broker(Limits(ack_timeout_ms=9000))
    assert broker.ack_timeout_seconds(None) == 9.0
    assert broker.ack_timeout_seconds(1500) == 1.5
    assert broker.ack_timeout_seconds(0) is None


def test_a_virtual_host_is_made_once() -> None:
    broker = Broker()
    assert list(broker.vhosts) == ["/"]
    first = broker.add_vhost("v")
    assert broker.add_vhost("v") is first
    assert first is not broker.vhosts["/"]


def test_notices_are_taken_once_and_a_flood_loses_its_tail() -> None:
    broker = Broker()
    assert broker.take_notices() == []
    broker.notice("happened", queue="q", count=1)
    assert broker.take_notices() == [Notice("happened", {"queue": "q", "count": 1})]
    for number in range(NOTICES_MAX + 5):
        broker.notice("flood", number=number)
    notices = broker.take_notices()
    assert [notice.fields["number"] for notice in notices] == [*range(NOTICES_MAX)]
    assert broker.take_notices() == []


def test_work_counts_what_publishing_caused() -> None:
    broker, session = new_broker()
    for name in ("a", "b"):
        declare(session, name)
        session.bind_queue(name, "amq.fanout", "", {})
    session.publish(message("a"))
    assert broker.work == 1
    session.publish(message("", exchange="amq.fanout"))
    assert broker.work == 3
    session.publish(message("nowhere"))
    assert broker.work == 3


def busy_life(session: Session) -> None:
    """Do everything that makes objects know one another, and end it all."""
    broker = session.vhost.broker
    declare_exchange(session, "x", "topic", auto_delete=True)
    declare_exchange(session, "y", "fanout")
    session.bind_exchange("y", "x", "#", {})
    session.bind_exchange("x", "y", "", {})
    session.bind_exchange("y", "y", "", {})  # to itself
    declare(session, "dead")
    for name in ("q", "p"):
        declare(
            session,
            name,
            auto_delete=name == "p",
            exclusive=name == "p",
            x_message_ttl=500,
            x_dead_letter_exchange="",
            x_dead_letter_routing_key="dead",
        )
        session.bind_queue(name, "x", name, {})
    channels = [Channel(session, name) for name in "12"]
    for channel in channels:
        channel.qos(1, whole_channel=True)
        for name in ("q", "p"):
            channel.consume(name, tag=name)
    for number in range(40):
        session.publish(message("pq"[number % 2], exchange="x"))
    channels[0].unacked.settle(1, multiple=False)
    channels[1].unacked.refuse(1, multiple=False, requeue=True)
    at(broker, 3.0)  # what is ready expires, what is out comes back
    channels[0].cancel("q")
    for channel in channels:
        channel.close()
    session.delete_exchange("y", if_unused=False)
    session.close()
    session.delete_queue("q", if_unused=False, if_empty=False)


def test_what_ends_leaves_nothing_for_the_cyclic_collector() -> None:
    """The collector is off in a busy server: a cycle would stay for ever.

    The broker itself is one; it lives as long as the process.
    """
    broker, session = new_broker(Limits(ack_timeout_ms=1000))
    gc.collect()
    gc.disable()
    try:
        busy_life(session)
        assert gc.collect() == 0
    finally:
        gc.enable()
    assert list(broker.vhosts["/"].queues) == ["dead"]
