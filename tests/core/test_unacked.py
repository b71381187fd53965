"""Unacked: what delivery tags stand for, and what happens when nobody acks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.support import (
    Channel,
    at,
    bodies,
    declare,
    fingerprint,
    message,
    new_broker,
)
from warren.errors import PreconditionFailed
from warren_broker.core import unacked
from warren_broker.core.broker import Broker
from warren_broker.core.limits import Limits
from warren_broker.core.queue import Queue
from warren_broker.core.session import Session

World = tuple[Broker, Session, Queue, Channel]


def world(held: int = 0, **arguments: object) -> World:
    """A queue, and a channel that holds `held` of its entries, from tag 1 on."""
    broker, session = new_broker(Limits(ack_timeout_ms=60_000))
    queue = declare(session, **arguments)
    channel = Channel(session)
    for number in range(1, held + 1):
        session.publish(message(body=b"%d" % number))
        channel.get()
    return broker, session, queue, channel


# Tags


@pytest.mark.parametrize("how", ["ack", "requeue", "reject"])
@given(
    steps=st.lists(st.tuples(st.integers(0, 14), st.booleans()), max_size=8),
    count=st.integers(0, 12),
)
def test_a_tag_settles_itself_or_all_up_to_it_once(
    how: str, steps: list[tuple[int, bool]], count: int
) -> None:
    broker, _, queue, channel = world(count)
    held = set(range(1, count + 1))
    for tag, multiple in steps:
        chosen = {one for one in held if one == tag or (multiple and one < tag)}
        if multiple and tag == 0:
            chosen = set(held)
        is_known = tag in held or (multiple and tag == 0)
        if is_known:
            settle(channel, how, tag, multiple=multiple)
            held -= chosen
        else:
            before = fingerprint(broker, channel)
            with pytest.raises(PreconditionFailed) as caught:
                settle(channel, how, tag, multiple=multiple)
            assert caught.value.text == f"unknown delivery tag {tag}"
            assert before == fingerprint(broker, channel)
        assert set(channel.unacked.entries) == held
        assert queue.unacked_count == len(held)
    returned = [b"%d" % tag for tag in range(1, count + 1) if tag not in held]
    assert bodies(queue) == (returned if how == "requeue" else [])


def settle(channel: Channel, how: str, tag: int, *, multiple: bool) -> None:
    if how == "ack":
        channel.unacked.settle(tag, multiple=multiple)
    else:
        channel.unacked.refuse(tag, multiple=multiple, requeue=how == "requeue")


def test_check_raises_what_settle_would_and_changes_nothing() -> None:
    broker, _, _, channel = world(2)
    before = fingerprint(broker, channel)
    channel.unacked.check(1, multiple=False)
    channel.unacked.check(0, multiple=True)
    for tag, multiple in ((0, False), (3, False), (3, True), (-1, True)):
        with pytest.raises(PreconditionFailed, match="unknown delivery tag"):
            channel.unacked.check(tag, multiple=multiple)
    assert fingerprint(broker, channel) == before


def test_recover_gives_everything_back_to_its_place() -> None:
    _, session, queue, channel = world(3)
    session.publish(message(body=b"4"))
    channel.unacked.recover()
    assert bodies(queue) == [b"1", b"2", b"3", b"4"]
    assert [entry.redelivered for entry in queue.backlog] == [True] * 3 + [False]


def test_close_gives_everything_back_and_ends_the_watch() -> None:
    broker, _, queue, channel = world(3)
    assert broker.next_deadline() == 60.0
    channel.unacked.close()
    assert queue.backlog.count == 3
    assert broker.next_deadline() is None


def test_what_was_taken_can_be_put_back_under_its_tags() -> None:
    """A transaction that is rolled back."""
    _, session, queue, channel = world(4)
    first = channel.unacked.take(1, multiple=False)
    others = channel.unacked.take(3, multiple=True)
    assert (list(first), list(others)) == ([1], [2, 3])
    session.publish(message(body=b"5"))
    channel.get()
    channel.unacked.put_back(others)
    channel.unacked.put_back(first)
    assert list(channel.unacked.entries) == [1, 2, 3, 4, 5]
    assert queue.unacked_count == 5
    channel.unacked.settle(5, multiple=True)
    assert queue.unacked_count == 0


def test_the_time_of_what_was_put_back_goes_on() -> None:
    broker, _, queue, channel = world(1)
    taken = channel.unacked.take(1, multiple=False)
    at(broker, 70.0)
    assert queue.ack_timeout_count == 0
    channel.unacked.put_back(taken)
    at(broker, 70.0)
    assert (queue.ack_timeout_count, queue.backlog.count) == (1, 1)


# Ack timeouts


def test_only_what_was_held_too_long_goes_back() -> None:
    broker, session, queue, channel = world()
    consumer = channel.consume(prefetch=2, timeout_ms=5000)
    for second in range(3):
        at(broker, float(second))
        session.publish(message(body=b"%d" % second))
    other = Channel(session, "2")
    other.consume(tag="other")
    assert other.bodies == [b"2"]
    at(broker, 5.0)
    assert list(channel.unacked.entries) == [2]
    assert other.bodies == [b"2", b"0"]
    assert (queue.ack_timeout_count, consumer.unacked) == (1, 1)
    assert other.log[-1].redelivered


@pytest.mark.parametrize(
    ("queue_ms", "consumer_ms", "expected"),
    [
        (None, None, 60.0),
        (7000, None, 7.0),
        (7000, 3000, 3.0),
        (None, 90_000, 90.0),
        (0, None, None),
    ],
)
def test_whose_timeout_counts(
    queue_ms: int | None, consumer_ms: int | None, expected: float | None
) -> None:
    arguments = {} if queue_ms is None else {"x_consumer_timeout": queue_ms}
    broker, session, _, channel = world(**arguments)
    channel.consume(timeout_ms=consumer_ms)
    session.publish(message())
    assert broker.next_deadline() == expected


def test_get_has_the_timeout_of_the_queue() -> None:
    broker, _, queue, _ = world(1, x_consumer_timeout=2000)
    at(broker, 2.0)
    assert queue.backlog.count == 1


def test_a_late_ack_spares_the_work_if_it_still_waits() -> None:
    broker, _, queue, channel = world(2, x_consumer_timeout=1000)
    at(broker, 1.0)
    assert bodies(queue) == [b"1", b"2"]
    channel.unacked.settle(2, multiple=False)
    assert bodies(queue) == [b"1"]
    assert queue.late_ack_count == 0
    with pytest.raises(PreconditionFailed):
        channel.unacked.settle(2, multiple=False)


def test_a_late_ack_is_only_counted_when_another_has_it() -> None:
    broker, session, queue, channel = world(1, x_consumer_timeout=1000)
    other = Channel(session, "2")
    at(broker, 1.0)
    other.get()
    channel.unacked.settle(1, multiple=False)
    assert (queue.late_ack_count, queue.unacked_count) == (1, 1)
    other.unacked.settle(1, multiple=False)
    assert queue.unacked_count == 0


def test_a_late_reject_changes_nothing() -> None:
    broker, _, queue, channel = world(1, x_consumer_timeout=1000)
    at(broker, 1.0)
    channel.unacked.refuse(1, multiple=False, requeue=False)
    assert bodies(queue) == [b"1"]


def test_a_late_ack_for_a_deleted_queue_is_only_counted() -> None:
    broker, session, queue, channel = world(1, x_consumer_timeout=1000)
    at(broker, 1.0)
    session.delete_queue("q", if_unused=False, if_empty=False)
    channel.unacked.settle(1, multiple=False)
    assert queue.late_ack_count == 1


def test_a_late_multiple_ack_takes_all_up_to_it_in_whatever_order_they_timed_out() -> (
    None
):
    """Tag 1 has much time and tag 2 little: tag 2 is remembered first."""
    broker, session, queue, channel = world()
    channel.consume(tag="slow", prefetch=1, timeout_ms=9000)
    channel.consume(tag="quick", prefetch=1, timeout_ms=1000)
    for body in (b"1", b"2", b"3"):
        session.publish(message(body=body))
    for tag in ("slow", "quick"):
        channel.cancel(tag)
    at(broker, 9.0)
    assert bodies(queue) == [b"1", b"2", b"3"]
    channel.unacked.settle(1, multiple=True)
    assert bodies(queue) == [b"2", b"3"]
    channel.unacked.settle(2, multiple=True)
    assert bodies(queue) == [b"3"]


def test_so_many_late_tags_are_known_with_their_entries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unacked, "EXPIRED_MAX", 3)
    broker, _, queue, channel = world(5, x_consumer_timeout=1000)
    at(broker, 1.0)
    channel.unacked.settle(1, multiple=False)  # forgotten: neither error nor effect
    assert queue.backlog.count == 5
    channel.unacked.settle(3, multiple=False)
    assert bodies(queue) == [b"1", b"2", b"4", b"5"]
    with pytest.raises(PreconditionFailed):
        channel.unacked.settle(3, multiple=False)


def test_what_is_forgotten_stays_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Later a lower tag times out, and is forgotten at once."""
    monkeypatch.setattr(unacked, "EXPIRED_MAX", 2)
    broker, session, queue, channel = world()
    channel.consume(tag="slow", prefetch=1, timeout_ms=9000)
    channel.consume(tag="quick", prefetch=5, timeout_ms=1000)
    for _ in range(5):
        session.publish(message())
    for tag in ("slow", "quick"):
        channel.cancel(tag)
    for now in (1.0, 9.0):
        at(broker, now)
        channel.unacked.settle(3, multiple=False)  # tags 2 and 3 timed out first
        assert queue.backlog.count == (4 if now == 1.0 else 5)


def test_who_has_no_timeout_keeps_what_he_has_beside_one_who_has() -> None:
    broker, session, queue, channel = world(x_consumer_timeout=0)
    channel.consume(tag="patient", prefetch=1)
    channel.consume(tag="quick", prefetch=1, timeout_ms=1000)
    for _ in range(2):
        session.publish(message())
    channel.cancel("quick")
    at(broker, 1.0)
    assert list(channel.unacked.entries) == [1]
    assert (queue.ack_timeout_count, queue.backlog.count) == (1, 1)
    assert broker.next_deadline() is None


def test_the_deadline_follows_the_oldest_entry() -> None:
    broker, session, _, channel = world()
    channel.consume(timeout_ms=5000)
    for second in (0.0, 1.0, 2.0):
        at(broker, second)
        session.publish(message())
    channel.unacked.settle(1, multiple=False)
    broker.on_deadline(5.0)  # nothing is due yet: the first one was acked
    assert list(channel.unacked.entries) == [2, 3]
    assert broker.next_deadline() == 6.0
