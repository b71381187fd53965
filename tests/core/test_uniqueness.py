"""Uniqueness: the modes of a queue, against a twin that keeps lists."""

from __future__ import annotations

import gc
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.support import Channel, at, bodies, declare, message, new_broker
from warren.errors import PreconditionFailed
from warren_broker.core.deduplication import ID_HEADER
from warren_broker.core.limits import Limits
from warren_broker.core.outcome import ACCEPTED, PENDING, REFUSED
from warren_broker.core.queue import Queue

if TYPE_CHECKING:
    from warren_broker.core.session import Session

MODES = ["drop", "reject", "replace", "until-ack"]
EVERY_MODE = pytest.mark.parametrize("mode", MODES)


def publish(
    session: Session,
    name: object,
    body: bytes = b"",
    *,
    key: str = "q",
    priority: int = 0,
    expiration_ms: int | None = None,
    **headers: object,
) -> int:
    if name is not None:
        headers[ID_HEADER] = name
    return session.publish(
        message(
            key,
            body=body,
            headers=headers,
            priority=priority,
            expiration_ms=expiration_ms,
        )
    )


def unique_queue(mode: str, **arguments: object) -> tuple[Session, Queue]:
    _, session = new_broker()
    return session, declare(session, x_unique_mode=mode, **arguments)


# --- all modes, with all that can happen to a message


class Held(NamedTuple):
    """A message in the twin."""

    place: int
    name: str | None
    body: bytes


class Twin:
    """A queue of unique messages as one would tell it."""

    def __init__(self, mode: str, size: int, ttl_seconds: float | None) -> None:
        self.mode = mode
        self.size = size
        self.ttl_seconds = ttl_seconds
        self.seen: list[tuple[str, float]] = []
        self.ready: list[Held] = []
        self.out: list[Held] = []
        self.newest: dict[str, bytes] = {}
        self.places = 0

    def publish(self, name: str | None, body: bytes, now: float) -> int:
        answer = None if name is None else self.answer(name, body, now)
        if answer is not None:
            return answer
        self.places += 1
        self.ready.append(Held(self.places, name, body))
        if name is not None:
            self.newest[name] = body
            self.seen = [each for each in self.seen if each[0] != name]
            self.seen = [*self.seen, (name, now)][-self.size :]
        return ACCEPTED

    def answer(self, name: str, body: bytes, now: float) -> int | None:
        if self.mode in {"drop", "reject"}:
            ttl = self.ttl_seconds
            known = any(
                each == name and (ttl is None or now < since + ttl)
                for each, since in self.seen
            )
            outcome = ACCEPTED if self.mode == "drop" else REFUSED
            return outcome if known else None
        present = [
            each
            for each in (*self.ready, *self.out)
            if each.name == name and each.body == self.newest[name]
        ]
        if not present:
            return None
        if self.mode == "until-ack":
            return ACCEPTED
        (old,) = present
        if old in self.out:
            return None
        self.ready[self.ready.index(old)] = Held(old.place, name, body)
        self.newest[name] = body
        return ACCEPTED

    def get(self) -> None:
        if self.ready:
            self.out.append(self.ready.pop(0))

    def settle(self, number: int, action: str) -> None:
        held = self.out.pop(number)
        if action == "requeue":
            self.ready = sorted([*self.ready, held])


def settle(channel: Channel, tag: int, action: str) -> None:
    if action == "ack":
        channel.unacked.settle(tag, multiple=False)
    else:
        requeue = action == "requeue"
        channel.unacked.refuse(tag, multiple=False, requeue=requeue)


STEP = st.one_of(
    st.tuples(st.just("publish"), st.sampled_from(["a", "b", "c", None])),
    st.tuples(
        st.sampled_from(["get", "no-ack", "ack", "reject", "requeue"]),
        st.integers(0, 5),
    ),
    st.tuples(st.just("purge"), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([0.4, 1.0])),
)


