"""Queues: who gets what when room appears, and what each kind of queue refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.core.support import (
    Channel,
    at,
    bodies,
    declare,
    fingerprint,
    message,
    new_broker,
)
from warren.errors import AccessRefused, ResourceLocked
from warren_broker.core.queue import Queue, resume_all

if TYPE_CHECKING:
    from warren_broker.core.session import Session


def publish(session: Session, *numbers: int, key: str = "q") -> None:
    for number in numbers:
        session.publish(message(key, body=b"%d" % number))


def opened(**arguments: object) -> tuple[Session, Queue, Channel]:
    _, session = new_broker()
    return session, declare(session, **arguments), Channel(session)


def taken(channel: Channel) -> list[tuple[str, bytes]]:
    return [(delivery.consumer, delivery.body) for delivery in channel.log]


# Windows


def test_what_comes_back_is_back_before_a_window_hands_anything_on() -> None:
    """One window, two consumers: freeing the first entry makes room for the second."""
    session, queue, channel = opened()
    channel.qos(1, whole_channel=True)
    for tag in "ab":
        channel.consume(tag=tag)
    publish(session, 1, 2, 3)
    assert taken(channel) == [("a", b"1")]
    channel.unacked.refuse(1, multiple=False, requeue=True)
    assert channel.log[-1].body == b"1"
    assert bodies(queue) == [b"2", b"3"]


def test_recover_keeps_the_order_under_a_window() -> None:
    session, queue, channel = opened()
    channel.qos(2, whole_channel=True)
    for tag in "ab":
        channel.consume(tag=tag)
    publish(session, 1, 2, 3, 4)
    channel.unacked.recover()
    assert [body for _, body in taken(channel)] == [b"1", b"2", b"1", b"2"]
    assert bodies(queue) == [b"3", b"4"]


def test_a_window_that_reopens_serves_the_highest_priority_first() -> None:
    session, _, channel = opened()
    channel.qos(1, whole_channel=True)
    channel.consume(tag="high", priority=5)
    channel.consume(tag="low", priority=0)
    publish(session, 1, 2)
    channel.unacked.settle(1, multiple=False)
    assert taken(channel) == [("high", b"1"), ("high", b"2")]


def test_room_in_a_window_goes_to_another_queue_of_the_channel() -> None:
    session, _, channel = opened()
    declare(session, "other")
    channel.qos(1, whole_channel=True)
    channel.consume(tag="a")
    channel.consume("other", tag="b")
    publish(session, 1)
    publish(session, 2, key="other")
    assert taken(channel) == [("a", b"1")]
    channel.unacked.refuse(1, multiple=False, requeue=False)
    assert taken(channel) == [("a", b"1"), ("b", b"2")]


def test_consumers_that_come_and_go_under_a_full_window_leave_no_trace() -> None:
    session, _, channel = opened()
    channel.qos(1, whole_channel=True)
    channel.consume(tag="first")
    publish(session, 1, 2)
    for number in range(100):
        channel.consume(tag=str(number))
        channel.flow(active=True)
        channel.cancel(str(number))
    assert len(channel.window.waiting) <= 1


def test_resuming_many_gives_each_its_turn() -> None:
    """The first must not get all that waits before the second is asked."""
    session, _, channel = opened()
    channel.flow(active=False)
    for tag in "abc":
        channel.consume(tag=tag)
    publish(session, *range(6))
    channel.flow(active=True)
    assert [tag for tag, _ in taken(channel)] == [*"abcabc"]


def test_resuming_nobody_is_no_error() -> None:
    resume_all([])


# Refilling


def test_a_full_consumer_gets_the_next_entry_for_an_ack() -> None:
    session, queue, channel = opened()
    channel.consume(prefetch=2)
    publish(session, *range(5))
    for tag in range(1, 6):
        channel.unacked.settle(tag, multiple=False)
    assert [body for _, body in taken(channel)] == [b"%d" % n for n in range(5)]
    assert (queue.backlog.count, queue.unacked_count) == (0, 0)


def test_an_ack_that_finds_only_expired_entries_leaves_the_consumer_ready() -> None:
    broker, session = new_broker()
    declare(session)
    channel = Channel(session)
    channel.consume(prefetch=1)
    publish(session, 1)
    for _ in range(3):
        session.publish(message(expiration_ms=1000))
    broker.begin_turn(2.0)
    channel.unacked.settle(1, multiple=False)
    assert len(channel.log) == 1
    publish(session, 2)
    assert channel.log[-1].body == b"2"


def test_a_dead_letter_may_take_the_room_that_an_ack_made() -> None:
    """The letter of an expired entry goes to the same channel, and fills its window."""
    broker, session = new_broker()
    dead = {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": "dead"}
    queue = declare(session, **dead)
    declare(session, "dead")
    channel = Channel(session)
    channel.consume(tag="q", prefetch=1)
    channel.consume("dead", tag="dead")
    publish(session, 1)
    session.publish(message(body=b"old", expiration_ms=1000))
    publish(session, 2)
    channel.window.limit = 1
    broker.begin_turn(2.0)
    channel.unacked.settle(1, multiple=False)
    assert taken(channel) == [("q", b"1"), ("dead", b"old")]
    assert bodies(queue) == [b"2"]
    assert channel.window.unacked == 1


def test_a_channel_may_break_in_the_middle_of_a_dispatch() -> None:
    session, queue, channel = opened()
    channel.flow(active=False)
    channel.consume().breaks = True
    publish(session, 1, 2, 3)
    channel.flow(active=True)
    assert (channel.bodies, channel.consumers) == ([b"1"], {})
    assert bodies(queue) == [b"1", b"2", b"3"]
    assert queue.unacked_count == 0


def test_the_queue_may_go_with_a_channel_that_breaks() -> None:
    session, queue, channel = opened(auto_delete=True)
    channel.flow(active=False)
    channel.consume().breaks = True
    publish(session, 1, 2, 3)
    channel.flow(active=True)
    assert channel.bodies == [b"1"]
    assert (queue.is_deleted, queue.backlog.count, queue.unacked_count) == (True, 0, 0)


# Who may consume


def test_an_exclusive_consumer_is_alone() -> None:
    session, _, channel = opened()
    broker = session.vhost.broker
    channel.consume(tag="a", exclusive=True)
    before = fingerprint(broker, channel)
    for exclusive in (False, True):
        with pytest.raises(AccessRefused) as caught:
            channel.consume(tag="b", exclusive=exclusive)
        assert caught.value.text == "queue 'q' in vhost '/' in exclusive use"
    assert fingerprint(broker, channel) == before
    channel.cancel("a")
    channel.consume(tag="b")
    with pytest.raises(AccessRefused):
        channel.consume(tag="c", exclusive=True)


def test_nobody_has_a_queue_with_a_single_active_consumer_for_himself() -> None:
    _, _, channel = opened(x_single_active_consumer=True)
    with pytest.raises(AccessRefused):
        channel.consume(exclusive=True)


def test_get_is_not_for_queues_with_a_single_active_consumer() -> None:
    session, queue, channel = opened(x_single_active_consumer=True)
    publish(session, 1)
    with pytest.raises(ResourceLocked) as caught:
        channel.get()
    assert caught.value.text.startswith("cannot obtain access to locked queue 'q' in ")
    assert queue.backlog.count == 1


def test_get_takes_from_a_queue_whose_consumers_are_full() -> None:
    session, queue, channel = opened()
    channel.consume(prefetch=1)
    publish(session, 1, 2)
    entry = channel.get(no_ack=True)
    assert entry is not None
    assert entry.message.body == b"2"
    assert (queue.unacked_count, channel.unacked.tag) == (1, 2)
    assert channel.get() is None


# The end of a queue


def test_auto_delete_waits_for_a_first_consumer() -> None:
    session, queue, channel = opened(auto_delete=True)
    publish(session, 1)
    channel.get()
    assert "q" in session.vhost.queues
    channel.consume(tag="a")
    last = channel.consume(tag="b")
    channel.cancel("a")
    assert "q" in session.vhost.queues
    channel.cancel("b")
    assert "q" not in session.vhost.queues
    channel.unacked.settle(1, multiple=False)  # what it gave out may still be acked
    queue.detach(last)  # and a consumer that is gone may go again


def test_the_consumers_of_a_deleted_queue_are_told() -> None:
    session, _, channel = opened()
    for tag in "ab":
        channel.consume(tag=tag)
    session.delete_queue("q", if_unused=False, if_empty=False)
    assert (channel.cancelled, channel.consumers) == (["a", "b"], {})


@pytest.mark.parametrize("use", ["consume", "get", "declare", "check"])
def test_a_queue_that_is_used_does_not_expire(use: str) -> None:
    broker, session = new_broker()
    declare(session, x_expires=1000)
    channel = Channel(session)
    at(broker, 0.9)
    if use == "consume":
        channel.consume()
        at(broker, 5.0)
        channel.cancel()
    elif use == "get":
        channel.get()
    elif use == "declare":
        declare(session, x_expires=1000)
    else:
        session.check_queue("q")
    at(broker, broker.now + 0.9)
    assert "q" in session.vhost.queues
    at(broker, broker.now + 0.2)
    assert "q" not in session.vhost.queues
    assert broker.next_deadline() is None


def test_a_deleted_queue_is_woken_by_nothing_any_more() -> None:
    """Not even by a message that a publisher had under way to several queues."""
    broker, session = new_broker()
    queue = declare(session, x_expires=1000, x_message_ttl=500)
    session.delete_queue("q", if_unused=False, if_empty=False)
    queue.accept(message())
    at(broker, 9.0)
    assert "q" not in session.vhost.queues


def test_what_comes_back_to_a_deleted_queue_is_gone() -> None:
    session, queue, channel = opened(
        x_dead_letter_exchange="", x_dead_letter_routing_key="dead"
    )
    dead = declare(session, "dead")
    publish(session, 1, 2, 3)
    for _ in range(3):
        channel.get()
    session.delete_queue("q", if_unused=False, if_empty=False)
    channel.unacked.refuse(1, multiple=False, requeue=False)
    channel.unacked.refuse(2, multiple=False, requeue=True)
    channel.unacked.recover()
    assert (dead.backlog.count, queue.backlog.count, queue.unacked_count) == (0, 0, 0)
