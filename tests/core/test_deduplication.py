"""Deduplication: the last ids, each for its time, in little memory."""

from __future__ import annotations

import gc
import tracemalloc
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.support import (
    at,
    bodies,
    declare,
    declare_exchange,
    message,
    new_broker,
)
from warren.errors import AccessRefused, NotFound
from warren_broker.core.deduplication import (
    ID_HEADER,
    ID_MAX_BYTES,
    TTL_HEADER,
    IdBudget,
    SeenIds,
    UniqueId,
    unique_id,
)
from warren_broker.core.exchange import EXCHANGE_TYPES
from warren_broker.core.limits import Limits
from warren_broker.core.outcome import ACCEPTED, REFUSED, UNROUTED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.session import Session

AMPLE = 1000
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 1.0, 3.0]),  # seconds that pass
        st.sampled_from([b"a", b"b", b"c", b"d", b"e"]),
        st.sampled_from([None, None, 0.5, 1.0, 4.0]),  # a time of its own
    ),
    max_size=40,
)


# --- the ids seen


class Twin:
    """The same as one would tell it: a list, oldest first."""

    def __init__(self, size: int, ttl_seconds: float | None) -> None:
        self.size = size
        self.ttl_seconds = ttl_seconds
        self.seen: list[tuple[bytes, float | None]] = []

    def knows(self, key: bytes, now: float) -> bool:
        return any(
            each == key and (until is None or now < until) for each, until in self.seen
        )

    def add(self, key: bytes, now: float, own_seconds: float | None) -> None:
        seconds = self.ttl_seconds if own_seconds is None else own_seconds
        self.seen = [each for each in self.seen if each[0] != key]
        self.seen.append((key, None if seconds is None else now + seconds))
        self.seen = self.seen[-self.size :]


@given(
    size=st.integers(1, 5),
    ttl_seconds=st.sampled_from([None, 1.0, 2.0]),
    steps=STEPS,
)
def test_the_last_ids_are_known_each_for_its_time(
    size: int, ttl_seconds: float | None, steps: list[tuple[float, bytes, float | None]]
) -> None:
    budget = IdBudget(AMPLE)
    seen, twin, now = SeenIds(budget, size, ttl_seconds), Twin(size, ttl_seconds), 0.0
    for pause, key, own_seconds in steps:
        now += pause
        unique = UniqueId(key, own_seconds)
        assert seen.knows(unique, now) is twin.knows(key, now)
        if not twin.knows(key, now):
            seen.add(unique, now)
            twin.add(key, now, own_seconds)
        for each in (b"a", b"b", b"c", b"d", b"e"):
            known = seen.knows(UniqueId(each, None), now)
            assert known is twin.knows(each, now)
        assert budget.ids_used == len(seen) <= size
    forgotten = seen.close()
    assert budget.ids_used == len(seen) == 0
    while len(forgotten):
        forgotten.pop()


@given(
    ids_max=st.integers(1, 6),
    steps=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=40),
)
def test_who_got_no_new_id_for_the_longest_time_gives_way(
    ids_max: int, steps: list[tuple[int, int]]
) -> None:
    budget = IdBudget(ids_max)
    holders = [SeenIds(budget, 4, None) for _ in range(3)]
    model: list[list[int]] = [[], [], []]
    order: list[int] = []
    for number, value in steps:
        unique = UniqueId(b"%d" % value, None)
        own = model[number]
        assert holders[number].knows(unique, 0.0) is (value in own)
        if value in own:
            continue
        holders[number].add(unique, 0.0)
        del own[: max(0, len(own) - 3)]
        if sum(map(len, model)) == ids_max:
            oldest = next(each for each in order if model[each])
            del model[oldest][0]
        own.append(value)
        order = [each for each in order if each != number] + [number]
        assert budget.ids_used == sum(map(len, model)) <= ids_max
        assert [len(each) for each in holders] == [len(each) for each in model]


def test_ids_over_their_time_go_as_new_ones_come() -> None:
    seen = SeenIds(IdBudget(AMPLE), AMPLE, 1.0)
    for number in range(100):
        seen.add(UniqueId(b"old%d" % number, None), 0.0)
    for number in range(50):
        seen.add(UniqueId(b"new%d" % number, None), 1.0)
    assert len(seen) == 50