@given(
    mode=st.sampled_from(MODES),
    size=st.integers(1, 3),
    ttl_ms=st.sampled_from([None, 1000]),
    steps=st.lists(STEP, max_size=40),
)
def test_a_queue_is_its_twin(
    mode: str, size: int, ttl_ms: int | None, steps: list[tuple[str, object]]
) -> None:
    broker, session = new_broker()
    window = {"x_cache_size": size} | ({"x_cache_ttl": ttl_ms} if ttl_ms else {})
    queue = declare(session, x_unique_mode=mode, **window)
    twin = Twin(mode, size, ttl_ms / 1000 if ttl_ms else None)
    channel = Channel(session)
    tags: list[int] = []
    for number, (action, value) in enumerate(steps):
        now = broker.now
        if action == "publish":
            body = b"%d" % number
            expected = twin.publish(value, body, now)  # type: ignore[arg-type]
            assert publish(session, value, body) == expected
        elif action == "get":
            twin.get()
            if channel.get() is not None:
                tags.append(channel.unacked.tag)
        elif action == "no-ack":
            del twin.ready[:1]
            channel.get(no_ack=True)
        elif action == "purge":
            assert queue.purge() == len(twin.ready)
            twin.ready = []
        elif action == "wait":
            at(broker, now + value)  # type: ignore[operator]
        elif tags:
            position = value % len(tags)  # type: ignore[operator]
            settle(channel, tags.pop(position), action)
            twin.settle(position, action)
        assert bodies(queue) == [each.body for each in twin.ready]
    channel.close()
    session.delete_queue("q", if_unused=False, if_empty=False)
    assert session.vhost.surroundings.id_budget.ids_used == 0


# --- which mode


@pytest.mark.parametrize(
    ("arguments", "mode"),
    [
        ({}, None),
        ({"x_message_deduplication": False}, None),
        ({"x_cache_size": 5}, None),
        ({"x_message_deduplication": True}, "UntilAck"),
        ({"x_message_deduplication": True, "x_cache_size": 5}, "Drop"),
        ({"x_message_deduplication": True, "x_cache_ttl": 5}, "Drop"),
        ({"x_unique_mode": "until-ack", "x_cache_ttl": 5}, "UntilAck"),
        ({"x_unique_mode": "reject"}, "Reject"),
        ({"x_message_deduplication": True, "x_unique_mode": "replace"}, "Replace"),
    ],
)
def test_the_mode_follows_from_the_arguments(
    arguments: dict[str, object], mode: str | None
) -> None:
    """Told by what becomes of duplicates: before and after the ack."""
    _, session = new_broker()
    queue = declare(session, **arguments)
    outcomes = [publish(session, "a", b"1"), publish(session, "a", b"2")]
    waiting = bodies(queue)
    Channel(session).get(no_ack=True)
    session.purge_queue("q")
    publish(session, "a", b"3")
    expected = {
        None: ([ACCEPTED, ACCEPTED], [b"1", b"2"], [b"3"]),
        "Drop": ([ACCEPTED, ACCEPTED], [b"1"], []),
        "Reject": ([ACCEPTED, REFUSED], [b"1"], []),
        "Replace": ([ACCEPTED, ACCEPTED], [b"2"], [b"3"]),
        "UntilAck": ([ACCEPTED, ACCEPTED], [b"1"], [b"3"]),
    }
    assert (outcomes, waiting, bodies(queue)) == expected[mode]
    assert queue.duplicate_count == (0 if mode is None else 1 + (not bodies(queue)))


@EVERY_MODE
def test_without_an_id_a_message_may_repeat(mode: str) -> None:
    session, queue = unique_queue(mode)
    assert [publish(session, None, b"same") for _ in range(3)] == [ACCEPTED] * 3
    assert len(bodies(queue)) == 3


def test_a_window_cannot_be_larger_than_the_virtual_host_remembers() -> None:
    _, session = new_broker(Limits(unique_ids_max=100))
    with pytest.raises(PreconditionFailed) as error:
        declare(session, x_unique_mode="drop", x_cache_size=101)
    assert error.value.text == (
        "invalid arg 'x-cache-size' for queue 'q' in vhost '/':"
        " {max_value_exceeded,101}"
    )
    assert not session.vhost.queues
    declare(session, x_unique_mode="drop", x_cache_size=100)


