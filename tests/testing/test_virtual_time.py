"""Time that passes when a test says so, on both ends of the wire or on one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika.exceptions import AMQPConnectionError

from tests.testing.clients import confirming, connected
from warren_broker.testing import Broker

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = 86_400


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker.in_thread() as broker:
        yield broker


def test_messages_expire_in_their_order(warren: Broker) -> None:
    letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    with confirming(warren.url, **letters) as channel:
        channel.queue_declare("dead")
        for seconds in (3000, 1000, 2000):
            properties = pika.BasicProperties(expiration=f"{seconds * 1000}")
            channel.basic_publish("", "q", b"%d" % seconds, properties)
        warren.clock.advance(900)
        assert len(warren.queue("q").ready) == 3
        warren.clock.advance(1200)
        assert [each.text for each in warren.queue("dead").ready] == ["1000", "2000"]
        warren.clock.advance(DAY)
        assert [each.text for each in warren.queue("dead").ready][2:] == ["3000"]


def test_what_follows_from_what_is_due_has_its_own_time(warren: Broker) -> None:
    """Each queue dead-letters to the next one."""
    with connected(warren.url) as connection:
        channel = connection.channel()
        for queue, other in ("ab", "bc", "cd", "de"):
            arguments = {
                "x-message-ttl": 10_000,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": other,
            }
            channel.queue_declare(queue, arguments=arguments)
        channel.confirm_delivery()
        channel.basic_publish("", "a", b"")
        where = []
        for _ in range(4):
            warren.clock.advance(10.5)
            where.append([name for name, q in warren.queues().items() if len(q)])
        assert where == [["b"], ["c"], ["d"], []]
        channel.basic_publish("", "a", b"")
        warren.clock.advance(35)
        assert len(warren.queue("d")) == 1


def test_leases_end(warren: Broker) -> None:
    with confirming(warren.url, **{"x-consumer-timeout": 600_000}) as channel:
        channel.basic_publish("", "q", b"1")
        channel.basic_get("q")
        warren.clock.advance(500)
        assert len(warren.queue("q").unacked) == 1
        warren.clock.advance(200)
        (message,) = warren.queue("q").ready
        assert message.delivery_count == 1


def test_schedules_and_delays_come(warren: Broker) -> None:
    with confirming(warren.url) as channel:
        headers = {"x-delay": 30 * DAY * 1000}
        later = pika.BasicProperties(headers=headers)
        channel.basic_publish("", "q", b"later", later)
        warren.clock.advance(30 * DAY - 60)
        assert (warren.scheduled_count(), len(warren.queue("q"))) == (1, 0)
        warren.clock.advance(60)
        assert (warren.scheduled_count(), len(warren.queue("q"))) == (0, 1)


def test_clients_live_through_any_time(warren: Broker) -> None:
    with connected(warren.url, heartbeat=10) as connection:
        warren.clock.advance(DAY)
        connection.channel().queue_declare("q")


def test_silent_clients_do_not(warren: Broker) -> None:
    with connected(warren.url, heartbeat=60) as connection:
        warren.clock.advance(100, heartbeats=False)
        assert len(warren.connections()) == 1
        warren.clock.advance(60, heartbeats=False)
        assert warren.connections() == []
        assert "missed heartbeats" in {event.name for event in warren.events()}
        with pytest.raises(AMQPConnectionError):
            connection.channel()


def test_time_goes_on_through_a_restart(warren: Broker) -> None:
    with connected(warren.url) as connection:
        connection.channel()
        warren.clock.advance(DAY)
        warren.restart()
    later = pika.BasicProperties(headers={"x-deliver-at": "2000-01-01T00:00:00Z"})
    with confirming(warren.url) as channel:
        channel.basic_publish("", "q", b"due long ago", later)
        assert len(warren.queue("q")) == 1


def test_the_wall_goes_with_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What was a day's life has not got longer by a restart."""
    data_dir = tmp_path_factory.mktemp("data")
    with Broker.in_thread(data_dir=data_dir) as broker:
        with connected(broker.url) as connection:
            channel = connection.channel()
            channel.queue_declare("q", durable=True)
            channel.confirm_delivery()
            lasting = pika.BasicProperties(delivery_mode=2, expiration=f"{DAY}000")
            channel.basic_publish("", "q", b"", lasting)
            broker.clock.advance(DAY - 100)
            broker.restart()
        broker.clock.advance(50)
        assert len(broker.queue("q")) == 1
        broker.clock.advance(50)
        assert len(broker.queue("q")) == 0


@given(
    lives=st.lists(st.integers(1, 50), min_size=1, max_size=8),
    steps=st.lists(st.integers(1, 30), min_size=1, max_size=6),
)
def test_time_in_pieces_is_the_same_time(
    broker: Broker, lives: list[int], steps: list[int]
) -> None:
    """After any advances just those messages are left that live longer."""
    broker.reset()
    with confirming(broker.url) as channel:
        for life in lives:
            # Half a minute off, so that the real time of this test changes nothing.
            properties = pika.BasicProperties(expiration=f"{life * 60_000 + 30_000}")
            channel.basic_publish("", "q", b"%d" % life, properties)
        passed = 0
        for step in steps:
            passed += step
            broker.clock.advance(step * 60)
            left = [int(message.body) for message in broker.queue("q").ready]
            assert left == [life for life in lives if life >= passed]