def test_an_id_takes_little_memory_however_long_it_is() -> None:
    seen = SeenIds(IdBudget(AMPLE), AMPLE, 60.0)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(AMPLE):
            unique = unique_id(identified(str(number) * 1000))
            assert unique is not None
            seen.add(unique, 0.0)
        assert tracemalloc.get_traced_memory()[0] < AMPLE * 300
    finally:
        tracemalloc.stop()
    assert len(seen) == AMPLE


# --- what an id is


def identified(value: object, **headers: object) -> object:
    return message(headers={ID_HEADER: value, **headers})


def key_of(value: object) -> bytes:
    unique = unique_id(message(headers={ID_HEADER: value}))
    assert unique is not None
    assert len(unique.key) <= ID_MAX_BYTES
    return unique.key


VALUES = [
    "",
    "1",
    "a" * 47,
    "a" * 48,
    "a" * 5000,
    b"\xff",
    b"\xff" * 100,
    "ä",
    1,
    0,
    -1,
    2**63 - 1,
    True,
    False,
    1.0,
    Decimal("1.0"),
    datetime(2024, 1, 1, tzinfo=UTC),
    [1, "1"],
    ["1", 1],
    [],
    {},
    {"a": 1},
    {"a": "1"},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_every_value_is_an_id_of_its_own(value: object) -> None:
    assert [each for each in VALUES if key_of(each) == key_of(value)] == [value]


def test_text_and_its_bytes_are_one_id() -> None:
    """Which of them it is depends on the client's library only."""
    assert key_of("a" * 100) == key_of(b"a" * 100)


@pytest.mark.parametrize("headers", [{}, {ID_HEADER: None}, {"x-id": "1"}])
def test_a_message_may_have_no_id(headers: Mapping[str, object]) -> None:
    assert unique_id(message(headers=headers)) is None


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [
        (1, 0.001),
        (315_360_000_000, 315_360_000.0),
        *((bad, None) for bad in (0, -1, 315_360_000_001, "1000", True, 1.5, None, [])),
    ],
)
def test_a_time_of_its_own_that_cannot_be_is_ignored(
    ttl: object, seconds: float | None
) -> None:
    unique = unique_id(message(headers={ID_HEADER: "1", TTL_HEADER: ttl}))
    assert unique == UniqueId(key_of("1"), seconds)


# --- exchanges


def publish(
    session: Session,
    name: object,
    body: bytes = b"",
    *,
    exchange: str = "x",
    key: str = "k",
    ttl_ms: int | None = None,
) -> int:
    headers: dict[str, object] = {} if name is None else {ID_HEADER: name}
    if ttl_ms is not None:
        headers[TTL_HEADER] = ttl_ms
    return session.publish(message(key, exchange=exchange, body=body, headers=headers))


def bound(
    session: Session,
    type_name: str = "fanout",
    queue: str = "q",
    *,
    exchange: str = "x",
    **arguments: object,
) -> None:
    """An exchange with a queue that gets everything."""
    named = {key.replace("_", "-"): value for key, value in arguments.items()}
    declare_exchange(session, exchange, type_name, arguments=named)
    declare(session, queue)
    key = {"topic": "#", "x-consistent-hash": "1"}.get(type_name, "k")
    session.bind_queue(queue, exchange, key, {})


def ready(session: Session, queue: str = "q") -> list[bytes]:
    return bodies(session.vhost.queues[queue])


@pytest.mark.parametrize("type_name", sorted({*EXCHANGE_TYPES} - {"x-super-stream"}))
def test_any_type_lets_a_message_pass_once(type_name: str) -> None:
    _, session = new_broker()
    bound(
        session,
        type_name,
        x_message_deduplication=True,
        x_cache_size=10,
        x_delayed_type="direct",
        x_modulus=1,
    )
    for body in (b"1", b"2"):
        assert publish(session, "a", body) == ACCEPTED
        assert publish(session, None, body) == ACCEPTED
        assert publish(session, "b", body) == ACCEPTED
    assert ready(session) == [b"1", b"1", b"1", b"2"]
    deduplication = session.vhost.exchanges["x"].deduplication
    assert deduplication is not None
    assert deduplication.duplicate_count == 2