def queue_count() -> int:
    """How many queues are in memory, other tests' included."""
    return sum(isinstance(one, Queue) for one in gc.get_objects())


def test_a_queue_that_is_refused_leaves_nothing_for_the_collector() -> None:
    _, session = new_broker(Limits(unique_ids_max=100))
    gc.collect()
    gc.disable()
    before = queue_count()
    try:
        with suppress(PreconditionFailed):  # one that keeps no traceback
            declare(session, x_unique_mode="drop", x_cache_size=101)
        assert queue_count() == before
    finally:
        gc.enable()


# --- the ways to leave a queue


@pytest.mark.parametrize("no_ack", [True, False])
def test_a_message_delivered_at_once_is_held_until_its_ack(no_ack: bool) -> None:
    session, _ = unique_queue("until-ack")
    channel = Channel(session)
    channel.consume(no_ack=no_ack)
    for body in (b"1", b"2"):
        publish(session, "a", body)
    assert channel.bodies == ([b"1", b"2"] if no_ack else [b"1"])
    if not no_ack:
        channel.unacked.settle(1, multiple=False)
        publish(session, "a", b"3")
        assert channel.bodies == [b"1", b"3"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"x_message_ttl": 100},
        {"x_expires": 100},
        {"x_max_length": 0},
        {"x_max_length": 1},
        {"x_max_length": 1, "x_group_by": "routing-key"},
    ],
    ids=repr,
)
def test_what_a_queue_drops_is_welcome_again(arguments: dict[str, object]) -> None:
    broker, session = new_broker()
    queue = declare(session, x_unique_mode="until-ack", **arguments)
    publish(session, "a", b"1")
    publish(session, "b", b"2")
    at(broker, 1.0)
    if "x_expires" in arguments:
        queue = declare(session, x_unique_mode="until-ack")
    publish(session, "a", b"3")
    held = [b"3"] if arguments != {"x_max_length": 0} else []
    assert bodies(queue)[-1:] == held


def test_a_message_is_held_while_it_waits_for_its_retry() -> None:
    broker, session = new_broker()
    queue = declare(
        session,
        x_unique_mode="until-ack",
        x_delayed_retry_type="all",
        x_delayed_retry_min=1000,
    )
    channel = Channel(session)
    publish(session, "a", b"1")
    channel.get()
    channel.unacked.refuse(1, multiple=False, requeue=True)
    assert queue.times.delayed_count == 1
    publish(session, "a", b"2")
    at(broker, 5.0)
    assert bodies(queue) == [b"1"]
    channel.get()
    channel.unacked.settle(2, multiple=False)
    publish(session, "a", b"3")
    assert bodies(queue) == [b"3"]


@pytest.mark.parametrize("mode", ["until-ack", "replace"])
@pytest.mark.parametrize("grouped", [True, False])
def test_what_was_out_when_the_queue_was_purged_is_still_held(
    mode: str, grouped: bool
) -> None:
    arguments = {"x_group_by": "header:group"} if grouped else {}
    session, queue = unique_queue(mode, **arguments)
    channel = Channel(session)
    for name in ("a", "b", "c"):
        publish(session, name, name.encode(), group=name)
    channel.get()
    channel.get()
    session.purge_queue("q")
    channel.unacked.refuse(1, multiple=False, requeue=True)
    for name in ("a", "b", "c"):
        publish(session, name, name.upper().encode(), group=name)
    expected = {"until-ack": [b"a", b"C"], "replace": [b"A", b"B", b"C"]}
    assert bodies(queue) == expected[mode]
    session.purge_queue("q")
    publish(session, "a", b"again", group="a")
    publish(session, "b", b"again", group="b")
    assert len(bodies(queue)) == {"until-ack": 1, "replace": 2}[mode]


