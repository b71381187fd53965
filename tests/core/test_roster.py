"""Rosters: whose turn it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.support import (
    Channel,
    RecordingConsumer,
    declare,
    message,
    new_broker,
)
from warren_broker.core.queue import Consumer
from warren_broker.core.queue.roster import Roster

CHANNEL = Channel(new_broker()[1])
QUEUE = declare(CHANNEL.session)


def consumer(tag: str, priority: int = 0) -> RecordingConsumer:
    return RecordingConsumer(
        CHANNEL, QUEUE, tag, no_ack=False, exclusive=False, priority=priority
    )


def with_consumers(*tags: str, single_active: bool = False) -> Roster:
    roster = Roster(single_active=single_active)
    for tag in tags:
        roster.add(consumer(tag))
    return roster


def turns(roster: Roster, count: int) -> str:
    return "".join(
        one.tag if (one := roster.next_ready()) else "-" for _ in range(count)
    )


def find(roster: Roster, tag: str) -> RecordingConsumer:
    return next(one for one in roster if one.tag == tag)


def test_everybody_in_turn() -> None:
    assert turns(with_consumers(*"abc"), 7) == "abcabca"


def test_nobody_is_there() -> None:
    assert turns(with_consumers(), 1) == "-"


def test_who_has_no_room_is_passed_over_and_comes_back_last() -> None:
    roster = with_consumers(*"abc")
    find(roster, "b").paused = True
    assert turns(roster, 4) == "acac"
    find(roster, "b").paused = False
    assert turns(roster, 2) == "ac", "a roster must be told of room"
    roster.list(find(roster, "b"))
    assert turns(roster, 4) == "acba"


def test_the_highest_priority_with_room_has_all_turns() -> None:
    roster = Roster(single_active=False)
    for tag, priority in (("a", 0), ("x", 5), ("b", 0), ("y", 5), ("z", -3)):
        roster.add(consumer(tag, priority))
    assert turns(roster, 4) == "xyxy"
    for tag in "xy":
        find(roster, tag).paused = True
    assert turns(roster, 3) == "aba"
    for tag in "ab":
        roster.remove(find(roster, tag))
    assert turns(roster, 2) == "zz"


def test_single_active_is_the_one_that_came_first() -> None:
    roster = with_consumers(*"abc", single_active=True)
    assert turns(roster, 3) == "aaa"
    find(roster, "a").paused = True
    assert turns(roster, 1) == "-", "the others wait even when it has no room"
    roster.remove(find(roster, "a"))
    assert turns(roster, 2) == "bb"
    roster.remove(find(roster, "c"))
    assert turns(roster, 1) == "b"
    roster.remove(find(roster, "b"))
    assert roster.active is None


def test_exclusive_is_remembered_until_it_goes() -> None:
    roster = Roster(single_active=False)
    one = RecordingConsumer(
        CHANNEL, QUEUE, "a", no_ack=False, exclusive=True, priority=0
    )
    roster.add(one)
    assert roster.exclusive is one
    roster.remove(one)
    assert roster.exclusive is None


def test_a_stranger_is_not_listed() -> None:
    roster = with_consumers("a")
    stranger = consumer("s")
    roster.list(stranger)
    roster.list(find(roster, "a"))  # a second time
    assert turns(roster, 3) == "aaa"
    assert (stranger in roster, len(roster)) == (False, 1)


@given(
    priorities=st.lists(st.integers(0, 2), min_size=1, max_size=8),
    steps=st.lists(
        st.tuples(st.sampled_from("nnnprd"), st.integers(0, 7)), max_size=60
    ),
)
def test_turns_are_fair_whatever_happens(
    priorities: list[int], steps: list[tuple[str, int]]
) -> None:
    """Nobody with room waits while an equal is served twice."""
    roster = Roster(single_active=False)
    members = [consumer(str(number), one) for number, one in enumerate(priorities)]
    for one in members:
        roster.add(one)
    passed_over: dict[str, set[str]] = {one.tag: set() for one in members}
    for step, number in steps:
        one = members[number % len(members)]
        if step == "n":
            serve_next(roster, passed_over)
        elif step == "r":
            one.paused = False
            roster.list(one)
        else:
            one.paused = True
            forget(one.tag, passed_over)
            if step == "d" and one in roster:
                roster.remove(one)


def serve_next(roster: Roster, passed_over: dict[str, set[str]]) -> None:
    """Let the roster choose. `passed_over`: by tag, who has waited since its turn."""
    able = [one for one in roster if not one.paused]
    best = max((one.priority for one in able), default=None)
    equals = {one.tag for one in able if one.priority == best}
    chosen = roster.next_ready()
    if chosen is None:
        assert not able
        return
    assert chosen.tag in equals
    assert not passed_over[chosen.tag] & equals
    passed_over[chosen.tag] = equals - {chosen.tag}
    forget(chosen.tag, passed_over)


def forget(tag: str, passed_over: dict[str, set[str]]) -> None:
    for tags in passed_over.values():
        tags.discard(tag)


@pytest.mark.parametrize("order", [1, -1])
def test_ten_thousand_consumers_come_work_and_go(
    order: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message costs no walk along those without room: they are asked once each."""
    asked = []

    def has_room(self: RecordingConsumer) -> bool:
        asked.append(self)
        return Consumer.has_room(self)

    monkeypatch.setattr(RecordingConsumer, "has_room", has_room)
    _, session = new_broker()
    queue = declare(session)
    channel = Channel(session)
    for number in range(10_000):
        channel.consume(tag=str(number), prefetch=1)
    for _ in range(10_000):
        session.publish(message())
    assert [delivery.consumer for delivery in channel.log] == [
        str(number) for number in range(10_000)
    ]
    for _ in range(1000):
        session.publish(message())
    assert queue.backlog.count == 1000
    for tag in range(1, 10_001):
        channel.unacked.settle(tag, multiple=False)
    assert queue.backlog.count == 0
    for number in list(channel.consumers)[::order]:
        channel.cancel(number)
    assert len(queue.roster) == 0
    assert len(asked) < 100_000
