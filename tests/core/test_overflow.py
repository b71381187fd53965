"""Overflow: how many entries may wait, and what goes when there are more."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.support import (
    Channel,
    PlainHeader,
    bodies,
    declare,
    message,
    new_broker,
)
from warren_broker.core.arguments import OverflowMode
from warren_broker.core.message import Message, Route
from warren_broker.core.outcome import ACCEPTED, PENDING, REFUSED

sizes = st.lists(st.integers(0, 20), max_size=30)


@given(sizes=sizes, length=st.integers(0, 6), size_max=st.integers(0, 60))
def test_drop_head_keeps_the_newest_that_fit(
    sizes: list[int], length: int, size_max: int
) -> None:
    _, session = new_broker()
    queue = declare(session, x_max_length=length, x_max_length_bytes=size_max)
    kept: list[bytes] = []
    for size in sizes:
        body = bytes(size)
        assert session.publish(message(body=body)) == ACCEPTED
        kept.append(body)
        while len(kept) > length or sum(map(len, kept)) > size_max:
            kept.pop(0)
        assert bodies(queue) == kept


@pytest.mark.parametrize("how", ["reject-publish", "reject-publish-dlx", "drop-tail"])
@given(sizes=sizes, length=st.integers(0, 6), size_max=st.integers(0, 60))
def test_the_oldest_that_fit_are_kept(
    how: str, sizes: list[int], length: int, size_max: int
) -> None:
    _, session = new_broker()
    dead = declare(session, "dead")
    queue = declare(
        session,
        x_max_length=length,
        x_max_length_bytes=size_max,
        x_overflow=how,
        x_dead_letter_exchange="",
        x_dead_letter_routing_key="dead",
    )
    kept: list[bytes] = []
    refused: list[bytes] = []
    for size in sizes:
        body = bytes(size)
        fits = len(kept) < length and sum(map(len, kept)) + size <= size_max
        (kept if fits else refused).append(body)
        expected = ACCEPTED if fits or how == "drop-tail" else REFUSED
        assert session.publish(message(body=body)) == expected
        assert bodies(queue) == kept
    assert bodies(dead) == (refused if how != "reject-publish" else [])


def test_headers_count_so_that_empty_bodies_do_not_slip_through() -> None:
    _, session = new_broker()
    queue = declare(session, x_max_length_bytes=100)
    for _ in range(3):
        header = PlainHeader(payload=bytes(40))
        session.publish(Message(Route("", "q", bytes(5)), header, b""))
    assert queue.backlog.count == 2


def test_what_is_out_does_not_count() -> None:
    _, session = new_broker()
    queue = declare(session, x_max_length=1, x_overflow="reject-publish")
    channel = Channel(session)
    for _ in range(3):
        assert session.publish(message()) == ACCEPTED
        channel.get()
    assert (queue.backlog.count, queue.unacked_count) == (0, 3)


def test_a_queue_that_holds_nothing_still_hands_over() -> None:
    _, session = new_broker()
    queue = declare(session, x_max_length=0)
    channel = Channel(session)
    channel.consume(prefetch=1)
    for body in (b"1", b"2"):
        session.publish(message(body=body))
    assert channel.bodies == [b"1"]
    assert queue.backlog.count == 0


def test_what_comes_back_pushes_the_oldest_out() -> None:
    _, session = new_broker()
    queue = declare(session, x_max_length=1)
    channel = Channel(session)
    session.publish(message(body=b"1"))
    channel.get()
    session.publish(message(body=b"2"))
    channel.unacked.refuse(1, multiple=False, requeue=True)
    assert bodies(queue) == [b"2"]


def test_what_comes_back_is_never_refused() -> None:
    _, session = new_broker()
    queue = declare(session, x_max_length=1, x_overflow="reject-publish")
    channel = Channel(session)
    session.publish(message(body=b"1"))
    channel.get()
    session.publish(message(body=b"2"))
    channel.unacked.refuse(1, multiple=False, requeue=True)
    assert bodies(queue) == [b"1", b"2"]
    assert session.publish(message(body=b"3")) == REFUSED


def test_what_comes_back_is_not_dropped_at_the_tail() -> None:
    _, session = new_broker()
    queue = declare(session, x_max_length=1, x_overflow="drop-tail")
    channel = Channel(session)
    session.publish(message(body=b"1"))
    channel.get()
    session.publish(message(body=b"2"))
    channel.unacked.refuse(1, multiple=False, requeue=True, failed=False)
    assert bodies(queue) == [b"1", b"2"]
    assert session.publish(message(body=b"3")) == ACCEPTED
    assert bodies(queue) == [b"1", b"2"]


def test_drop_tail_says_why_a_message_died() -> None:
    _, session = new_broker()
    dead = declare(session, "dead")
    declare(
        session,
        x_max_length=0,
        x_overflow="drop-tail",
        x_dead_letter_exchange="",
        x_dead_letter_routing_key="dead",
    )
    assert session.publish(message(body=b"1")) == ACCEPTED
    (letter,) = dead.backlog
    (death,) = letter.message.header.headers()["x-death"]  # type: ignore[misc, attr-defined]
    assert (death["queue"], death["reason"]) == ("q", "maxlen")


@pytest.mark.parametrize(
    ("how", "outcome"),
    [
        ("drop-tail", ACCEPTED),
        ("drop-head", ACCEPTED),
        ("reject-publish", REFUSED),
        ("block", PENDING),
    ],
)
def test_a_rule_may_change_while_the_queue_is_full(how: str, outcome: int) -> None:
    _, session = new_broker()
    queue = declare(session, x_max_length=1)
    session.publish(message(body=b"1"))
    queue.apply_rules(attrs.evolve(queue.rules, overflow=OverflowMode(how)))
    assert session.publish(message(body=b"2")) == outcome
    assert bodies(queue) == [b"2" if how == "drop-head" else b"1"]


def test_the_lowest_priority_goes_first() -> None:
    _, session = new_broker()
    queue = declare(session, x_max_length=2, x_max_priority=5)
    for priority in (1, 5, 3):
        session.publish(message(body=b"%d" % priority, priority=priority))
    assert bodies(queue) == [b"5", b"3"]


def test_one_refusal_among_many_queues_is_a_refusal() -> None:
    _, session = new_broker()
    full = declare(session, "full", x_max_length=0, x_overflow="reject-publish")
    queue = declare(session)
    for name in ("full", "q"):
        session.bind_queue(name, "amq.fanout", "", {})
    assert session.publish(message(exchange="amq.fanout")) == REFUSED
    assert (full.backlog.count, queue.backlog.count) == (0, 1)
