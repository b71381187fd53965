"""Groups: order, ownership and fairness by key, whatever consumers do.

One machine of random steps for all modes; after every step each mode's promises are
checked against what the consumers were handed, and nothing may be left waiting that
somebody could have.
"""

from __future__ import annotations

import gc
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.support import (
    Channel,
    Delivery,
    at,
    bodies,
    declare,
    message,
    new_broker,
)
from warren_broker.core.arguments import parse_queue_arguments
from warren_broker.core.limits import Limits
from warren_broker.core.queue import GroupedQueue, group_modes
from warren_broker.core.queue.groups import Group, GroupedEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.core.queue import Entry
    from warren_broker.core.session import Session

MODES = ("ordered", "sticky", "fair")
KEYS = ("a", "b", "c", None)


def opened(mode: str, **arguments: object) -> tuple[Session, GroupedQueue]:
    _, session = new_broker(Limits(retry_jitter=0.0))
    queue = declare(session, x_group_by="header:key", x_group_mode=mode, **arguments)
    assert isinstance(queue, GroupedQueue)
    return session, queue


def put(session: Session, key: str | None, number: int, **others: int) -> None:
    headers = {} if key is None else {"key": key}
    session.publish(message(body=b"%d" % number, headers=headers, **others))


def key_of(entry: Entry | Delivery) -> str | None:
    found = entry.message.header.headers().get("key")
    assert found is None or isinstance(found, str)
    return found


def group_count() -> int:
    """How many keys are in memory, wherever."""
    gc.collect()
    return sum(isinstance(one, Group) for one in gc.get_objects())


def number_of(entry: Entry | Delivery) -> int:
    return int(entry.message.body)


class Machine:
    """A queue with groups, three channels of consumers, and what came of it all."""

    def __init__(self, mode: str, priorities: int | None) -> None:
        extra = {} if priorities is None else {"x_max_priority": priorities}
        self.session, self.queue = opened(
            mode,
            x_delayed_retry_type="returned",
            x_delayed_retry_min=50,
            x_dead_letter_exchange="",
            x_dead_letter_routing_key="dead",
            **extra,
        )
        self.mode = mode
        self.broker = self.session.vhost.broker
        self.log: list[Delivery] = []
        self.channels = [Channel(self.session, name, self.log) for name in "123"]
        self.published = self.settled = 0
        self.dead = declare(self.session, "dead").backlog
        self.levels: dict[int, int] = {}

    def step(self, what: str, number: int) -> None:
        getattr(self, what)(number)
        self.check()

    # Steps

    def publish(self, number: int) -> None:
        key, level = KEYS[number % 4], number % 3
        self.levels[self.published] = min(level, self.queue.rules.max_priority or 0)
        lifetime = {"expiration_ms": 200} if number % 5 == 0 else {}
        put(self.session, key, self.published, priority=level, **lifetime)
        self.published += 1

    def consume(self, number: int) -> None:
        channel = self.channels[number % 3]
        if not channel.consumers:
            no_ack = number % 7 == 0
            tag = "all" if no_ack else "c"
            channel.consume(tag=tag, prefetch=1 + number % 3, no_ack=no_ack)

    def cancel(self, number: int) -> None:
        channel = self.channels[number % 3]
        for tag in list(channel.consumers):
            channel.cancel(tag)

    def close(self, number: int) -> None:
        self.channels[number % 3].close()
        name = f"{self.channels[number % 3].name}'"
        self.channels[number % 3] = Channel(self.session, name, self.log)

    def get(self, number: int) -> None:
        self.channels[number % 3].get()

    def ack(self, number: int) -> None:
        if (held := self.held(number)) is not None:
            held[0].settle(held[1], multiple=False)
            self.settled += 1

    def give_back(self, number: int) -> None:
        """One half as failed: those do not wait."""
        if (held := self.held(number)) is not None:
            held[0].refuse(
                held[1], multiple=False, requeue=True, failed=bool(number % 2)
            )

    def reject(self, number: int) -> None:
        if (held := self.held(number)) is not None:
            held[0].refuse(held[1], multiple=False, requeue=False, failed=True)

    def wait(self, number: int) -> None:
        at(self.broker, self.broker.now + number / 100)

    def purge(self, number: int) -> None:
        if number % 8 == 0:
            self.settled += self.queue.purge()

    def held(self, number: int):  # type: ignore[no-untyped-def] # noqa: ANN201
        unacked = self.channels[number % 3].unacked
        tags = list(unacked.entries)
        return (unacked, tags[number % len(tags)]) if tags else None

    # Promises

    def out(self) -> Iterator[tuple[str, Entry]]:
        for channel in self.channels:
            for entry in channel.unacked.entries.values():
                yield channel.name, entry

    def check(self) -> None:
        queue = self.queue
        unacked = [entry for _, entry in self.out()]
        assert queue.unacked_count == len(unacked)
        kept = queue.backlog.count + queue.times.delayed_count + len(unacked)
        unasked = sum(delivery.consumer == "all" for delivery in self.log)
        assert self.published == kept + self.settled + self.dead.count + unasked
        assert queue.backlog.count == len(bodies(queue))
        sizes = (entry.message.size_bytes for entry in queue.backlog)
        assert queue.backlog.size_bytes == sum(sizes)
        self.check_first_deliveries()
        getattr(self, f"check_{self.mode}")(unacked)

    def check_first_deliveries(self) -> None:
        """In publish order within a key and a level."""
        last: dict[object, int] = defaultdict(lambda: -1)
        for delivery in self.log:
            number = number_of(delivery)
            if not delivery.delivery_count and key_of(delivery) is not None:
                place = (key_of(delivery), self.levels[number])
                assert number > last[place]
                last[place] = number

    def has_taker(self) -> bool:
        return any(
            one.has_room() for ch in self.channels for one in ch.consumers.values()
        )

    def check_ordered(self, unacked: list[Entry]) -> None:
        busy = Counter(key_of(entry) for entry in unacked)
        del busy[None]
        assert all(count == 1 for count in busy.values())
        waiting = {key_of(entry) for entry in self.queue.backlog}
        if self.has_taker():
            delayed = {key for key in waiting if self.expects(key)}
            assert waiting <= busy.keys() | delayed

    def expects(self, key: str | None) -> bool:
        group = self.queue.groups._groups.get(key)
        return group is not None and group.out_count > 0

    def check_sticky(self, unacked: list[Entry]) -> None:
        owners = defaultdict(set)
        for _, entry in self.out():
            if key_of(entry) is not None and entry.consumer is not None:
                owners[key_of(entry)].add(entry.consumer)
        for key, consumers in owners.items():
            living = {one for one in consumers if one.is_attached}
            assert len(consumers) == 1 or not living, f"{key}: {consumers}"
        for entry in self.queue.backlog:
            assert isinstance(entry, GroupedEntry)
            group = entry.group
            if group.owner is not None:
                assert group.owner.is_attached
                assert not group.owner.has_room(), f"{entry} waits for nothing"
            elif not group.out_count:
                assert not self.has_taker()

    def check_fair(self, unacked: list[Entry]) -> None:
        if self.has_taker():
            assert not self.queue.backlog.count


steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["publish"] * 4
            + ["consume", "ack", "ack", "give_back", "wait"]
            + ["cancel", "close", "get", "reject", "purge"]
        ),
        st.integers(0, 60),
    ),
    max_size=60,
)


@pytest.mark.parametrize("mode", MODES)
@given(steps=steps, priorities=st.sampled_from([None, 2]))
def test_every_mode_keeps_its_promises(
    mode: str, steps: list[tuple[str, int]], priorities: int | None
) -> None:
    machine = Machine(mode, priorities)
    for what, number in steps:
        machine.step(what, number)
    for channel in machine.channels:
        channel.close()
    at(machine.broker, machine.broker.now + 1000)
    machine.queue.purge()
    assert machine.queue.groups.group_count == 0
    assert machine.queue.backlog.count == machine.queue.unacked_count == 0


# Ordered


def test_a_returned_message_is_next_of_its_key_and_others_go_on() -> None:
    session, _ = opened("ordered")
    channel = Channel(session)
    channel.consume(prefetch=2)
    for number, key in enumerate("aab"):
        put(session, key, number)
    assert channel.bodies == [b"0", b"2"]
    channel.unacked.refuse(1, multiple=False, requeue=True, failed=True)
    assert channel.bodies == [b"0", b"2", b"0"]
    channel.unacked.settle(3, multiple=False)
    assert channel.bodies[-1] == b"1"


def test_a_key_waits_for_its_message_that_will_be_retried() -> None:
    session, queue = opened(
        "ordered", x_delayed_retry_type="all", x_delayed_retry_min=1000
    )
    channel = Channel(session)
    channel.consume()
    for number, key in enumerate("aab"):
        put(session, key, number)
    channel.unacked.refuse(1, multiple=False, requeue=True, failed=True)
    channel.unacked.settle(2, multiple=False)
    assert bodies(queue) == [b"1"]
    at(session.vhost.broker, 1.0)
    assert channel.bodies == [b"0", b"2", b"0"]


@pytest.mark.parametrize("mode", MODES)
def test_a_purge_frees_a_key_that_waits_for_its_retry(mode: str) -> None:
    session, queue = opened(mode, x_delayed_retry_type="all", x_delayed_retry_min=10)
    channel = Channel(session)
    channel.consume()
    put(session, "a", 0)
    channel.unacked.refuse(1, multiple=False, requeue=True, failed=True)
    assert queue.purge() == 1
    put(session, "a", 1)
    assert channel.bodies[-1] == b"1"