def test_an_exchange_that_does_not_look_keeps_its_routes() -> None:
    _, session = new_broker()
    bound(session)
    bound(session, exchange="false", x_message_deduplication=False)
    for exchange in ("x", "false"):
        assert session.vhost.exchanges[exchange].deduplication is None
        assert publish(session, "a", exchange=exchange) == ACCEPTED
        assert "k" in session.vhost.exchanges[exchange].routes


def test_size_and_time_bound_the_window() -> None:
    broker, session = new_broker()
    bound(session, x_message_deduplication=True, x_cache_size=2, x_cache_ttl=1000)
    for name in ("a", "b", "a", "c", "a"):  # the second a is in the window
        publish(session, name, name.encode())
    assert ready(session) == [b"a", b"b", b"c", b"a"]
    at(broker, 0.999)
    publish(session, "a", b"early")
    at(broker, 1.0)
    publish(session, "a", b"late")
    assert ready(session)[4:] == [b"late"]


def test_a_message_may_have_a_time_of_its_own() -> None:
    broker, session = new_broker()
    bound(session, x_message_deduplication=True, x_cache_ttl=1000)
    publish(session, "long", b"1", ttl_ms=5000)
    publish(session, "short", b"2", ttl_ms=10)
    at(broker, 1.0)
    publish(session, "long", b"3")
    publish(session, "short", b"4")
    assert ready(session) == [b"1", b"2", b"4"]


@pytest.mark.parametrize(
    ("mode", "outcome"), [({}, ACCEPTED), ({"x_unique_mode": "reject"}, REFUSED)]
)
def test_publishers_of_duplicates(mode: Mapping[str, object], outcome: int) -> None:
    """A mode alone is enough to make messages unique."""
    _, session = new_broker()
    bound(session, **(mode or {"x_unique_mode": "drop"}))
    assert publish(session, "a") == ACCEPTED
    assert publish(session, "a") == outcome
    assert len(ready(session)) == 1


def test_a_message_between_exchanges_counts_once_for_each() -> None:
    _, session = new_broker()
    bound(session, x_message_deduplication=True)
    bound(session, "topic", exchange="y", queue="r", x_message_deduplication=True)
    session.bind_exchange("y", "x", "", {})
    session.bind_exchange("x", "y", "#", {})
    assert publish(session, "a", b"1") == ACCEPTED
    assert publish(session, "a", b"2", exchange="y") == ACCEPTED
    assert publish(session, "a", b"3") == ACCEPTED
    assert publish(session, "b", b"4", exchange="y") == ACCEPTED
    assert ready(session) == ready(session, "r") == [b"1", b"4"]


def test_one_refusal_on_the_way_is_a_refusal_and_leaves_no_trace() -> None:
    """Its publisher will try again: the exchanges before must let it pass."""
    _, session = new_broker()
    bound(session, x_message_deduplication=True)
    bound(session, exchange="y", queue="r", x_unique_mode="reject")
    session.bind_exchange("y", "x", "", {})
    assert publish(session, "a", b"1", exchange="y") == ACCEPTED
    assert publish(session, "a", b"2") == REFUSED
    assert publish(session, "a", b"3") == REFUSED
    assert ready(session) == [b"2", b"3"]
    assert ready(session, "r") == [b"1"]


def test_a_duplicate_does_not_go_to_the_alternate_exchange() -> None:
    _, session = new_broker()
    bound(session, exchange="other")
    declare_exchange(
        session,
        arguments={"x-message-deduplication": True, "alternate-exchange": "other"},
    )
    assert publish(session, "a", b"1") == ACCEPTED
    assert publish(session, "a", b"2") == ACCEPTED
    assert ready(session) == [b"1"]


def test_an_alternate_exchange_deduplicates_what_it_gets() -> None:
    _, session = new_broker()
    bound(session, exchange="other", x_message_deduplication=True)
    declare_exchange(session, arguments={"alternate-exchange": "other"})
    assert publish(session, "a", b"1") == ACCEPTED
    assert publish(session, "a", b"2") == ACCEPTED
    assert ready(session) == [b"1"]


