"""Ack timeouts: what is held too long goes back, it alone, and nobody is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.pairs import RawClient, World
from warren.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicDeliver,
    BasicGet,
    BasicNack,
    BasicQos,
    ChannelClose,
    QueueDeclare,
)
from warren_broker.core.limits import Limits

if TYPE_CHECKING:
    from warren.wire.table import Table
    from warren_broker.core.queue import Queue

SECONDS: Final = 10.0
TIMEOUT: Final[Table] = {"x-consumer-timeout": 10_000}
MOMENT: Final = 0.001


class Slow:
    """A world with a client that holds what it gets; the queue is `q`."""

    def __init__(
        self,
        *,
        queue_arguments: Table | None = None,
        consumer_arguments: Table | None = None,
        limits: Limits | None = None,
        prefetch: int = 0,
    ) -> None:
        self.world = World(limits)
        self.client = self.world.open()
        self.client.call(QueueDeclare(queue="q", arguments=queue_arguments or {}))
        self.client.call(BasicQos(0, prefetch))
        consume = BasicConsume(
            queue="q", consumer_tag="c", arguments=consumer_arguments or {}
        )
        self.client.call(consume)

    @property
    def queue(self) -> Queue:
        return self.world.broker.vhosts["/"].queues["q"]

    def heard(self) -> list[tuple[int, bytes, bool]]:
        return heard(self.client)


def heard(client: RawClient) -> list[tuple[int, bytes, bool]]:
    """Delivery tag, body, redelivered."""
    return [
        (each.method.delivery_tag, each.body, each.method.redelivered)
        for each in client.arrivals()
        if isinstance(each.method, BasicDeliver)
    ]


def of_the_queue() -> Slow:
    return Slow(queue_arguments=TIMEOUT)


def of_the_consumer() -> Slow:
    return Slow(consumer_arguments=TIMEOUT)


def of_the_broker() -> Slow:
    return Slow(limits=Limits(ack_timeout_ms=10_000))


@pytest.mark.parametrize("setting", [of_the_queue, of_the_consumer, of_the_broker])
def test_what_is_held_too_long_is_delivered_again(setting: object) -> None:
    slow: Slow = setting()  # type: ignore[operator]
    slow.client.publish("q", b"1")
    assert slow.heard() == [(1, b"1", False)]
    slow.world.advance(SECONDS - MOMENT)
    assert slow.heard() == []
    slow.world.advance(2 * MOMENT)
    assert slow.heard() == [(2, b"1", True)]
    assert slow.queue.ack_timeout_count == 1
    assert not slow.client.closed


@pytest.mark.parametrize(
    ("queue_ms", "consumer_ms", "seconds"),
    [(10_000, 5000, 5.0), (5000, 10_000, 10.0), (0, 7000, 7.0), (7000, None, 7.0)],
)
def test_the_consumers_wish_comes_first(
    queue_ms: int, consumer_ms: int | None, seconds: float
) -> None:
    wish: Table = {} if consumer_ms is None else {"x-consumer-timeout": consumer_ms}
    slow = Slow(
        queue_arguments={"x-consumer-timeout": queue_ms}, consumer_arguments=wish
    )
    slow.client.publish("q", b"1")
    slow.world.advance(seconds - MOMENT)
    assert len(slow.heard()) == 1
    slow.world.advance(2 * MOMENT)
    assert len(slow.heard()) == 1


@pytest.mark.parametrize("queue_ms", [0, 10_000])
def test_zero_is_for_ever(queue_ms: int) -> None:
    slow = Slow(
        queue_arguments={"x-consumer-timeout": queue_ms},
        consumer_arguments={"x-consumer-timeout": 0} if queue_ms else {},
    )
    slow.client.publish("q", b"1")
    slow.world.advance(1e6)
    assert len(slow.heard()) == 1
    assert len(slow.world.broker.deadlines) == 0


def test_only_that_message() -> None:
    slow = of_the_queue()
    for body in (b"1", b"2", b"3"):
        slow.client.publish("q", body)
        slow.world.advance(4.0)
    slow.client.send(BasicAck(2))
    assert [tag for tag, *_ in slow.heard()] == [1, 2, 3, 4]  # the first was late
    slow.world.advance(SECONDS - 4.0 + MOMENT)
    assert slow.heard() == [(5, b"3", True)]
    assert slow.queue.ack_timeout_count == 2


def test_a_consumer_that_was_cancelled_is_late_as_well() -> None:
    slow = of_the_queue()
    other = slow.world.open()
    slow.client.publish("q", b"1")
    slow.client.send(BasicCancel("c"))
    other.call(BasicConsume(queue="q"))
    slow.world.advance(SECONDS + MOMENT)
    assert slow.heard() == [(1, b"1", False)]
    assert heard(other) == [(1, b"1", True)]


def test_a_basic_get_has_the_queues_timeout() -> None:
    world = World()
    client = world.open()
    client.call(QueueDeclare(queue="q", arguments=TIMEOUT))
    client.publish("q", b"1")
    client.call(BasicGet(queue="q"))
    world.advance(SECONDS + MOMENT)
    assert world.broker.vhosts["/"].queues["q"].backlog.count == 1


def test_attempts_are_counted() -> None:
    arguments: Table = {**TIMEOUT, "x-delivery-limit": 2}
    slow = Slow(queue_arguments=arguments)
    slow.client.publish("q", b"1")
    counts = []
    for _ in range(5):
        for each in slow.client.arrivals():
            properties = each.properties
            assert properties is not None
            counts.append((properties.headers or {}).get("x-delivery-count"))
        slow.world.advance(SECONDS + MOMENT)
    assert counts == [None, 1, 2]
    assert slow.queue.backlog.count == slow.queue.unacked_count == 0


class TestLateAcks:
    """The work is done, only late: no reason to close anything."""

    def late(self) -> Slow:
        """Deliveries 1 to 3 have timed out, and wait for room."""
        slow = Slow(queue_arguments=TIMEOUT, prefetch=3)
        slow.client.publish("q", b"1", b"2", b"3")
        slow.arrived = slow.heard()  # type: ignore[attr-defined]
        slow.client.call(BasicQos(0, 1))
        return slow

    def test_of_what_still_waits_take_it_out(self) -> None:
        slow = self.late()
        slow.world.advance(SECONDS + MOMENT)  # now 1 is out again, 2 and 3 wait
        assert slow.heard() == [(4, b"1", True)]
        assert slow.client.call(BasicAck(2)) == []
        assert [entry.message.body for entry in slow.queue.backlog] == [b"3"]
        assert slow.queue.late_ack_count == 0

    def test_of_what_somebody_has_are_counted(self) -> None:
        slow = self.late()
        slow.world.advance(SECONDS + MOMENT)
        slow.heard()
        assert slow.client.call(BasicAck(1)) == []
        assert slow.queue.late_ack_count == 1
        assert slow.queue.unacked_count == 1
        assert slow.client.call(BasicAck(4)) != []  # makes room for the next

    def test_of_all_at_once(self) -> None:
        slow = self.late()
        slow.world.advance(SECONDS + MOMENT)
        slow.heard()
        slow.client.send(BasicAck(3, multiple=True))
        assert slow.queue.backlog.count == 0
        assert slow.queue.late_ack_count == 1

    def test_refusals_change_nothing(self) -> None:
        slow = self.late()
        slow.world.advance(SECONDS + MOMENT)
        slow.heard()
        assert slow.client.call(BasicNack(2, requeue=False)) == []
        assert slow.queue.backlog.count == 2

    def test_twice_is_an_error_as_ever(self) -> None:
        slow = self.late()
        slow.world.advance(SECONDS + MOMENT)
        slow.heard()
        slow.client.call(BasicAck(2))
        (close,) = slow.client.call(BasicAck(2))
        assert isinstance(close, ChannelClose)
        assert "unknown delivery tag 2" in close.reply_text

    def test_of_a_queue_that_is_gone(self) -> None:
        slow = self.late()
        slow.world.advance(SECONDS + MOMENT)
        slow.heard()
        slow.world.broker.vhosts["/"].drop_queue(slow.queue)
        slow.client.arrivals()
        assert slow.client.call(BasicAck(2), BasicAck(4)) == []


def test_one_deadline_a_channel_however_much_it_holds() -> None:
    slow = of_the_queue()
    slow.client.publish("q", *[b"x"] * 100)
    assert len(slow.world.broker.deadlines) == 1
    slow.client.send(BasicAck(0, multiple=True))
    slow.world.advance(SECONDS + MOMENT)
    assert len(slow.world.broker.deadlines) == 0
