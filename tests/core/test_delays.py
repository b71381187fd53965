"""Delayed entries: retries that wait, dead letters that wait, moments of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.support import (
    Channel,
    at,
    bodies,
    declare,
    declare_exchange,
    message,
    new_broker,
)
from warren.errors import PreconditionFailed
from warren_broker.core.limits import Limits
from warren_broker.core.queue.times import SLICE

if TYPE_CHECKING:
    from warren_broker.core.broker import Broker
    from warren_broker.core.queue import Queue
    from warren_broker.core.session import Session

RETRY = {"x_delayed_retry_type": "all", "x_delayed_retry_min": 1000}


def opened(jitter: float = 0.0, **arguments: object) -> tuple[Broker, Channel, Queue]:
    broker, session = new_broker(Limits(retry_jitter=jitter))
    return broker, Channel(session), declare(session, **arguments)


def put(session: Session, *numbers: int, **others: object) -> None:
    for number in numbers:
        session.publish(message(body=b"%d" % number, **others))  # type: ignore[arg-type]


def give_back(channel: Channel, tag: int = 0, *, failed: bool = True) -> None:
    """Return one delivery, the last one if no other is named."""
    tag = tag or channel.unacked.tag
    channel.unacked.refuse(tag, multiple=False, requeue=True, failed=failed)


# Retries


@given(
    minimum=st.integers(1, 5000),
    extra=st.integers(0, 20_000) | st.none(),
    attempts=st.integers(1, 8),
)
def test_each_attempt_waits_longer_up_to_the_maximum(
    minimum: int, extra: int | None, attempts: int
) -> None:
    maximum = {} if extra is None else {"x_delayed_retry_max": minimum + extra}
    broker, channel, _ = opened(
        x_delayed_retry_type="all", x_delayed_retry_min=minimum, **maximum
    )
    channel.consume()
    put(channel.session, 1)
    for attempt in range(1, attempts + 1):
        give_back(channel)
        wanted = minimum * attempt
        if extra is not None:
            wanted = min(wanted, minimum + extra)
        since = broker.now
        at(broker, since + (wanted - 0.5) / 1000)
        assert len(channel.log) == attempt
        at(broker, since + (wanted + 0.5) / 1000)
        assert channel.log[-1].delivery_count == attempt


@pytest.mark.parametrize(
    ("kind", "failed_waits", "returned_waits"),
    [
        ("disabled", False, False),
        ("all", True, True),
        ("failed", True, False),
        ("returned", False, True),
    ],
)
def test_the_type_says_which_returns_wait(
    kind: str, failed_waits: bool, returned_waits: bool
) -> None:
    for failed, waits in ((True, failed_waits), (False, returned_waits)):
        _, channel, queue = opened(x_delayed_retry_type=kind, x_delayed_retry_min=10)
        channel.consume()
        put(channel.session, 1)
        give_back(channel, failed=failed)
        assert queue.times.delayed_count == waits
        assert len(channel.log) == 2 - waits


def test_what_failed_together_does_not_come_back_together() -> None:
    broker, channel, _ = opened(0.5, **RETRY)
    channel.consume()
    put(channel.session, *range(100))
    for tag in range(1, 101):
        give_back(channel, tag)
    at(broker, 0.999)
    assert len(channel.log) == 100
    moments = set()
    while (when := broker.next_deadline()) is not None and len(channel.log) < 200:
        broker.on_deadline(when)
        moments.add(when)
    assert len(channel.log) == 200
    assert len(moments) > 50
    assert all(1.0 <= when <= 1.5 for when in moments)


def test_others_overtake_and_the_one_that_waited_is_at_its_place_again() -> None:
    broker, channel, queue = opened(**RETRY)
    channel.consume(prefetch=1)
    put(channel.session, 1, 2, 3, 4)
    give_back(channel)
    assert channel.bodies == [b"1", b"2"]
    at(broker, 1.0)
    assert bodies(queue) == [b"1", b"3", b"4"]


def test_a_message_can_say_how_long_its_retry_waits() -> None:
    broker, channel, queue = opened()
    channel.consume()
    put(channel.session, 1, headers={"x-retry-delay": 300})
    give_back(channel, failed=False)
    at(broker, 0.299)
    assert queue.times.delayed_count == 1
    at(broker, 0.301)
    assert len(channel.log) == 2


def test_the_delivery_limit_comes_before_the_delay() -> None:
    _, channel, queue = opened(x_delivery_limit=0, **RETRY)
    channel.consume()
    put(channel.session, 1)
    give_back(channel)
    assert queue.times.delayed_count == 0
    assert not bodies(queue)


def test_the_time_to_live_goes_on_while_an_entry_waits() -> None:
    broker, channel, queue = opened(x_message_ttl=500, **RETRY)
    channel.consume()
    put(channel.session, 1)
    give_back(channel)
    at(broker, 0.5)
    assert queue.times.delayed_count == 0
    at(broker, 5.0)
    assert len(channel.log) == 1


def test_a_late_ack_spares_the_retry() -> None:
    broker, channel, queue = opened(x_consumer_timeout=100, **RETRY)
    channel.consume()
    put(channel.session, 1)
    at(broker, 0.2)
    assert queue.times.delayed_count == 1
    channel.unacked.settle(1, multiple=False)
    at(broker, 5.0)
    assert queue.times.delayed_count == 0
    assert len(channel.log) == 1


def test_a_purge_takes_what_waits_and_counts_it() -> None:
    broker, channel, queue = opened(**RETRY)
    channel.consume(prefetch=1)
    put(channel.session, 1, 2, 3)
    give_back(channel)
    assert queue.purge() == 2
    at(broker, 5.0)
    assert channel.bodies == [b"1", b"2"]


def test_a_queue_in_which_something_waits_is_not_empty() -> None:
    _, channel, _ = opened(**RETRY)
    channel.consume()
    put(channel.session, 1)
    give_back(channel)
    with pytest.raises(PreconditionFailed, match="not empty"):
        channel.session.delete_queue("q", if_unused=False, if_empty=True)
    assert channel.session.delete_queue("q", if_unused=False, if_empty=False) == 1


def test_what_waits_counts_for_the_limit_of_length() -> None:
    """Or consumers could make a queue as long as they like."""
    broker, channel, queue = opened(
        x_max_length=2, x_overflow="reject-publish", **RETRY
    )
    channel.consume(prefetch=1)
    put(channel.session, 1, 2)
    give_back(channel)
    give_back(channel)
    put(channel.session, 3, 4)
    assert (queue.times.delayed_count, len(bodies(queue))) == (2, 0)
    at(broker, 5.0)
    assert channel.bodies == [b"1", b"2", b"1"]


def test_a_deleted_queue_retries_nothing() -> None:
    broker, channel, queue = opened(**RETRY)
    channel.consume(prefetch=1)
    put(channel.session, 1, 2)
    give_back(channel)
    channel.session.delete_queue("q", if_unused=False, if_empty=False)
    give_back(channel, 2)
    at(broker, 5.0)
    assert channel.bodies == [b"1", b"2"]
    channel.close()
    assert not len(broker.deadlines)
    assert queue.is_deleted


# Dead letters


def test_a_rejected_message_can_wait_for_its_dead_letter_exchange() -> None:
    broker, channel, _ = opened(x_dead_letter_exchange="x")
    declare_exchange(channel.session, "x", "fanout")
    dead = declare(channel.session, "dead")
    channel.session.bind_queue("dead", "x", "", {})
    channel.consume()
    put(channel.session, 1, headers={"x-retry-delay": 500})
    channel.unacked.refuse(1, multiple=False, requeue=False, failed=True)
    at(broker, 0.4)
    assert not bodies(dead)
    at(broker, 0.5)
    assert bodies(dead) == [b"1"]


def test_without_a_dead_letter_exchange_a_rejected_message_is_gone_at_once() -> None:
    _, channel, queue = opened()
    channel.consume()
    put(channel.session, 1, headers={"x-retry-delay": 500})
    channel.unacked.refuse(1, multiple=False, requeue=False, failed=True)
    assert queue.times.delayed_count == 0


# Moments of their own


def test_a_header_can_say_when_a_message_is_ready() -> None:
    broker, channel, queue = opened(x_deliver_at_header="eta")
    channel.consume()
    put(channel.session, 1, headers={"eta": "1970-01-01T00:01:00+00:00"})
    put(channel.session, 2, headers={"eta": "1970-01-01T00:00:30"})
    put(channel.session, 3, headers={"eta": "when it suits you"})
    put(channel.session, 4, headers={"eta": None})
    put(channel.session, 5)
    assert channel.bodies == [b"3", b"4", b"5"]
    assert queue.times.delayed_count == 2
    at(broker, 30.0)
    assert channel.bodies[3:] == [b"2"]
    at(broker, 60.0)
    assert channel.bodies[4:] == [b"1"]


def test_its_time_to_live_begins_when_it_is_ready() -> None:
    broker, channel, queue = opened(x_deliver_at_header="eta", x_message_ttl=1000)
    put(channel.session, 1, headers={"eta": 5000})
    at(broker, 5.9)
    assert bodies(queue) == [b"1"]
    at(broker, 6.0)
    assert not bodies(queue)


def test_many_that_are_ready_at_once_come_a_slice_a_turn() -> None:
    broker, channel, queue = opened(x_deliver_at_header="eta")
    count = 2 * SLICE + 1
    for number in range(count):
        put(channel.session, number, headers={"eta": 1000})
    turns = []
    while (when := broker.next_deadline()) is not None and queue.times.delayed_count:
        before = queue.backlog.count
        broker.on_deadline(when)
        turns.append(queue.backlog.count - before)
    assert turns == [SLICE, SLICE, 1]
    assert bodies(queue) == [b"%d" % number for number in range(count)]


def test_many_that_expire_at_once_go_a_slice_a_turn() -> None:
    broker, channel, queue = opened(x_message_ttl=1000)
    put(channel.session, *range(2 * SLICE))
    broker.on_deadline(1.0)
    assert queue.backlog.count == SLICE
    channel.consume()
    assert not channel.log, "expired, though its turn to go had not come"


def test_delayed_bytes_count_for_the_limit_of_bytes() -> None:
    _, channel, queue = opened(
        x_deliver_at_header="eta", x_max_length_bytes=1000, x_overflow="reject-publish"
    )
    for number in range(20):
        put(channel.session, number, headers={"eta": 10**9})
    sizes = queue.times.delayed_bytes
    assert 0 < sizes <= 1000


def test_delayed_entries_make_room_when_nothing_else_can() -> None:
    """Far moments of one producer must not keep all others out."""
    _, channel, queue = opened(x_deliver_at_header="eta", x_max_length=3)
    for number in range(5):
        put(channel.session, number, headers={"eta": 10**9 + number})
    assert queue.times.delayed_count == 3
    put(channel.session, 6)
    assert (queue.times.delayed_count, bodies(queue)) == (3, [])
    channel.consume()
    put(channel.session, 7)
    assert channel.bodies == [b"7"]