def test_a_second_purge_does_not_bring_back_what_was_settled() -> None:
    """Settled entries may be known to somebody for a while."""
    session, queue = unique_queue("until-ack")
    channel = Channel(session)
    known = []
    for tag in (1, 2):
        publish(session, "a")
        known.append(channel.get())
        session.purge_queue("q")
        if tag == 1:
            channel.unacked.settle(tag, multiple=False)
    publish(session, "a")
    assert bodies(queue) == []


def test_purged_messages_that_are_still_to_be_freed_are_gone() -> None:
    session, queue = unique_queue("until-ack")
    for _ in range(2):
        publish(session, "a")
        known = list(queue.backlog)
        assert session.purge_queue("q") == len(known) == 1
        publish(session, "a")
        assert len(bodies(queue)) == 1
        session.purge_queue("q")


def test_a_dead_letter_is_checked_like_a_publish() -> None:
    broker, session = new_broker()
    grave = declare(session, "grave", x_message_deduplication=True)
    declare(
        session,
        x_message_ttl=10,
        x_dead_letter_exchange="",
        x_dead_letter_routing_key="grave",
    )
    for body in (b"1", b"2"):
        publish(session, "a", body)
    at(broker, 1.0)
    assert bodies(grave) == [b"1"]
    assert grave.duplicate_count == 1


@EVERY_MODE
def test_nobody_pins_a_message_that_has_left(mode: str) -> None:
    """Nothing may wait for the collector, nor for the next publish."""
    session, _ = unique_queue(mode)
    channel = Channel(session)
    publish(session, "a", b"1")
    entry = channel.get()
    assert entry is not None
    left = weakref.ref(entry)
    gc.disable()
    try:
        channel.unacked.settle(1, multiple=False)
        del entry
        assert left() is None
    finally:
        gc.enable()


# --- with limits


@EVERY_MODE
@pytest.mark.parametrize("overflow", ["reject-publish", "drop-tail"])
def test_what_the_overflow_rule_does_not_take_leaves_no_trace(
    mode: str, overflow: str
) -> None:
    session, queue = unique_queue(mode, x_max_length=1, x_overflow=overflow)
    publish(session, "a", b"1")
    refused = ACCEPTED if overflow == "drop-tail" else REFUSED
    assert publish(session, "b", b"2") == refused
    session.purge_queue("q")
    assert publish(session, "b", b"3") == ACCEPTED
    assert bodies(queue) == [b"3"]


def test_a_duplicate_of_what_waits_for_room_is_found_when_it_gets_in() -> None:
    broker, session = new_broker()
    queue = declare(session, x_unique_mode="reject", x_max_length=1, x_overflow="block")
    untaken = session.vhost.untaken
    assert publish(session, "a") == ACCEPTED
    assert publish(session, "b", b"1") == PENDING
    first = untaken.take_receipt()
    assert publish(session, "b", b"2") == PENDING
    second = untaken.take_receipt()
    session.purge_queue("q")
    at(broker, broker.now)
    session.purge_queue("q")
    at(broker, broker.now)
    assert bodies(queue) == []
    assert not first.is_refused
    assert second.is_refused


@pytest.mark.parametrize("limit", ["x_max_length", "x_max_length_bytes"])
@pytest.mark.parametrize(
    "overflow", ["drop-head", "reject-publish", "reject-publish-dlx", "block"]
)
def test_a_replacement_does_not_add_to_the_length(limit: str, overflow: str) -> None:
    size = 2 if limit == "x_max_length" else message(body=b"11").size_bytes
    session, queue = unique_queue("replace", **{limit: size}, x_overflow=overflow)
    for name, body in (("a", b"1"), ("b", b"2"), ("a", b"3"), ("b", b"4")):
        assert publish(session, name, body) == ACCEPTED
    assert bodies(queue) == [b"3", b"4"]


