"""Unacked: what delivery tags stand for, and how the leases of deliveries end."""

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
    fingerprint,
    message,
    new_broker,
)
from warren.errors import PreconditionFailed
from warren_broker.core import unacked
from warren_broker.core.arguments import LeaseRenewal, TimeoutAction
from warren_broker.core.broker import Broker
from warren_broker.core.limits import Limits
from warren_broker.core.queue import Queue
from warren_broker.core.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

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


# Extension


def test_an_extended_lease_ends_later_and_its_neighbours_do_not() -> None:
    broker, _, queue, channel = world(3, x_consumer_timeout=1000)
    assert channel.unacked.extend(2, 5.0)
    at(broker, 1.0)
    assert list(channel.unacked.entries) == [2]
    at(broker, 4.999)
    assert list(channel.unacked.entries) == [2]
    at(broker, 5.0)
    assert (len(channel.unacked.entries), queue.ack_timeout_count) == (0, 3)


@given(
    asked=st.lists(
        st.tuples(st.integers(0, 4), st.integers(1, 40), st.integers(0, 3)),
        max_size=6,
    )
)
def test_each_lease_ends_at_the_latest_moment_it_was_promised(
    asked: list[tuple[int, int, int]],
) -> None:
    """Quarters of a second; tag 0 means all, and 20 seconds are the most."""
    broker, _, _, channel = world(3, x_consumer_timeout=4000, x_lease_max=5000)
    held = [1, 2, 3]
    ends = dict.fromkeys(held, 4.0)
    for tag, quarters, pause in asked:
        at(broker, broker.now + pause / 4)
        held = [one for one in held if ends[one] > broker.now]
        assert list(channel.unacked.entries) == held
        chosen = [one for one in held if tag in (0, one)]
        assert channel.unacked.extend(tag, quarters / 4) == bool(chosen)
        for one in chosen:
            ends[one] = max(ends[one], min(broker.now + quarters / 4, 5.0))
    while channel.unacked.entries:
        before, now = list(channel.unacked.entries), broker.next_deadline()
        assert now is not None
        at(broker, now)
        for one in before:
            assert (one in channel.unacked.entries) == (ends[one] > now)


def test_what_comes_after_an_extended_lease_has_its_own_time() -> None:
    """Its consumer has something already, so nobody watches what it gets."""
    broker, session, _, channel = world()
    channel.consume(timeout_ms=5000)
    session.publish(message(body=b"1"))
    channel.unacked.extend(1, 1000.0)
    at(broker, 20.0)
    session.publish(message(body=b"2"))
    channel.cancel()
    at(broker, 24.999)
    assert list(channel.unacked.entries) == [1, 2]
    at(broker, 25.0)
    assert list(channel.unacked.entries) == [1]


def test_nobody_extends_what_is_not_his() -> None:
    broker, _, _, channel = world(2, x_consumer_timeout=1000)
    for tag in (3, -1, 2**63):
        assert not channel.unacked.extend(tag, 5.0)
    at(broker, 1.0)
    for tag in (0, 1):
        assert not channel.unacked.extend(tag, 5.0)  # timed out: it was too late


def test_who_has_no_timeout_may_extend_all_the_same() -> None:
    broker, _, _, channel = world(1, x_consumer_timeout=0)
    assert channel.unacked.extend(0, 1.0)
    at(broker, 1e6)
    assert list(channel.unacked.entries) == [1]


def test_extensions_of_what_is_settled_do_not_pile_up() -> None:
    _, session, _, channel = world(1)
    for tag in range(2, 1000):
        session.publish(message())
        channel.get()
        assert channel.unacked.extend(tag, 100.0)
        channel.unacked.settle(tag, multiple=False)
    assert len(channel.unacked._extended) < 100
    channel.unacked.close()
    assert not channel.unacked._extended


def test_extending_many_leases_is_work() -> None:
    broker, _, _, channel = world(1600)
    before = broker.work
    channel.unacked.extend(1, 1.0)
    assert broker.work == before + 1
    channel.unacked.extend(0, 1.0)
    assert broker.work > before + 100


def test_an_extension_survives_a_transaction_that_is_rolled_back() -> None:
    broker, _, _, channel = world(2, x_consumer_timeout=1000)
    channel.unacked.extend(2, 5.0)
    taken = channel.unacked.take(2, multiple=True)
    at(broker, 2.0)
    channel.unacked.put_back(taken)
    at(broker, 2.0)
    assert list(channel.unacked.entries) == [2]


