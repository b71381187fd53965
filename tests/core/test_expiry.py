"""Expiry: an entry whose time is over is gone at that moment, wherever it stands."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.support import (
    Channel,
    PlainHeader,
    at,
    bodies,
    declare,
    message,
    new_broker,
)
from warren_broker.core.message import Message, Route

if TYPE_CHECKING:
    from warren_broker.core.session import Session

times = st.one_of(st.none(), st.integers(0, 50).map(lambda tens: tens * 100))


@given(queue_ms=times, each_ms=st.lists(times, max_size=12), now=st.integers(0, 6000))
def test_the_shorter_time_counts_and_nobody_waits_for_the_head(
    queue_ms: int | None, each_ms: list[int | None], now: int
) -> None:
    broker, session = new_broker()
    arguments = {} if queue_ms is None else {"x_message_ttl": queue_ms}
    queue = declare(session, **arguments)
    expected = []
    for number, message_ms in enumerate(each_ms):
        body = b"%d" % number
        session.publish(message(body=body, expiration_ms=message_ms))
        known = [one for one in (queue_ms, message_ms) if one is not None]
        if not known or min(known) > now:
            expected.append(body)
    at(broker, now / 1000)
    assert bodies(queue) == expected
    assert queue.backlog.count == len(expected)


def test_the_next_deadline_is_the_moment_the_first_entry_expires() -> None:
    broker, session = new_broker()
    declare(session)
    session.publish(message(expiration_ms=5000))
    assert broker.next_deadline() == 5.0
    session.publish(message(expiration_ms=2000))
    assert broker.next_deadline() == 2.0
    broker.on_deadline(2.0)
    assert broker.next_deadline() == 5.0
    broker.on_deadline(5.0)
    assert broker.next_deadline() is None


def test_no_time_at_all_is_enough_for_a_consumer_who_waits() -> None:
    broker, session = new_broker()
    queue = declare(session)
    channel = Channel(session)
    channel.consume(prefetch=1)
    for body in (b"now", b"too late"):
        session.publish(message(body=body, expiration_ms=0))
    assert channel.bodies == [b"now"]
    assert bodies(queue) == [b"too late"]
    at(broker, 0.0)
    assert bodies(queue) == []


def test_what_is_out_does_not_expire_until_it_comes_back() -> None:
    broker, session = new_broker()
    queue = declare(session)
    channel = Channel(session)
    session.publish(message(expiration_ms=1000))
    channel.get()
    at(broker, 9.0)
    assert queue.unacked_count == 1
    channel.unacked.refuse(1, multiple=False, requeue=True)
    assert (queue.unacked_count, queue.backlog.count) == (0, 0)


def test_what_comes_back_in_time_expires_at_its_old_moment() -> None:
    broker, session = new_broker()
    queue = declare(session)
    channel = Channel(session)
    session.publish(message(expiration_ms=1000))
    channel.get()
    at(broker, 0.5)
    channel.unacked.refuse(1, multiple=False, requeue=True)
    assert queue.backlog.count == 1
    at(broker, 0.999)
    assert queue.backlog.count == 1
    at(broker, 1.0)
    assert queue.backlog.count == 0


def test_a_late_timer_lets_nothing_expired_out() -> None:
    """A turn may come between the moment and the timer."""
    broker, session = new_broker()
    queue = declare(session)
    for number in range(3):
        session.publish(message(expiration_ms=1000))
        session.publish(message(body=b"%d" % number))
    broker.begin_turn(2.0)
    channel = Channel(session)
    entry = channel.get()
    assert entry is not None
    assert entry.message.body == b"0"
    channel.consume(prefetch=1)
    assert channel.bodies == [b"1"]
    channel.unacked.settle(2, multiple=False)
    assert channel.bodies == [b"1", b"2"]
    assert queue.backlog.count == 0


def test_get_finds_nothing_when_all_is_expired() -> None:
    broker, session = new_broker()
    declare(session, x_message_ttl=10)
    session.publish(message())
    broker.begin_turn(1.0)
    assert Channel(session).get() is None


def publish_watched(
    session: Session, count: int, expiration_ms: int | None = None
) -> weakref.WeakSet[PlainHeader]:
    """Publish, and return what tells which messages are still kept."""
    alive: weakref.WeakSet[PlainHeader] = weakref.WeakSet()
    for _ in range(count):
        header = PlainHeader(expiration_ms=expiration_ms)
        alive.add(header)
        session.publish(Message(Route("", "q", b""), header, b""))
        del header
    return alive


@pytest.mark.parametrize("arguments", [{}, {"x_max_priority": 3}, {"x_max_length": 99}])
def test_what_expired_unread_is_let_go(arguments: dict[str, int]) -> None:
    """A queue of replies that nobody fetches must not keep them for ever."""
    broker, session = new_broker()
    declare(session, x_message_ttl=1000, **arguments)
    alive = publish_watched(session, 3000)
    at(broker, 1.0)
    assert len(alive) == 0


def test_what_expired_behind_an_entry_that_stays_is_let_go() -> None:
    broker, session = new_broker()
    queue = declare(session)
    session.publish(message(body=b"stays"))
    alive = publish_watched(session, 3000, expiration_ms=1000)
    at(broker, 1.0)
    assert bodies(queue) == [b"stays"]
    assert len(alive) < 100


def test_what_was_acked_in_time_is_not_kept_until_its_time() -> None:
    _, session = new_broker()
    declare(session)
    session.publish(message(body=b"first", expiration_ms=1))  # the head of the heap
    channel = Channel(session)
    channel.consume(no_ack=True)
    alive = publish_watched(session, 10_000, expiration_ms=100_000)
    channel.log.clear()
    assert len(alive) < 100


def test_purging_forgets_the_times_as_well() -> None:
    broker, session = new_broker()
    queue = declare(session, x_message_ttl=1000)
    alive = publish_watched(session, 100)
    session.purge_queue("q")
    assert len(alive) == 0
    at(broker, 2.0)
    assert queue.backlog.count == 0