def test_what_is_not_published_leaves_no_trace() -> None:
    _, session = new_broker()
    declare_exchange(session, arguments={"x-message-deduplication": True})
    declare_exchange(
        session, "inner", internal=True, arguments={"x-message-deduplication": True}
    )
    assert publish(session, "a") == publish(session, "a") == UNROUTED
    with pytest.raises(NotFound):
        publish(session, "a", exchange="nowhere")
    with pytest.raises(AccessRefused):
        publish(session, "a", exchange="inner")
    declare(session, x_max_length=1, x_overflow="reject-publish")
    session.bind_queue("q", "x", "k", {})
    assert publish(session, "full", b"1") == ACCEPTED
    assert publish(session, "a", b"2") == publish(session, "a", b"3") == REFUSED
    assert session.vhost.surroundings.id_budget.ids_used == 1
    session.purge_queue("q")
    assert publish(session, "a", b"4") == ACCEPTED
    assert ready(session) == [b"4"]


def test_a_message_that_waits_for_room_counts_when_it_gets_in() -> None:
    broker, session = new_broker()
    declare_exchange(session, arguments={"x-message-deduplication": True})
    queue = declare(
        session, x_max_length=1, x_overflow="block", x_publish_deadline=1000
    )
    session.bind_queue("q", "x", "k", {})
    budget = session.vhost.surroundings.id_budget
    publish(session, "first")
    publish(session, "late")
    at(broker, 1.0)
    assert budget.ids_used == 1  # it was refused
    publish(session, "late", b"again")
    session.vhost.untaken.take_receipt()
    assert budget.ids_used == 1
    session.purge_queue("q")
    at(broker, 1.5)
    assert bodies(queue) == [b"again"]
    assert budget.ids_used == 2


def test_one_of_two_queues_that_refuses_after_waiting_leaves_no_trace() -> None:
    broker, session = new_broker()
    declare_exchange(session, arguments={"x-message-deduplication": True})
    for name, deadline in (("q", 1000), ("r", 5000)):
        declare(
            session,
            name,
            x_max_length=1,
            x_overflow="block",
            x_publish_deadline=deadline,
        )
        session.bind_queue(name, "x", "k", {})
    publish(session, "first")
    publish(session, "a", b"1")
    at(broker, 1.0)
    session.purge_queue("r")
    at(broker, 2.0)
    assert ready(session, "r") == [b"1"]
    assert session.vhost.surroundings.id_budget.ids_used == 1


def test_dead_letters_pass_an_exchange_once() -> None:
    broker, session = new_broker()
    bound(session, exchange="graves", queue="grave", x_message_deduplication=True)
    declare(
        session,
        x_message_ttl=10,
        x_dead_letter_exchange="graves",
        x_dead_letter_routing_key="k",
    )
    for body in (b"1", b"2"):
        publish(session, "a", body, exchange="", key="q")
    at(broker, 1.0)
    assert ready(session, "grave") == [b"1"]


def test_a_deleted_exchange_gives_its_ids_back() -> None:
    broker, session = new_broker(Limits(unique_ids_max=20_000))
    bound(session, x_message_deduplication=True, x_cache_size=20_000)
    for number in range(20_000):
        publish(session, number)
    budget = session.vhost.surroundings.id_budget
    assert budget.ids_used == 20_000
    session.purge_queue("q")
    at(broker, 1.0)
    session.delete_exchange("x", if_unused=False)
    assert budget.ids_used == 0
    assert len(broker.sweeper) == 20_000  # a slice a turn
    at(broker, 1.0)
    assert len(broker.sweeper) == 0


def test_a_virtual_host_remembers_so_many_ids_and_no_more() -> None:
    _, session = new_broker(Limits(unique_ids_max=100))
    for exchange in ("x", "y"):
        bound(session, exchange=exchange, x_message_deduplication=True)
    for number in range(150):
        publish(session, number)
        publish(session, number, exchange="y")
    assert session.vhost.surroundings.id_budget.ids_used == 100