# Renewal


def renewing(**lease: object) -> World:
    broker, session, queue, channel = world()
    channel.consume(timeout_ms=5000, lease_renewal=LeaseRenewal.CONNECTION, **lease)
    session.publish(message(body=b"1"))
    return broker, session, queue, channel


def test_who_is_heard_keeps_what_he_has() -> None:
    broker, _, queue, channel = renewing()
    for second in range(1, 100):
        channel.last_heard = float(second)
        at(broker, float(second))
    assert list(channel.unacked.entries) == [1]
    channel.cancel()
    at(broker, 103.999)
    assert queue.backlog.count == 0
    at(broker, 104.0)
    assert (queue.backlog.count, queue.ack_timeout_count) == (1, 1)


def test_nobody_renews_beyond_the_maximum() -> None:
    broker, _, queue, channel = renewing(lease_max_ms=12_000)
    channel.cancel()
    channel.last_heard = 11.0
    at(broker, 11.999)
    assert queue.backlog.count == 0
    at(broker, 12.0)
    assert queue.backlog.count == 1


def test_who_is_heard_costs_nothing_between_deadlines() -> None:
    broker, _, _, channel = renewing()
    channel.last_heard = 3.0
    assert broker.next_deadline() == 5.0
    broker.on_deadline(5.0)
    assert broker.next_deadline() == 8.0


# What ends a lease


def test_a_dead_letter_has_the_reason_and_its_late_ack_is_counted() -> None:
    broker, session, queue, channel = world(
        x_consumer_timeout=1000,
        x_consumer_timeout_action="dead-letter",
        x_dead_letter_exchange="",
        x_dead_letter_routing_key="dead",
    )
    dead = declare(session, "dead")
    for body in (b"1", b"2"):
        session.publish(message(body=body))
        channel.get()
    at(broker, 1.0)
    assert bodies(dead) == [b"1", b"2"]
    assert (queue.backlog.count, queue.unacked_count) == (0, 0)
    deaths = [entry.message.header.headers()["x-death"] for entry in dead.backlog]
    assert [death[0]["reason"] for death in deaths] == ["consumer_timeout"] * 2  # type: ignore[index]
    channel.unacked.settle(2, multiple=True)
    assert (queue.late_ack_count, bodies(dead)) == (2, [b"1", b"2"])


def test_without_an_exchange_for_it_a_dead_letter_is_dropped() -> None:
    broker, _, queue, _ = world(
        2, x_consumer_timeout=1000, x_consumer_timeout_action="dead-letter"
    )
    at(broker, 1.0)
    assert (queue.backlog.count, queue.ack_timeout_count) == (0, 2)


CANCEL = {"timeout_ms": 1000, "consumer_timeout_action": TimeoutAction.CANCEL}


def test_who_is_cancelled_gets_nothing_more_and_keeps_what_is_in_time() -> None:
    broker, session, queue, channel = world()
    channel.consume(**CANCEL)  # type: ignore[arg-type]
    session.publish(message(body=b"1"))
    at(broker, 0.5)
    session.publish(message(body=b"2"))
    at(broker, 1.0)
    assert channel.cancelled == ["c"]
    assert not channel.consumers
    assert len(queue.roster) == 0
    assert (bodies(queue), list(channel.unacked.entries)) == ([b"1"], [2])
    at(broker, 1.5)  # nobody is there to be cancelled: it just goes back
    assert (bodies(queue), channel.cancelled) == ([b"1", b"2"], ["c"])
    assert not channel.late


def test_who_takes_over_gets_what_is_oldest_first() -> None:
    broker, session, _, channel = world(x_single_active_consumer=True)
    channel.consume(prefetch=1, **CANCEL)  # type: ignore[arg-type]
    heir = Channel(session, "2")
    heir.consume()
    for body in (b"1", b"2", b"3"):
        session.publish(message(body=body))
    at(broker, 1.0)
    assert heir.bodies == [b"1", b"2", b"3"]
    assert channel.bodies == [b"1"]


def test_the_last_one_to_be_cancelled_takes_its_queue_with_it() -> None:
    broker, session = new_broker()
    queue = declare(session, auto_delete=True)
    channel = Channel(session)
    channel.consume(**CANCEL)  # type: ignore[arg-type]
    session.publish(message())
    at(broker, 1.0)
    assert queue.is_deleted
    assert channel.cancelled == ["c"]


