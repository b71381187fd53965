"""Packing: a long backlog gives back exactly what went in, whatever stays an object."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.shelf import Shelf
from tests.core.support import Channel, at, bodies, declare, message, new_broker
from warren_broker.core.queue import backlog, packing

if TYPE_CHECKING:
    from warren_broker.core.queue import Queue

HEAD, RUN = 3, 4


steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["publish"] * 6 + ["get", "give_back", "ack", "wait", "purge", "write"]
        ),
        st.integers(0, 20),
    ),
    max_size=120,
)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog is long from a few entries on."""
    monkeypatch.setattr(backlog, "HEAD_MAX", HEAD)
    monkeypatch.setattr(packing, "RUN", RUN)


class Story:
    """A queue with a packed end, and what should be in it."""

    def __init__(self, priorities: int | None, limits: tuple[int, int | None]) -> None:
        arguments = {"x_max_priority": priorities, "x_max_in_memory_bytes": limits[1]}
        given_ones = {key: one for key, one in arguments.items() if one is not None}
        self.broker, self.session = new_broker()
        self.shelf = self.broker.parking.spill = Shelf()
        self.broker.parking.limit_bytes = limits[0]
        self.queue = declare(self.session, **given_ones)
        self.channel = Channel(self.session)
        self.levels = priorities or 0
        self.ready: dict[
            int, tuple[int, bool]
        ] = {}  # number: level, whether it expires
        self.held: dict[int, tuple[int, bool]] = {}
        self.count = 0

    def line(self) -> list[bytes]:
        numbers = sorted(self.ready, key=lambda one: (-self.ready[one][0], one))
        return [b"%d" % one for one in numbers]

    def publish(self, chance: int) -> None:
        level, expires = chance % 3, chance % 5 == 0
        self.ready[self.count] = min(level, self.levels), expires
        lifetime = 100 if expires else None
        body = b"%d" % self.count
        self.session.publish(message(body=body, priority=level, expiration_ms=lifetime))
        self.count += 1

    def get(self, _: int) -> None:
        if self.ready:
            entry = self.channel.get()
            assert entry is not None
            assert entry.message.body == self.line()[0]
            self.held[self.channel.unacked.tag] = self.ready.pop(
                int(entry.message.body)
            )

    def ack(self, chance: int) -> None:
        if self.held:
            tag = list(self.held)[chance % len(self.held)]
            del self.held[tag]
            self.channel.unacked.settle(tag, multiple=False)

    def give_back(self, chance: int) -> None:
        if self.held:
            tag = list(self.held)[chance % len(self.held)]
            entry, state = self.channel.unacked.entries[tag], self.held.pop(tag)
            self.channel.unacked.refuse(tag, multiple=False, requeue=True, failed=True)
            if entry.expires_at is None or entry.expires_at > self.broker.now:
                self.ready[int(entry.message.body)] = state

    def wait(self, _: int) -> None:
        at(self.broker, self.broker.now + 1.0)
        self.ready = {one: state for one, state in self.ready.items() if not state[1]}

    def purge(self, chance: int) -> None:
        if not chance:
            assert self.queue.purge() == len(self.ready)
            self.ready.clear()

    def write(self, _: int) -> None:
        self.shelf.finish()

    def check(self) -> None:
        assert bodies(self.queue) == self.line()
        assert self.queue.backlog.count == len(self.ready)
        parking = self.broker.parking
        assert 0 <= parking.in_memory_bytes <= parking.limit_bytes


@given(
    steps=steps,
    priorities=st.sampled_from([None, 2]),
    limits=st.tuples(st.sampled_from([0, 100, 10**6]), st.sampled_from([None, 0, 150])),
)
def test_what_comes_out_is_what_went_in(
    steps: list[tuple[str, int]], priorities: int | None, limits: tuple[int, int | None]
) -> None:
    story = Story(priorities, limits)
    for step, chance in steps:
        getattr(story, step)(chance)
        story.check()
    story.queue.purge()
    assert story.broker.parking.in_memory_bytes == 0
    assert not story.shelf.kept


def test_what_is_packed_is_no_object_any_more() -> None:
    _, session = new_broker()
    queue = declare(session)
    kept = [message(body=b"%d" % number) for number in range(HEAD + 2 * RUN + 1)]
    objects = [weakref.ref(one.header) for one in kept]
    for one in kept:
        one.header.repeats = False
        session.publish(one)
    del kept, one
    alive = [reference() is not None for reference in objects]
    assert alive == [True] * HEAD + [False] * (2 * RUN) + [True]
    assert queue.backlog.count == HEAD + 2 * RUN + 1


