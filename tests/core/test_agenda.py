"""The agenda does what a sorted list does, and keeps nothing of what is gone."""

from __future__ import annotations

import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.support import message
from warren_broker.core.agenda import Agenda

NAMES = [("x", "a"), ("x", "b"), ("y", "a")]
BURST = 40
"""Messages that come and go at once: a few such bursts are worth tidying up."""

steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "name", "remove", "burst", "take", "tidy"]),
        st.integers(0, 9),
        st.sampled_from(NAMES),
    ),
    max_size=60,
)


class SortedList:
    """What an agenda is for, told plainly."""

    def __init__(self) -> None:
        self.items: list[tuple[int, int, bytes, tuple[str, str] | None]] = []
        self.number = 0

    def add(self, due: int, name: tuple[str, str] | None) -> bytes:
        self.number += 1
        body = b"%d" % self.number
        self.items.append((due, self.number, body, name))
        return body

    def remove(self, name: tuple[str, str]) -> bool:
        count = len(self.items)
        self.items = [item for item in self.items if item[3] != name]
        return len(self.items) < count

    def take(self) -> tuple[int, bytes]:
        due, _, body, _ = item = min(self.items)
        self.items.remove(item)
        return due, body


def take_one(agenda: Agenda) -> tuple[float, bytes]:
    """Take until there is one; what is gone may be in the way."""
    while True:
        due = agenda.next()
        assert due is not None
        found = agenda.take()
        if found is not None:
            return due, found[1].body


@given(steps)
def test_does_what_a_sorted_list_does(
    steps: list[tuple[str, int, tuple[str, str]]],
) -> None:
    agenda, model = Agenda(), SortedList()
    for step, number, name in steps:
        if step == "add" or (step == "name" and name not in agenda):
            known = name if step == "name" else None
            body = model.add(number, known)
            agenda.add(message(body=body), number, known)
        elif step == "remove":
            assert (agenda.remove(name) is not None) == model.remove(name)
        elif step == "burst":
            for each in range(BURST):
                agenda.add(message(), each, ("z", "a"))
                assert agenda.remove(("z", "a"))
        elif step == "take" and model.items:
            assert take_one(agenda) == model.take()
        elif step == "tidy":
            agenda.tidy(number)
        assert agenda.count == len(model.items)
        assert (agenda.next() is None) == (not model.items)
        for known in NAMES:
            assert (known in agenda) == any(item[3] == known for item in model.items)
    while model.items:
        assert take_one(agenda) == model.take()
    assert agenda.next() is None


@pytest.mark.parametrize("live_count", [0, 10, 1000])
def test_what_is_gone_does_not_pile_up(live_count: int) -> None:
    agenda = Agenda()
    for number in range(live_count):
        agenda.add(message(body=b"%d" % number), 1_000_000 + number)
    for number in range(20_000):
        agenda.remove(("x", "a"))
        agenda.add(message(), number, ("x", "a"))
        size = len(agenda._heap) + len(agenda._tidied or ())
        assert size <= 3 * agenda.count + 100
    agenda.remove(("x", "a"))
    while agenda.is_untidy:
        agenda.tidy(1000)
    assert len(agenda._heap) <= 2 * live_count + 64
    taken = [take_one(agenda)[1] for _ in range(live_count)]
    assert taken == [b"%d" % number for number in range(live_count)]


def test_taking_may_leave_something_to_tidy() -> None:
    agenda = Agenda()
    for number in range(300):
        agenda.add(message(body=b"%d" % number), number)
    for number in range(200):
        agenda.add(message(), 1000, ("x", str(number)))
        agenda.remove(("x", str(number)))
    assert not agenda.is_untidy
    for _ in range(250):
        agenda.take()
    assert agenda.is_untidy
    while agenda.is_untidy:
        before = len(agenda._heap) + len(agenda._tidied or ())
        agenda.tidy(7)
        assert before - len(agenda._heap) - len(agenda._tidied or ()) <= 7
        agenda.add(message(body=b"new"), 2000)
    bodies = [take_one(agenda)[1] for _ in range(50)]
    assert bodies == [b"%d" % number for number in range(250, 300)]
    while agenda.count:
        assert take_one(agenda) == (2000, b"new")


def test_a_body_goes_with_its_message() -> None:
    agenda = Agenda()
    first = message()
    header = weakref.ref(first.header)
    agenda.add(first, 5, ("x", "a"))
    del first
    assert header() is not None
    agenda.remove(("x", "a"))
    assert header() is None


def test_the_same_moment_keeps_the_order_of_coming() -> None:
    agenda = Agenda()
    for number in range(100):
        agenda.add(message(body=b"%d" % number), 1, ("x", str(number)))
    assert [take_one(agenda)[1] for _ in range(100)] == [b"%d" % n for n in range(100)]
