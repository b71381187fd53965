"""Backlogs: one order, whatever is returned, removed, dropped or of which priority."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.support import PlainHeader, declare, message, new_broker
from warren_broker.core.message import Message, Route
from warren_broker.core.queue import Entry
from warren_broker.core.queue.backlog import (
    Backlog,
    FifoBacklog,
    MeasuredBacklog,
    PriorityBacklog,
)
from warren_broker.core.queue.entry import READY, SETTLED, UNACKED

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[[], Backlog]

MAX_PRIORITY = 3
KINDS: dict[str, tuple[Make, int]] = {
    "fifo": (FifoBacklog, 0),
    "priority": (lambda: PriorityBacklog(MAX_PRIORITY), MAX_PRIORITY),
    "measured fifo": (lambda: MeasuredBacklog(FifoBacklog()), 0),
    "measured priority": (
        lambda: MeasuredBacklog(PriorityBacklog(MAX_PRIORITY)),
        MAX_PRIORITY,
    ),
}
QUEUE = declare(new_broker()[1])


def entry(sequence: int, priority: int = 0, size: int = 1) -> Entry:
    return Entry(message(body=bytes(size), priority=priority), QUEUE, sequence)


steps = st.lists(
    st.tuples(
        st.sampled_from(["push", "push", "pop", "return", "remove", "oldest", "clear"]),
        st.integers(0, 200),
    ),
    max_size=80,
)


class SortedList:
    """The same, as one list that is sorted whenever somebody looks."""

    def __init__(self, max_priority: int) -> None:
        self.max_priority = max_priority
        self.entries: list[Entry] = []

    def level(self, one: Entry) -> int:
        return min(one.message.header.priority, self.max_priority)

    def ready(self) -> list[Entry]:
        return sorted(self.entries, key=lambda one: (-self.level(one), one.sequence))

    def oldest(self) -> Entry:
        return min(self.entries, key=lambda one: (self.level(one), one.sequence))


def take(backlog: Backlog, twin: SortedList, step: str, number: int) -> Entry:
    """Take an entry out of both."""
    if step == "pop":
        expected, found = twin.ready()[0], backlog.pop()
    elif step == "oldest":
        expected, found = twin.oldest(), backlog.pop_oldest()
    else:
        expected = found = twin.ready()[number % len(twin.entries)]
        backlog.remove(found)
        assert found.state == SETTLED
    assert found is expected
    twin.entries.remove(found)
    return found


@pytest.mark.parametrize("kind", KINDS)
@given(steps=steps)
def test_does_what_a_sorted_list_does(kind: str, steps: list[tuple[str, int]]) -> None:
    make, max_priority = KINDS[kind]
    backlog, twin = make(), SortedList(max_priority)
    out: list[Entry] = []
    for sequence, (step, number) in enumerate(steps):
        if step == "push":
            twin.entries.append(entry(sequence, number % 5, number % 7))
            backlog.push(twin.entries[-1])
        elif step == "return" and out:
            twin.entries.append(out.pop(number % len(out)))
            twin.entries[-1].state = READY
            backlog.push_returned(twin.entries[-1])
        elif step == "clear" and number < 20:
            backlog.clear()
            twin.entries.clear()
        elif step in {"pop", "oldest", "remove"} and twin.entries:
            taken = take(backlog, twin, step, number)
            if step == "pop":
                taken.state = UNACKED
                out.append(taken)
        assert backlog.count == len(twin.entries)
        assert list(backlog) == twin.ready()
        if isinstance(backlog, MeasuredBacklog):
            assert backlog.size_bytes == sum(
                one.message.size_bytes for one in twin.entries
            )


def fill(backlog: Backlog, count: int) -> tuple[list[Entry], weakref.WeakSet[object]]:
    """Push entries, and return them and what tells which messages are alive."""
    headers: weakref.WeakSet[object] = weakref.WeakSet()
    entries = []
    for sequence in range(count):
        header = PlainHeader(priority=sequence % 3)
        headers.add(header)
        one = Entry(Message(Route("", "q", b""), header, b""), QUEUE, sequence)
        entries.append(one)
        backlog.push(one)
    return entries, headers


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reverse", [False, True])
def test_what_is_removed_is_let_go(kind: str, *, reverse: bool) -> None:
    """Entries of a queue that nobody reads expire; their messages must go with them."""
    backlog = KINDS[kind][0]()
    entries, alive = fill(backlog, 2000)
    last = entries.pop(0 if reverse else -1)
    while entries:
        backlog.remove(entries.pop(-1 if reverse else 0))
    assert list(backlog) == [last]
    assert len(alive) < 4 * 70  # some may lie about, behind what still waits


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_removed_after_it_was_returned_is_let_go(kind: str) -> None:
    backlog = KINDS[kind][0]()
    entries, alive = fill(backlog, 2000)
    for _ in entries:
        backlog.pop()
    for one in entries:
        backlog.push_returned(one)
    first = entries.pop(0)
    while entries:
        backlog.remove(entries.pop())
    assert list(backlog) == [first]
    assert len(alive) < 4 * 70


def test_priorities_above_the_maximum_are_the_maximum() -> None:
    backlog = PriorityBacklog(2)
    entries = [entry(number, priority) for number, priority in enumerate([2, 9, 255])]
    for one in entries:
        backlog.push(one)
    assert list(backlog) == entries


def test_a_size_counts_the_header_as_well_as_the_body() -> None:
    backlog = MeasuredBacklog(FifoBacklog())
    header = PlainHeader(payload=bytes(100))
    one = Entry(Message(Route("", "q", bytes(10)), header, bytes(1)), QUEUE, 1)
    backlog.push(one)
    assert backlog.size_bytes == 111
    backlog.remove(one)
    assert backlog.size_bytes == 0