def test_what_expires_behind_the_head_is_let_go() -> None:
    """Nobody reads the queue: what is not packed must not lie there for ever."""
    broker, session = new_broker()
    queue = declare(session)
    for number in range(HEAD + RUN):
        session.publish(message(body=b"%d" % number))
    alive: weakref.WeakSet[object] = weakref.WeakSet()
    for number in range(1000):
        short = message(body=b"short", expiration_ms=1)
        alive.add(short.header)
        session.publish(short)
        if number % 100 == 50:
            session.publish(message(body=b"long %d" % number))
        at(broker, number / 100)
    del short
    at(broker, 100.0)
    left = [b"%d" % number for number in range(HEAD + RUN)]
    left += [b"long %d" % number for number in range(50, 1000, 100)]
    assert bodies(queue) == left
    assert len(alive) < 300
    channel = Channel(session)
    channel.consume()
    assert channel.bodies == left


def test_the_largest_queue_gives_way_first() -> None:
    broker, session = new_broker()
    broker.parking.spill = Shelf()
    broker.parking.limit_bytes = 1000
    small, large = declare(session, "small"), declare(session, "large")
    for number in range(HEAD + 2 * RUN):
        session.publish(message("small", body=b"%d" % number))
    before = broker.parking.in_memory_bytes
    for number in range(200):
        session.publish(message("large", body=b"%d" % number))
    assert broker.parking.in_memory_bytes <= 1000
    assert before <= 1000
    large.purge()
    assert broker.parking.in_memory_bytes == before, "the small one was left alone"
    assert bodies(small) == [b"%d" % number for number in range(HEAD + 2 * RUN)]


def test_a_disk_that_fails_once_is_asked_again() -> None:
    broker, session = new_broker()
    shelf = broker.parking.spill = Shelf()
    queue = declare(session)
    fill(queue, HEAD + 2 * RUN)
    shelf.finish()
    shelf.failures = 1
    channel = Channel(session)
    channel.consume()
    assert channel.bodies == [b"%d" % number for number in range(HEAD + 2 * RUN)]
    assert not broker.take_notices()


@pytest.mark.parametrize("arguments", [{}, {"x_max_length_bytes": 10**6}])
@pytest.mark.parametrize("priorities", [None, 2])
@pytest.mark.parametrize("bad", [{1}, {2}, {3}, {1, 2}, {2, 3}, {1, 2, 3}])
def test_what_cannot_be_read_is_set_aside_and_the_queue_goes_on(
    bad: set[int], priorities: int | None, arguments: dict[str, object]
) -> None:
    """Nobody who consumes has done anything wrong. Each run has a number on disk."""
    broker, session = new_broker()
    shelf = broker.parking.spill = Shelf()
    queue = declare(session, **arguments, **levels(priorities))
    fill(queue, HEAD + 3 * RUN + 1)
    shelf.finish()
    for number in bad:
        shelf.kept[number] = b"decayed" + shelf.kept[number][7:]
    channel, found = Channel(session), []
    while (entry := channel.get()) is not None:
        found.append(entry.message.body)
    lost = [HEAD + (place - 1) * RUN + one for place in bad for one in range(RUN)]
    left = [one for one in range(HEAD + 3 * RUN + 1) if one not in lost]
    assert found == [b"%d" % one for one in left]
    assert queue.backlog.count == queue.backlog.size_bytes == 0
    assert sum(map(len, queue.unreadable)) == len(lost)
    notices = broker.take_notices()
    assert [notice.event for notice in notices] == ["messages unreadable"] * len(bad)
    firsts = [notice.fields["first"] for notice in notices]
    assert firsts == [HEAD + 1 + RUN * (place - 1) for place in sorted(bad)]
    assert not broker.parking.in_memory_bytes
    assert not shelf.kept
    session.publish(message(body=b"later"))
    entry = channel.get()
    assert entry is not None
    assert entry.message.body == b"later"


def test_a_purge_reads_nothing() -> None:
    broker, session = new_broker()
    shelf = broker.parking.spill = Shelf()
    queue = declare(session)
    fill(queue, HEAD + 3 * RUN)
    shelf.finish()
    shelf.failures = 100
    assert queue.purge() == HEAD + 3 * RUN
    assert not shelf.kept


def fill(queue: Queue, count: int) -> None:
    for number in range(count):
        queue.accept(message(body=b"%d" % number))


def levels(priorities: int | None) -> dict[str, object]:
    return {} if priorities is None else {"x_max_priority": priorities}


def test_what_is_next_is_wanted_before_it_is_needed() -> None:
    broker, session = new_broker()
    shelf = broker.parking.spill = Shelf()
    declare(session)
    for number in range(HEAD + 3 * RUN):
        session.publish(message(body=b"%d" % number))
    shelf.finish()
    channel = Channel(session)
    for _ in range(HEAD + 1):
        channel.get()
    assert shelf.wanted == {2}


def test_a_deleted_queue_with_a_packed_end_leaves_no_cycle() -> None:
    _, session = new_broker()
    gc.collect()
    gc.disable()
    try:
        declare(session)
        for number in range(50):
            session.publish(message(body=b"%d" % number))
        session.delete_queue("q", if_unused=False, if_empty=False)
        assert gc.collect() == 0
    finally:
        gc.enable()