def closes() -> World:
    return world(1, x_consumer_timeout=1000, x_consumer_timeout_action="close-channel")


def cancels_a_get() -> World:
    return world(1, x_consumer_timeout=1000, x_consumer_timeout_action="cancel")


def cannot_cancel() -> World:
    broker, session, queue, channel = world()
    channel.knows_cancel = False
    channel.consume(**CANCEL)  # type: ignore[arg-type]
    session.publish(message(body=b"1"))
    return broker, session, queue, channel


@pytest.mark.parametrize("case", [closes, cancels_a_get, cannot_cancel])
def test_a_channel_that_is_to_be_closed_keeps_all_until_then(
    case: Callable[[], World],
) -> None:
    broker, _, queue, channel = case()
    at(broker, 1.0)
    assert channel.late == [1.0]
    assert (list(channel.unacked.entries), queue.ack_timeout_count) == ([1], 1)
    at(broker, 100.0)
    assert channel.late == [1.0]
    channel.close()
    assert bodies(queue) == [b"1"]
    assert broker.next_deadline() is None


def test_each_lease_of_a_channel_ends_by_its_own_terms() -> None:
    broker, session, queue, channel = world()
    for tag, action in (
        ("gives", TimeoutAction.REQUEUE),
        ("buries", TimeoutAction.DEAD_LETTER),
        ("goes", TimeoutAction.CANCEL),
        ("ends", TimeoutAction.CLOSE_CHANNEL),
    ):
        channel.consume(
            tag=tag, prefetch=1, timeout_ms=1000, consumer_timeout_action=action
        )
        session.publish(message(body=tag.encode()))
    at(broker, 1.0)
    assert bodies(queue) == [b"gives", b"goes"]
    assert [entry.message.body for entry in channel.unacked.entries.values()] == [
        b"ends"
    ]
    assert (channel.cancelled, channel.late) == (["goes"], [1.0])
    assert queue.ack_timeout_count == 4


# The kind of return

RETURNS: dict[str, tuple[Callable[[Broker, Channel], object], bool]] = {
    "basic.nack": (
        lambda _, channel: channel.unacked.refuse(1, multiple=False, requeue=True),
        False,
    ),
    "basic.reject": (
        lambda _, channel: channel.unacked.refuse(
            1, multiple=False, requeue=True, failed=True
        ),
        True,
    ),
    "basic.recover": (lambda _, channel: channel.unacked.recover(), False),
    "ack timeout": (lambda broker, _: at(broker, 60.0), False),
    "the end of the channel": (lambda _, channel: channel.close(), True),
}


@pytest.mark.parametrize("how", RETURNS)
@pytest.mark.parametrize("waits", ["failed", "returned"])
def test_a_return_is_a_failure_or_not(how: str, waits: str) -> None:
    """Delayed retries of RabbitMQ 4.3 make the difference."""
    broker, _, queue, channel = world(
        1, x_delayed_retry_type=waits, x_delayed_retry_min=5000
    )
    do, failed = RETURNS[how]
    do(broker, channel)
    assert queue.backlog.count == (failed != (waits == "failed"))


# What looking costs


@pytest.mark.parametrize("is_extended", [False, True])
def test_who_holds_much_is_not_looked_at_all_the_time(is_extended: bool) -> None:
    """Each entry is due a little after the one before: that is no look for each."""
    count, looks = 2000, 0
    broker, session, _, channel = world(x_consumer_timeout=1000)
    for number in range(count):
        at(broker, number * 1e-6)
        session.publish(message())
        channel.get()
    if is_extended:
        channel.unacked.extend(0, 1.5)
    while (when := broker.next_deadline()) is not None:
        broker.on_deadline(when)
        looks += 1
    assert not channel.unacked.entries
    assert looks < 10


def test_many_leases_end_in_slices_and_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unacked, "SLICE", 3)
    broker, _, queue, channel = world(8, x_consumer_timeout=1000)
    left = []
    while broker.next_deadline() == 1.0:
        broker.on_deadline(1.0)
        left.append(list(channel.unacked.entries))
    assert left == [[4, 5, 6, 7, 8], [7, 8], []]
    assert bodies(queue) == [b"%d" % number for number in range(1, 9)]
    assert queue.ack_timeout_count == 8