@pytest.mark.parametrize("mode", MODES)
def test_a_key_whose_first_message_expires_keeps_its_turn(mode: str) -> None:
    session, _ = opened(mode)
    put(session, "a", 0, expiration_ms=10)
    put(session, "a", 1)
    at(session.vhost.broker, 1.0)
    channel = Channel(session)
    channel.consume()
    assert channel.bodies == [b"1"]


def test_a_message_with_a_moment_of_its_own_finds_its_key_again() -> None:
    """The key was idle, and forgotten, while the message waited."""
    session, _ = opened("ordered", x_deliver_at_header="at")
    channel = Channel(session)
    channel.consume()
    session.publish(message(headers={"key": "a", "at": 1000}, body=b"1"))
    put(session, "a", 0)
    channel.unacked.settle(1, multiple=False)
    put(session, "a", 2)
    at(session.vhost.broker, 2.0)
    assert channel.bodies == [b"0", b"2"]
    channel.unacked.settle(2, multiple=False)
    assert channel.bodies == [b"0", b"2", b"1"]


def test_messages_without_a_key_wait_for_nobody() -> None:
    session, _ = opened("ordered")
    channel = Channel(session)
    channel.consume()
    for number in range(3):
        put(session, None, number)
    assert channel.bodies == [b"0", b"1", b"2"]


def test_a_message_without_time_to_live_reaches_a_consumer_with_room() -> None:
    session, queue = opened("ordered", x_message_ttl=0)
    channel = Channel(session)
    channel.consume()
    put(session, "a", 0)
    put(session, "a", 1)  # its key is busy
    at(session.vhost.broker, 0.1)
    channel.unacked.settle(1, multiple=False)
    assert channel.bodies == [b"0"]
    assert queue.backlog.count == 0


def test_get_takes_only_what_is_free() -> None:
    session, _ = opened("ordered")
    channel = Channel(session)
    put(session, "a", 0)
    put(session, "a", 1)
    assert channel.get() is not None
    assert channel.get() is None
    channel.unacked.settle(1, multiple=False)
    assert channel.get() is not None


def test_limits_drop_the_oldest_whatever_its_key() -> None:
    session, queue = opened("ordered", x_max_length=2)
    for number, key in enumerate("abab"):
        put(session, key, number)
    assert bodies(queue) == [b"2", b"3"]


# Sticky


def test_a_key_stays_with_its_consumer_even_while_it_is_idle() -> None:
    session, _ = opened("sticky")
    channels = [Channel(session, name) for name in "12"]
    for channel in channels:
        channel.consume()
    put(session, "a", 0)
    put(session, "b", 1)
    assert [channel.bodies for channel in channels] == [[b"0"], [b"1"]]
    for channel in channels:
        channel.unacked.settle(0, multiple=True)
    for number in range(2, 6):
        put(session, "b", number)
    assert channels[1].bodies == [b"1", b"2", b"3", b"4", b"5"]


def test_an_heir_gets_all_of_a_key_at_once() -> None:
    session, _ = opened("sticky")
    first, second = Channel(session, "1"), Channel(session, "2")
    first.consume()
    for number in range(5):
        put(session, "a", number)
    second.consume()
    first.close()
    assert second.bodies == [b"%d" % number for number in range(5)]


def test_the_next_owner_waits_until_the_last_ones_messages_are_settled() -> None:
    session, queue = opened("sticky")
    first, second = Channel(session, "1"), Channel(session, "2")
    first.consume(prefetch=1)
    put(session, "a", 0)
    put(session, "a", 1)
    second.consume()
    first.cancel()
    assert bodies(queue) == [b"1"]
    first.unacked.settle(1, multiple=False)
    assert second.bodies == [b"1"]


def test_an_owner_whose_channel_was_full_is_served_when_it_is_not() -> None:
    """The room comes from another queue's ack, of which this queue hears nothing."""
    session, _ = opened("sticky")
    declare(session, "other")
    channel = Channel(session)
    channel.qos(1, whole_channel=True)
    channel.consume()
    put(session, "a", 0)
    channel.consume("other", tag="o")
    channel.unacked.settle(1, multiple=False)
    session.publish(message("other"))
    put(session, "a", 1)
    assert len(channel.log) == 2
    channel.unacked.settle(2, multiple=False)
    assert channel.bodies[-1] == b"1"


def test_idle_keys_are_remembered_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_modes, "IDLE_MAX", 10)
    session, queue = opened("sticky")
    channel = Channel(session)
    channel.consume()
    for number in range(50):
        put(session, f"{number}", number)
        channel.unacked.settle(0, multiple=True)
    assert queue.groups.group_count == 10


# Fair