@pytest.mark.parametrize(
    ("overflow", "outcome", "left"),
    [
        ("drop-head", ACCEPTED, [b"333"]),
        ("reject-publish", REFUSED, [b"1", b"2"]),
        ("reject-publish-dlx", REFUSED, [b"1", b"2"]),
        ("drop-tail", ACCEPTED, [b"1", b"2"]),
        ("block", PENDING, [b"1", b"2"]),
    ],
)
def test_a_replacement_that_is_too_large_is_one_more_message(
    overflow: str, outcome: int, left: list[bytes]
) -> None:
    session, queue = unique_queue("replace", x_max_length_bytes=3, x_overflow=overflow)
    publish(session, "a", b"1")
    publish(session, "b", b"2")
    assert publish(session, "a", b"333") == outcome
    assert bodies(queue) == left
    assert queue.backlog.size_bytes == sum(map(len, left))


def test_a_message_that_has_grown_too_large_for_its_place_leaves_it() -> None:
    session, queue = unique_queue("replace", x_max_length_bytes=4)
    for name, body in (("b", b"22"), ("a", b"1"), ("a", b"333")):
        assert publish(session, name, body) == ACCEPTED
    assert bodies(queue) == [b"333"]


# --- replace


def test_a_replacement_is_a_new_message_in_an_old_place() -> None:
    broker, session = new_broker()
    queue = declare(session, x_unique_mode="replace")
    channel = Channel(session)
    publish(session, "a", b"1", expiration_ms=1000)
    publish(session, "b", b"2")
    channel.get()
    channel.unacked.refuse(1, multiple=False, requeue=True)
    at(broker, 0.9)
    publish(session, "a", b"3", expiration_ms=1000)
    at(broker, 1.5)
    assert bodies(queue) == [b"3", b"2"]
    (entry, _) = queue.backlog
    assert not entry.redelivered
    at(broker, 1.9)
    assert bodies(queue) == [b"2"]


def test_with_another_priority_it_is_the_place_it_would_have_there() -> None:
    session, queue = unique_queue("replace", x_max_priority=2)
    publish(session, "a", b"1", priority=1)
    publish(session, "b", b"2", priority=2)
    publish(session, "a", b"3", priority=2)
    publish(session, "b", b"4", priority=1)
    assert bodies(queue) == [b"3", b"4"]


def test_with_another_key_it_may_leave_at_once() -> None:
    session, _ = unique_queue("replace", x_group_by="header:group")
    channel = Channel(session)
    channel.consume()
    publish(session, "a", b"1", group="x")
    publish(session, "b", b"2", group="x")
    assert channel.bodies == [b"1"]
    publish(session, "b", b"3", group="y")
    assert channel.bodies == [b"1", b"3"]


def test_a_message_that_waits_for_its_first_time_can_be_replaced() -> None:
    broker, session = new_broker()
    queue = declare(session, x_unique_mode="replace", x_deliver_at_header="eta")
    at(broker, 1.0)
    publish(session, "a", b"1", eta=10_000)
    publish(session, "a", b"2", eta=5000)
    assert queue.times.delayed_count == 1
    at(broker, 6.0)
    assert bodies(queue) == [b"2"]
    publish(session, "a", b"3", eta=20_000)
    assert bodies(queue) == []
    at(broker, 20.0)
    assert bodies(queue) == [b"3"]


@pytest.mark.parametrize("requeue", [True, False])
def test_an_attempt_under_way_is_not_replaced(requeue: bool) -> None:
    """Nor is a message that waits, rejected, before it is dead-lettered."""
    broker, session = new_broker()
    at(broker, 1.0)
    grave = declare(session, "grave")
    queue = declare(
        session,
        x_unique_mode="replace",
        x_delayed_retry_type="all",
        x_delayed_retry_min=1000,
        x_dead_letter_exchange="",
        x_dead_letter_routing_key="grave",
    )
    channel = Channel(session)
    publish(session, "a", b"1", **{"x-retry-delay": 1000})  # type: ignore[arg-type]
    channel.get()
    channel.unacked.refuse(1, multiple=False, requeue=requeue)
    assert queue.times.delayed_count == 1
    publish(session, "a", b"2")
    publish(session, "a", b"3")
    at(broker, 5.0)
    assert bodies(queue) == ([b"1", b"3"] if requeue else [b"3"])
    assert bodies(grave) == ([] if requeue else [b"1"])
