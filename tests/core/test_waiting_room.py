"""The waiting room of a queue that blocks: in order, bounded, and not for ever."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.full_queues import AMPLE, FullQueue, Publish
from tests.core.support import (
    Channel,
    at,
    bodies,
    declare,
    declare_exchange,
    message,
    new_broker,
)
from tests.core.test_receipt import Notebook
from warren_broker.core.arguments import OverflowMode
from warren_broker.core.limits import Limits
from warren_broker.core.outcome import ACCEPTED, PENDING, REFUSED
from warren_broker.core.queue.waiting_room import SLICE

if TYPE_CHECKING:
    from warren_broker.core.queue import Queue

DEADLINE = 30.0
BLOCK = {"x_overflow": "block", "x_max_length": 1}
OUTCOMES = {True: ACCEPTED, False: REFUSED, None: PENDING}


class Pair:
    """A queue that blocks and its twin, to which the same things are done."""

    def __init__(self, length: int | None, size_max: int | None) -> None:
        limits = Limits(waiting_per_queue_max=4, waiting_per_queue_max_bytes=40)
        self.broker, self.session = new_broker(limits)
        chosen = {"x_max_length": length, "x_max_length_bytes": size_max}
        arguments = {key: one for key, one in chosen.items() if one is not None}
        self.queue = declare(self.session, x_overflow="block", **arguments)
        self.twin = FullQueue(
            length=AMPLE if length is None else length,
            size_max=AMPLE if size_max is None else size_max,
            line_length=4,
            line_size_max=40,
        )
        self.channel = Channel(self.session)
        self.notebook = Notebook()
        self.publishes: list[Publish] = []

    def publish(self, size: int) -> None:
        number = len(self.publishes)
        body = bytes([number]) * size
        publish = Publish(body)
        self.publishes.append(publish)
        outcome = self.session.publish(message(body=body))
        if outcome == PENDING:
            receipt = self.session.vhost.untaken.take_receipt()
            receipt.give_to(self.notebook, number)
        self.twin.offer(publish, size, self.broker.now)
        assert outcome == OUTCOMES[publish.fate]
        if publish.fate is not None:
            self.notebook.on_fate(number, taken=publish.fate)

    def get(self, count: int) -> None:
        for _ in range(count):
            entry, expected = self.channel.get(no_ack=True), self.twin.take()
            at(self.broker, self.broker.now)
            assert (entry and entry.message.body) == (expected and expected.body)

    def drain(self, count: int) -> None:
        self.channel.consume(no_ack=True)
        at(self.broker, self.broker.now)
        self.channel.cancel()
        assert self.channel.bodies == [each.body for each in self.twin.drain()]
        self.channel.log.clear()

    def purge(self, count: int) -> None:
        self.queue.purge()
        self.twin.purge()

    def wait(self, seconds: int) -> None:
        at(self.broker, self.broker.now + seconds)
        self.twin.tick(self.broker.now)

    def resize(self, length: int) -> None:
        self.queue.apply_rules(attrs.evolve(self.queue.rules, max_length=length))
        self.twin.resize(length)

    def compare(self) -> None:
        at(self.broker, self.broker.now)
        assert bodies(self.queue) == [each.body for each, _ in self.twin.ready]
        told = dict(self.notebook.notes)
        assert len(told) == len(self.notebook.notes), "told twice"
        for number, publish in enumerate(self.publishes):
            assert told.get(number) == publish.fate


STEPS = [
    *[("publish", size) for size in (0, 1, 1, 5, 5, 9, 20)],
    *[("get", 1), ("get", 2), ("drain", 1), ("purge", 1)],
    *[("wait", 7), ("wait", 16), ("wait", 31)],
    *[("resize", length) for length in (1, 4)],
]
LIMITS = [(0, None), (1, None), (2, None), (3, 20), (None, 10), (None, 20), (None, 40)]


@given(
    limits=st.sampled_from(LIMITS),
    steps=st.binary(min_size=30, max_size=30),  # one draw: each byte is a step
    end=st.sampled_from(("delete", "reject-publish", "drop-tail", "drop-head")),
)
def test_it_is_the_obvious_room(
    limits: tuple[int | None, int | None], steps: bytes, end: str
) -> None:
    pair = Pair(*limits)
    for step in steps:
        name, number = STEPS[step % len(STEPS)]
        getattr(pair, name)(number)
        pair.compare()
    if end == "delete":
        pair.session.vhost.drop_queue(pair.queue)
        pair.twin.delete()
    elif end != "drop-head" or pair.twin.size_max == AMPLE:
        rules = attrs.evolve(pair.queue.rules, overflow=OverflowMode(end))
        pair.queue.apply_rules(rules)
        pair.twin.change_rule(end, pair.broker.now)
    else:
        return
    pair.compare()
    assert len(pair.broker.deadlines) == 0


def publish_to(queue: Queue, *texts: bytes, **fields: object) -> list[int]:
    """Publish to `queue` and return the outcomes."""
    vhost = queue.vhost
    return [
        vhost.publish(message(queue.name, body=text, **fields))  # type: ignore[arg-type]
        for text in texts
    ]


class TestRoom:
    """Whatever makes room lets the first one in."""

    def test_an_entry_that_expires(self) -> None:
        broker, session = new_broker()
        queue = declare(session, x_message_ttl=10_000, **BLOCK)
        assert publish_to(queue, b"1", b"2") == [ACCEPTED, PENDING]
        at(broker, 10.0)
        assert bodies(queue) == [b"2"]

    def test_a_delivery_but_not_its_ack(self) -> None:
        broker, session = new_broker()
        queue, channel = declare(session, **BLOCK), Channel(session)
        publish_to(queue, b"1", b"2", b"3")
        channel.consume(prefetch=1)
        at(broker, 0.0)
        assert (channel.bodies, bodies(queue)) == ([b"1"], [b"2"])
        channel.unacked.settle(1, multiple=False)
        at(broker, 0.0)
        assert (channel.bodies, bodies(queue)) == ([b"1", b"2"], [b"3"])

    def test_a_delayed_entry_that_expires_when_it_is_ready(self) -> None:
        broker, session = new_broker()
        queue = declare(session, x_deliver_at_header="at", **BLOCK)
        late = message(headers={"at": 20_000}, expiration_ms=100)
        assert session.publish(late) == ACCEPTED
        assert publish_to(queue, b"2") == [PENDING]
        at(broker, 20.0)
        assert bodies(queue) == [b""]
        at(broker, 21.0)
        assert bodies(queue) == [b"2"]

    def test_a_delayed_entry_that_is_acked_late(self) -> None:
        broker, session = new_broker()
        queue = declare(
            session,
            x_consumer_timeout=1000,
            x_delayed_retry_type="all",
            x_delayed_retry_min=20_000,
            **BLOCK,
        )
        channel = Channel(session)
        publish_to(queue, b"1")
        channel.get()
        at(broker, 1.0)
        assert publish_to(queue, b"2") == [PENDING]
        channel.unacked.settle(1, multiple=False)
        at(broker, 1.0)
        assert bodies(queue) == [b"2"]

    def test_what_was_returned_takes_it_away_again(self) -> None:
        broker, session = new_broker()
        queue, channel = declare(session, **BLOCK), Channel(session)
        publish_to(queue, b"1")
        channel.get()
        publish_to(queue, b"2", b"3")
        channel.unacked.refuse(1, multiple=False, requeue=True, failed=False)
        at(broker, 0.0)
        assert bodies(queue) == [b"1", b"2"]
        channel.get(no_ack=True)
        at(broker, 0.0)
        assert bodies(queue) == [b"2"]


def test_nobody_waits_while_a_consumer_has_room() -> None:
    _, session = new_broker()
    queue, channel = declare(session, **BLOCK), Channel(session)
    channel.consume(no_ack=True)
    assert publish_to(queue, b"1", b"2", b"3") == [ACCEPTED] * 3
    assert channel.bodies == [b"1", b"2", b"3"]


def test_the_time_to_live_begins_inside() -> None:
    broker, session = new_broker()
    queue, channel = declare(session, **BLOCK), Channel(session)
    publish_to(queue, b"1")
    publish_to(queue, b"2", expiration_ms=1000)
    at(broker, 20.0)
    channel.get(no_ack=True)
    at(broker, 20.9)
    assert bodies(queue) == [b"2"]
    at(broker, 21.0)
    assert bodies(queue) == []


def test_the_first_in_line_holds_up_smaller_ones() -> None:
    broker, session = new_broker()
    queue = declare(session, x_overflow="block", x_max_length_bytes=30)
    publish_to(queue, bytes(20))
    publish_to(queue, bytes(21), b"s")
    at(broker, 29.0)
    assert bodies(queue) == [bytes(20)]
    at(broker, DEADLINE)  # it gives up, and the other one fits
    assert bodies(queue) == [bytes(20), b"s"]


def test_priorities_count_inside_only() -> None:
    broker, session = new_broker()
    queue, channel = declare(session, x_max_priority=9, **BLOCK), Channel(session)
    publish_to(queue, b"0", b"low")
    publish_to(queue, b"high", priority=9)
    channel.consume(no_ack=True)
    at(broker, 0.0)
    assert channel.bodies == [b"0", b"low", b"high"]


@pytest.mark.parametrize("mode", ["ordered", "sticky", "fair"])
def test_keys_get_in_as_they_came(mode: str) -> None:
    broker, session = new_broker()
    queue = declare(
        session,
        **(BLOCK | {"x_max_length": 2}),
        x_group_by="header:k",
        x_group_mode=mode,
    )
    channel = Channel(session)
    for number in range(6):
        publish_to(queue, b"%d" % number, headers={"k": "ab"[number % 2]})
    channel.consume(prefetch=1)
    for tag in range(1, 7):
        at(broker, 0.0)
        channel.unacked.settle(tag, multiple=False)
    at(broker, 0.0)
    assert sorted(channel.bodies) == [b"%d" % number for number in range(6)]
    for key in (0, 1):
        assert channel.bodies[:].index(b"%d" % key) < channel.bodies.index(
            b"%d" % (key + 2)
        )


def test_the_queue_may_go_while_somebody_gets_in() -> None:
    broker, session = new_broker()
    queue = declare(session, auto_delete=True, **(BLOCK | {"x_max_length": 2}))
    channel, notebook = Channel(session), Notebook()
    channel.flow(active=False)
    consumer = channel.consume(no_ack=True)
    for number in range(6):
        if session.publish(message()) == PENDING:
            session.vhost.untaken.take_receipt().give_to(notebook, number)
    queue.purge()
    consumer.breaks = True  # it closes its channel, and with it goes the queue
    channel.flow(active=True)
    at(broker, broker.now)
    assert queue.is_deleted
    assert sorted(notebook.notes) == [(number, True) for number in range(2, 6)]
    assert len(broker.deadlines) == 0


class TestDeadLetters:
    """They wait like messages that nobody asks about."""

    def test_get_in_in_their_turn(self) -> None:
        broker, session = new_broker()
        source = declare(
            session,
            "source",
            x_message_ttl=1000,
            x_dead_letter_exchange="",
            x_dead_letter_routing_key="q",
        )
        queue, channel = declare(session, **BLOCK), Channel(session)
        publish_to(source, b"1", b"2")
        at(broker, 1.0)
        assert bodies(queue) == [b"1"]
        publish_to(queue, b"3")
        channel.consume(no_ack=True)
        at(broker, 1.0)
        assert channel.bodies == [b"1", b"2", b"3"]

    def test_do_not_wait_for_ever(self) -> None:
        broker, session = new_broker()
        arguments = {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": "q"}
        source = declare(session, "source", x_message_ttl=1000, **arguments)
        queue, channel = declare(session, **BLOCK), Channel(session)
        publish_to(source, b"1", b"2")
        at(broker, 1.0 + DEADLINE)
        channel.consume(no_ack=True)
        at(broker, 40.0)
        assert channel.bodies == [b"1"]
        assert queue.backlog.count == 0

    def test_of_queues_in_a_circle_come_to_an_end(self) -> None:
        broker, session = new_broker()
        names = [f"q{number}" for number in range(50)]
        for name, following in zip(names, [*names[1:], names[0]], strict=True):
            declare(
                session,
                name,
                x_message_ttl=1000,
                x_dead_letter_exchange="",
                x_dead_letter_routing_key=following,
                **BLOCK,
            )
            publish_to(session.vhost.queues[name], b"1", b"2", b"3")
        at(broker, 5000.0)
        assert len(broker.deadlines) == 0
        assert not any(queue.backlog.count for queue in session.vhost.queues.values())


class TestBounds:
    def test_a_slice_a_turn_gets_in(self) -> None:
        broker, session = new_broker()
        length = SLICE + 10
        queue = declare(session, x_overflow="block", x_max_length=length)
        publish_to(queue, *[b""] * 2 * length)
        queue.purge()
        broker.on_deadline(broker.now)
        assert queue.backlog.count == SLICE
        broker.on_deadline(broker.now)
        assert queue.backlog.count == length

    def test_a_slice_a_turn_is_given_up(self) -> None:
        broker, session = new_broker()
        queue = declare(session, **BLOCK)
        publish_to(queue, b"", *[b""] * (SLICE + 10))
        broker.on_deadline(DEADLINE)
        assert broker.next_deadline() == DEADLINE
        broker.on_deadline(DEADLINE)
        assert broker.next_deadline() is None

    def test_one_deadline_a_queue(self) -> None:
        broker, session = new_broker()
        publish_to(declare(session, **BLOCK), *[b""] * 100)
        assert len(broker.deadlines) == 1

    def test_one_may_always_wait(self) -> None:
        limits = Limits(waiting_per_queue_max=2, waiting_per_queue_max_bytes=10)
        _, session = new_broker(limits)
        queue = declare(session, **BLOCK)
        assert publish_to(queue, b"", bytes(100), b"") == [ACCEPTED, PENDING, REFUSED]

    @pytest.mark.parametrize(
        "limit", [{"x_max_length": 0}, {"x_max_length_bytes": 10}], ids=str
    )
    def test_nobody_waits_in_vain(self, limit: dict[str, int]) -> None:
        _, session = new_broker()
        queue = declare(session, x_overflow="block", **limit)
        assert publish_to(queue, bytes(11)) == [REFUSED]

    def test_without_a_limit_there_is_nothing_to_wait_for(self) -> None:
        _, session = new_broker()
        queue = declare(session, x_overflow="block")
        assert publish_to(queue, *[b""] * 100) == [ACCEPTED] * 100


def test_a_new_deadline_holds_for_those_who_wait() -> None:
    broker, session = new_broker()
    queue, notebook = declare(session, **BLOCK), Notebook()
    publish_to(queue, b"1", b"2")
    session.vhost.untaken.take_receipt().give_to(notebook, 2)
    queue.apply_rules(attrs.evolve(queue.rules, publish_deadline_ms=2000))
    at(broker, 1.9)
    assert notebook.notes == []
    at(broker, 2.0)
    assert notebook.notes == [(2, False)]


def test_nothing_is_left_for_the_collector() -> None:
    broker, session = new_broker()
    declare_exchange(session, "x", "fanout")
    gc.collect()
    gc.disable()
    try:
        for name in ("a", "b"):
            declare(session, name, **BLOCK)
            session.bind_queue(name, "x", "", {})
        notebook = Notebook()
        for number in range(4):
            if session.publish(message("", exchange="x")) == PENDING:
                receipt = session.vhost.untaken.take_receipt()
                receipt.give_to(notebook, number)
        del receipt
        session.vhost.drop_queue(session.vhost.queues["a"])
        assert notebook.notes == []
        session.vhost.drop_queue(session.vhost.queues["b"])
        assert [taken for _, taken in notebook.notes] == [True] * 3
        at(broker, 100.0)
        assert gc.collect() == 0
    finally:
        gc.enable()
