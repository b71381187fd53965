"""Types that choose one destination: at random, or by a hash modulo their number."""

from __future__ import annotations

from collections import Counter
from math import sqrt
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.exchange_support import NO_HEADERS, Place
from tests.core.support import (
    bodies,
    declare,
    declare_exchange,
    message,
    new_broker,
)
from warren_broker.core.exchange import EXCHANGE_TYPES, Surroundings

PLACES = {name: Place(name) for name in "pqrst"}
every_type = pytest.mark.parametrize("type_name", ["x-modulus-hash", "x-random"])
KEYS = [f"key.{number}" for number in range(1000)]

changes = st.lists(
    st.tuples(st.sampled_from(sorted(PLACES)), st.sampled_from(["", "1", "a.*"])),
    max_size=15,
)


@every_type
@given(changes=changes)
def test_one_of_those_that_are_bound(
    type_name: str, changes: list[tuple[str, str]]
) -> None:
    """A binding is made, or undone if it is there."""
    exchange = EXCHANGE_TYPES[type_name]("x")
    model: set[tuple[str, str]] = set()
    for name, key in changes:
        act = exchange.unbind if (name, key) in model else exchange.bind
        assert act(PLACES[name], key, {})
        model ^= {(name, key)}
        bound = {each for each, _ in model}
        found = [list(exchange.match(f"k{n}", NO_HEADERS)) for n in range(3)]
        assert {len(each) for each in found} == {1 if bound else 0}
        assert {place.name for each in found for place in each} <= bound


@every_type
@given(names=st.sets(st.sampled_from(sorted(PLACES)), min_size=1), copies=st.integers())
def test_all_get_the_same_share_however_often_they_are_bound(
    type_name: str, names: set[str], copies: int
) -> None:
    surroundings = Surroundings(random=Random(copies))
    exchange = EXCHANGE_TYPES[type_name]("x", surroundings=surroundings)
    for name in names:
        exchange.bind(PLACES[name], "", {})
    exchange.bind(PLACES[min(names)], "once more", {"n": copies})
    counts = Counter(
        place.name for key in KEYS for place in exchange.match(key, NO_HEADERS)
    )
    share = len(KEYS) / len(names)
    assert all(abs(counts[name] - share) <= 6 * sqrt(share) for name in names)


def drawn(seed: int) -> list[str]:
    surroundings = Surroundings(random=Random(seed))
    exchange = EXCHANGE_TYPES["x-random"]("x", surroundings=surroundings)
    for place in PLACES.values():
        exchange.bind(place, "", {})
    return [
        place.name for key in KEYS[:40] for place in exchange.match(key, NO_HEADERS)
    ]


def test_a_seed_makes_chance_repeat_itself() -> None:
    assert drawn(1) == drawn(1) != drawn(2)


@given(order=st.permutations(sorted(PLACES)))
def test_a_modulus_does_not_depend_on_the_order_of_binding(order: list[str]) -> None:
    found = []
    for names in (sorted(PLACES), order):
        exchange = EXCHANGE_TYPES["x-modulus-hash"]("x")
        for name in names:
            exchange.bind(PLACES[name], name, {})
        found.append([list(exchange.match(key, NO_HEADERS)) for key in KEYS[:50]])
    assert found[0] == found[1]


@every_type
def test_each_message_goes_to_one_queue(type_name: str) -> None:
    _, session = new_broker()
    session.vhost.surroundings.random.seed(1)
    declare_exchange(session, "x", type_name)
    queues = [declare(session, name) for name in "pqrs"]
    for queue in queues:
        session.bind_queue(queue.name, "x", "", {})
    for key in KEYS[:100]:
        headers = {"CC": ["more", "keys"]}
        session.publish(message(key, exchange="x", headers=headers))
        session.publish(message(key, exchange="x"))
    counts = [len(bodies(queue)) for queue in queues]
    assert sum(counts) == 200
    assert min(counts) > 20


def test_chance_is_asked_about_every_message() -> None:
    """Even if the exchange stands behind one whose routes are fixed."""
    _, session = new_broker()
    session.vhost.surroundings.random.seed(1)
    declare_exchange(session, "front", "fanout")
    declare_exchange(session, "x", "x-random")
    session.bind_exchange("x", "front", "", {})
    queues = [declare(session, name) for name in "pq"]
    for queue in queues:
        session.bind_queue(queue.name, "x", "", {})
    for _ in range(50):
        session.publish(message("k", exchange="front"))
    counts = [len(bodies(queue)) for queue in queues]
    assert sum(counts) == 50
    assert min(counts) > 5


def test_a_modulus_is_asked_once_a_key() -> None:
    _, session = new_broker()
    declare_exchange(session, "x", "x-modulus-hash")
    declare(session)
    session.bind_queue("q", "x", "", {})
    session.publish(message("k", exchange="x"))
    assert list(session.vhost.exchanges["x"].routes) == ["k"]