def test_keys_take_turns_however_many_messages_one_of_them_has() -> None:
    session, _ = opened("fair")
    for number in range(10):
        put(session, "flood", number)
    put(session, "small", 10)
    put(session, "other", 11)
    channel = Channel(session)
    channel.consume()
    assert [key_of(one) for one in channel.log[:4]] == [
        "flood",
        "small",
        "other",
        "flood",
    ]


def test_large_messages_count_for_what_they_are() -> None:
    session, _ = opened("fair")
    for _ in range(4):
        headers = {"key": "large"}
        session.publish(message(body=bytes(40_000), headers=headers))
    for number in range(9):
        put(session, "small", number)
    channel = Channel(session)
    channel.consume()
    keys = [key_of(one) for one in channel.log]
    assert keys[:8].count("small") == 6


@given(
    keys=st.lists(st.sampled_from("abcd"), min_size=1, max_size=60),
    prefetch=st.integers(1, 5),
)
def test_nobody_is_passed_over_twice(keys: list[str], prefetch: int) -> None:
    """Between two messages of one key, every other key that waits has one."""
    session, _ = opened("fair")
    for number, key in enumerate(keys):
        put(session, key, number)
    channel = Channel(session)
    channel.consume(prefetch=prefetch)
    while channel.unacked.entries:
        channel.unacked.settle(next(iter(channel.unacked.entries)), multiple=False)
    left = Counter(keys)
    served = [key_of(one) for one in channel.log]
    assert sorted(served) == sorted(keys)
    for start, key in enumerate(served):
        waiting = {one for one, count in left.items() if count} - {key}
        try:
            stop = served.index(key, start + 1)
        except ValueError:
            stop = len(served)
        missing = waiting - set(served[start:stop])
        assert stop == len(served) or not missing
        left[key] -= 1


# The life of a queue


@pytest.mark.parametrize("mode", MODES)
def test_a_deleted_queue_leaves_nothing_behind(mode: str) -> None:
    session, queue = opened(mode, x_max_length=5)
    channel = Channel(session)
    gc.collect()
    gc.disable()
    try:
        channel.consume(prefetch=2)
        for number in range(20):
            put(session, "ab"[number % 2], number)
        session.delete_queue("q", if_unused=False, if_empty=False)
        channel.close()
        del queue, channel
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("mode", MODES)
def test_what_left_pins_no_memory(mode: str) -> None:
    """Entries that expire behind the head of a busy key go, and so do their heaps."""
    session, queue = opened(mode)
    channel = Channel(session)
    channel.consume(prefetch=1)
    put(session, "a", 0)
    for number in range(1, 2000):
        put(session, "a", number, expiration_ms=10)
    at(session.vhost.broker, 1.0)
    assert queue.backlog.count == 0
    group = queue.groups._groups["a"]
    assert len(group.waiting) < 100


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("last", ["expires", "is dropped"])
def test_keys_that_left_pin_no_memory(mode: str, last: str) -> None:
    """Nobody consumes, and what is first in line stays: the others come and go."""
    limit = {"x_max_length": 5, "x_max_priority": 1}
    session, queue = opened(mode, **limit if last == "is dropped" else {})
    expiration = {"expiration_ms": 1} if last == "expires" else {}
    put(session, "first", 0, priority=1)
    before = group_count()
    for number in range(1, 1000):
        put(session, f"{number}", number, **expiration)
        at(session.vhost.broker, number / 100)
    assert group_count() - before < 200
    left = bodies(queue)
    channel = Channel(session)
    channel.consume()
    assert channel.bodies == left


def test_a_purge_lets_go_of_all_keys() -> None:
    session, queue = opened("ordered")
    for number in range(1000):
        put(session, f"{number}", number)
    before = group_count()
    queue.purge()
    assert group_count() == before - 1000
    channel = Channel(session)
    channel.consume()
    put(session, "7", 1000)
    assert channel.bodies == [b"1000"]


def test_long_keys_of_which_there_is_nothing_cost_little() -> None:
    session, queue = opened("sticky")
    channels = [Channel(session, name) for name in "12"]
    for channel in channels:
        channel.consume(no_ack=True)
    long = "k" * 100_000
    for number in range(100):
        put(session, f"{long}{number % 50}", number)
    assert queue.groups.group_count == 50
    names = [name for name in queue.groups._groups if isinstance(name, str)]
    assert sum(map(len, names)) < 50 * 256
    first, second = ({key_of(one) for one in channel.log} for channel in channels)
    assert len(first | second) == 50
    assert not first & second


def test_rules_that_measure_find_it_measured() -> None:
    session, queue = opened("ordered")
    for number, key in enumerate("abc"):
        put(session, key, number)
    arguments = {**queue.arguments, "x-max-length-bytes": 1}
    queue.apply_rules(parse_queue_arguments(arguments, "q", "/"))
    assert bodies(queue) == [b"2"]
