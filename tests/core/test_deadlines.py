"""Deadlines: told in order of time, once, and nothing is kept of who waits no more."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren_broker.core.deadlines import DeadlineOwner, Deadlines

if TYPE_CHECKING:
    from collections.abc import Callable


class PlantedBug(Exception):
    """What an owner raises that has a bug."""


class Owner(DeadlineOwner):
    """Writes down that it was told; may do something then."""

    def __init__(self, name: int, told: list[int]) -> None:
        self.name = name
        self.told = told
        self.act: Callable[[], None] = lambda: None

    def on_deadline(self, now: float) -> None:
        self.told.append(self.name)
        self.act()


def owners(count: int) -> tuple[list[Owner], list[int]]:
    told: list[int] = []
    return [Owner(name, told) for name in range(count)], told


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["set", "set", "cancel", "run"]),
            st.integers(0, 4),
            st.integers(0, 9),
        ),
        max_size=60,
    )
)
def test_does_what_a_dictionary_of_moments_does(
    steps: list[tuple[str, int, int]],
) -> None:
    deadlines = Deadlines()
    known, told = owners(5)
    moments: dict[int, tuple[int, int]] = {}  # owner: when, and set before whom
    for number, (step, name, when) in enumerate(steps):
        if step == "set":
            deadlines.set(known[name], when)
            if moments.get(name, (None,))[0] != when:
                moments[name] = (when, number)
        elif step == "cancel":
            deadlines.cancel(known[name])
            moments.pop(name, None)
        else:
            due = sorted((at, name) for name, at in moments.items() if at[0] <= when)
            told.clear()
            deadlines.run(when)
            assert told == [name for _, name in due]
            moments = {name: at for name, at in moments.items() if at[0] > when}
        first = min((at for at, _ in moments.values()), default=None)
        assert deadlines.next() == first
        assert len(deadlines) == len(moments)


def test_an_owner_that_asks_for_now_is_told_in_the_next_turn() -> None:
    """Otherwise a turn might never end."""
    deadlines = Deadlines()
    (owner,), told = owners(1)
    owner.act = lambda: deadlines.set(owner, 1.0)
    deadlines.set(owner, 1.0)
    for turn in range(1, 4):
        deadlines.run(1.0)
        assert told == [0] * turn
        assert deadlines.next() == 1.0


def test_others_go_on_beside_an_owner_that_always_asks_for_now() -> None:
    deadlines = Deadlines()
    (first, second), told = owners(2)
    first.act = lambda: deadlines.set(first, 0.0)
    deadlines.set(first, 0.0)
    deadlines.set(second, 1.0)
    deadlines.run(1.0)
    assert told == [0, 1]
    assert deadlines.next() == 0.0


@given(st.integers(1, 6), st.sets(st.integers(0, 5)), st.booleans())
def test_a_bug_of_some_owners_takes_no_deadline_from_the_others(
    count: int, failing: set[int], wants_more: bool
) -> None:
    deadlines = Deadlines()
    known, told = owners(count)

    def fail(owner: Owner) -> None:
        if wants_more:
            deadlines.set(owner, 0.0)  # before all others, each time
        raise PlantedBug

    failing &= set(range(count))
    for owner in known:
        if owner.name in failing:
            owner.act = partial(fail, owner)
        deadlines.set(owner, owner.name)
    if failing:
        with pytest.RaisesGroup(*[PlantedBug] * len(failing)):
            deadlines.run(count)
    else:
        deadlines.run(count)
    assert told == list(range(count))
    assert len(deadlines) == (len(failing) if wants_more else 0)


def test_who_is_cancelled_by_another_in_the_same_turn_is_not_told() -> None:
    deadlines = Deadlines()
    (first, second), told = owners(2)
    first.act = lambda: deadlines.cancel(second)
    deadlines.set(first, 1.0)
    deadlines.set(second, 2.0)
    deadlines.run(3.0)
    assert told == [0]
    assert deadlines.next() is None


def test_who_is_put_off_by_another_in_the_same_turn_is_told_then() -> None:
    deadlines = Deadlines()
    (first, second), told = owners(2)
    first.act = lambda: deadlines.set(second, 9.0)
    deadlines.set(first, 1.0)
    deadlines.set(second, 2.0)
    deadlines.run(3.0)
    assert told == [0]
    assert deadlines.next() == 9.0
    deadlines.run(9.0)
    assert told == [0, 1]


def test_cancelling_who_does_not_wait_is_no_error() -> None:
    deadlines = Deadlines()
    (owner,), _ = owners(1)
    deadlines.cancel(owner)
    assert len(deadlines) == 0


def test_those_who_wait_no_more_are_let_go() -> None:
    """Ten thousand channels come and go while one deadline stays far ahead."""
    deadlines = Deadlines()
    (last,), told = owners(1)
    deadlines.set(last, 1e9)
    alive: weakref.WeakSet[Owner] = weakref.WeakSet()
    for name in range(10_000):
        owner = Owner(name, told)
        alive.add(owner)
        deadlines.set(owner, 1000.0 + name)
        deadlines.cancel(owner)
        del owner
    assert len(alive) < 100
    assert deadlines.next() == 1e9


def test_an_owner_that_keeps_moving_leaves_nothing_behind() -> None:
    """A queue moves its deadline with each message that has a time to live."""
    deadlines = Deadlines()
    (owner,), told = owners(1)
    for number in range(10_000):
        deadlines.set(owner, 20_000.0 - number)
    assert len(deadlines._heap) < 100
    deadlines.run(30_000.0)
    assert told == [0]


def test_the_last_one_to_leave_empties_the_heap() -> None:
    deadlines = Deadlines()
    (owner,), _ = owners(1)
    alive = weakref.ref(owner)
    deadlines.set(owner, 5.0)
    deadlines.cancel(owner)
    del owner, _
    assert alive() is None
