"""Consistent hash: a share for each weight, and no key moves without need."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.exchange_support import NO_HEADERS, Place, PlainHeader
from tests.core.support import (
    bodies,
    declare,
    declare_exchange,
    fingerprint,
    message,
    new_broker,
)
from warren.errors import PreconditionFailed
from warren_broker.core.exchange import EXCHANGE_TYPES, ConsistentHashExchange
from warren_broker.core.exchange.hash_ring import (
    POINTS_MAX,
    POINTS_PER_WEIGHT,
    HashRing,
)

KEYS = [f"key.{number}" for number in range(2000)]
NOISE = 1 / sqrt(len(KEYS))
"""Two standard deviations, at least, of a share that is counted by these keys."""

names = st.text(max_size=8)
weights = st.integers(1, 4)
rings = st.dictionaries(names, weights, min_size=1, max_size=8)
places = {name: Place(name) for name in "pqrs"}


def exchange_of(bound: dict[str, int], **arguments: object) -> ConsistentHashExchange:
    exchange = ConsistentHashExchange(
        "x", arguments={key.replace("_", "-"): v for key, v in arguments.items()}
    )
    for name, weight in bound.items():
        exchange.bind(Place(name), str(weight), {})
    return exchange


def routes(exchange: ConsistentHashExchange) -> list[str | None]:
    """The destination of each key."""
    found = [list(exchange.match(key, NO_HEADERS)) for key in KEYS]
    assert all(len(each) <= 1 for each in found)
    return [each[0].name if each else None for each in found]


def tolerance(weight: int, share: float) -> float:
    """Six standard deviations of a share made of random points, and the noise."""
    return 6 * share / sqrt(weight * POINTS_PER_WEIGHT) + NOISE


@given(bound=rings)
@settings(max_examples=40, deadline=None)
def test_every_key_has_one_place_and_every_weight_its_share(
    bound: dict[str, int],
) -> None:
    counts = Counter(routes(exchange_of(bound)))
    assert counts.keys() <= bound.keys()
    total = sum(bound.values())
    for name, weight in bound.items():
        share = weight / total
        assert abs(counts[name] / len(KEYS) - share) <= tolerance(weight, share)


@given(bound=rings, name=names, weight=weights)
@settings(max_examples=40, deadline=None)
def test_a_newcomer_takes_its_share_and_nothing_else_moves(
    bound: dict[str, int], name: str, weight: int
) -> None:
    bound.pop(name, None)
    exchange = exchange_of(bound)
    before = routes(exchange)
    newcomer = Place(name)
    exchange.bind(newcomer, str(weight), {})
    after = routes(exchange)
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) <= {name}
    share = weight / (sum(bound.values()) + weight)
    assert len(moved) / len(KEYS) <= share + tolerance(weight, share)
    exchange.unbind(newcomer, str(weight), {})
    assert routes(exchange) == before  # so what goes moves its own keys only


changes = st.lists(
    st.tuples(st.sampled_from(sorted(places)), st.sampled_from(["1", "2", "3"])),
    max_size=12,
)


@given(changes=changes, looks=st.sets(st.integers(0, 12)))
@settings(max_examples=60, deadline=None)
def test_only_what_is_bound_counts_and_not_how_it_came_about(
    changes: list[tuple[str, str]], looks: set[int]
) -> None:
    """A binding is made, or undone if it is there; the oldest one gives the weight."""
    exchange = ConsistentHashExchange("x")
    model: dict[tuple[str, str], None] = {}
    for number, (name, key) in enumerate(changes):
        if number in looks:
            list(exchange.match("now", NO_HEADERS))
        if (name, key) in model:
            del model[name, key]
            assert exchange.unbind(places[name], key, {})
        else:
            model[name, key] = None
            assert exchange.bind(places[name], key, {})
    oldest: dict[str, int] = {}
    for name, key in model:
        oldest.setdefault(name, int(key))
    fresh = exchange_of(dict(sorted(oldest.items(), reverse=True)))
    assert routes(exchange) == routes(fresh)


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=6))
@settings(max_examples=20, deadline=None)
def test_a_ring_is_bounded_and_large_weights_still_count(sizes: list[int]) -> None:
    ring = HashRing()
    owners = [Place(str(number)) for number in range(len(sizes))]
    for owner, weight in zip(owners, sizes, strict=True):
        ring.resize(owner, weight)
    assert len(sizes) <= ring.point_count <= POINTS_MAX + len(sizes)
    found = Counter(ring.find(at << 53) for at in range(2048))
    for owner, weight in zip(owners, sizes, strict=True):
        share = weight / sum(sizes)
        halved = share * POINTS_MAX / 2  # the fewest there may be on a full ring
        points = max(1, min(weight * POINTS_PER_WEIGHT, halved))
        error = 6 * share / sqrt(points) + 1 / sqrt(2048)
        assert abs(found[owner] / 2048 - share) <= error
    for owner in owners:
        ring.resize(owner, 0)
    assert ring.find(0) is None
    assert ring.point_count == 0


def test_a_destination_always_has_a_point() -> None:
    ring = HashRing()
    many = [Place(str(number)) for number in range(3 * POINTS_MAX // 10_000 + 1)]
    for place in many:
        ring.resize(place, 10_000)
    small = Place("small")
    ring.resize(small, 1)
    before = ring.point_count
    ring.resize(small, 0)
    assert ring.point_count == before - 1


def test_an_empty_ring_leads_nowhere() -> None:
    assert routes(ConsistentHashExchange("x")) == [None] * len(KEYS)


SCRIPT = """
from tests.core.test_exchange_consistent_hash import exchange_of, routes
print(routes(exchange_of({"a": 1, "b": 2, "\\u00e9": 3})))
"""


def test_another_process_routes_alike() -> None:
    """Neither the salt of `hash` nor where objects lie has a part in it."""
    printed = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={
                **os.environ,
                "PYTHONHASHSEED": seed,
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    here = f"{routes(exchange_of({'a': 1, 'b': 2, 'é': 3}))}\n"
    assert printed == [here, here]


def test_a_new_version_routes_as_the_last_one_did() -> None:
    found = routes(exchange_of({"a": 1, "b": 1, "c": 2}))[:12]
    assert "".join(name or "-" for name in found) == "bbabcccbcaac"


# What is hashed


def chosen(exchange: ConsistentHashExchange, key: str, header: PlainHeader) -> str:
    (place,) = exchange.match(key, header)
    return place.name


BOUND = dict.fromkeys("abcdefgh", 1)
VALUES: list[object] = ["key.1", b"\xff", 1, 1.0, True, None, [1, "a"], {"n": 1}]


@pytest.mark.parametrize("argument", ["hash-header", "x-hash-on"])
def test_a_header_is_hashed_instead(argument: str) -> None:
    exchange = exchange_of(BOUND, **{argument: "h"})
    assert not exchange.has_fixed_routes
    for value in VALUES:
        header = PlainHeader({"h": value, "other": 1})
        assert len({chosen(exchange, key, header) for key in KEYS[:50]}) == 1
    found = {chosen(exchange, "k", PlainHeader({"h": key})) for key in KEYS[:200]}
    assert found == set(BOUND)
    numbers = {chosen(exchange, "k", PlainHeader({"h": n})) for n in range(200)}
    assert numbers == set(BOUND)


def test_a_header_with_the_text_of_a_key_goes_where_the_key_goes() -> None:
    by_header, by_key = exchange_of(BOUND, hash_header="h"), exchange_of(BOUND)
    for key in KEYS[:50]:
        header = PlainHeader({"h": key})
        assert chosen(by_header, "", header) == chosen(by_key, key, NO_HEADERS)


@pytest.mark.parametrize("name", ["message_id", "correlation_id", "timestamp"])
def test_a_property_is_hashed_instead(name: str) -> None:
    exchange, by_key = exchange_of(BOUND, hash_property=name), exchange_of(BOUND)
    assert not exchange.has_fixed_routes
    for key in KEYS[:50]:
        header = PlainHeader(properties={name: key, "other": "x"})
        assert chosen(exchange, "k", header) == chosen(by_key, key, NO_HEADERS)


@pytest.mark.parametrize("argument", ["hash_header", "hash_property"])
def test_messages_with_nothing_to_hash_go_together(argument: str) -> None:
    exchange = exchange_of(BOUND, **{argument: "message_id"})
    assert len({chosen(exchange, key, NO_HEADERS) for key in KEYS[:50]}) == 1


# Within a virtual host


def test_a_route_is_kept_only_if_the_key_decides() -> None:
    _, session = new_broker()
    vhost = session.vhost
    for name, arguments in (("by-key", {}), ("by-header", {"hash-header": "h"})):
        declare_exchange(session, name, "x-consistent-hash", arguments=arguments)
        for queue in "pqrs":
            declare(session, queue)
            session.bind_queue(queue, name, "1", {})
        for number in range(40):
            headers = {"h": str(number)}
            session.publish(message("k", exchange=name, headers=headers))
    assert list(vhost.exchanges["by-key"].routes) == ["k"]
    assert not vhost.exchanges["by-header"].routes
    counts = [len(bodies(vhost.queues[queue])) for queue in "pqrs"]
    assert sum(counts) == 80
    assert min(counts) > 0


def test_further_keys_do_not_multiply_a_message() -> None:
    _, session = new_broker()
    declare_exchange(session, "x", "x-consistent-hash")
    queues = [declare(session, name) for name in "pqrs"]
    for queue in queues:
        session.bind_queue(queue.name, "x", "1", {})
    session.publish(message("k", exchange="x", body=b"alone"))
    copied = message("k", exchange="x", body=b"copied", headers={"CC": KEYS[:40]})
    session.publish(copied)
    (found,) = [each for queue in queues if (each := bodies(queue))]
    assert found == [b"alone", b"copied"]


# Refusals


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("", "The binding key must be an integer: <<>>"),
        ("a.b", 'The binding key must be an integer: <<"a.b">>'),
        ('"\\', 'The binding key must be an integer: <<"\\"\\\\">>'),
        ("é", 'The binding key must be an integer: <<"é"/utf8>>'),
        ("\0\x01", "The binding key must be an integer: <<0,1>>"),
        ("1.5", 'The binding key must be an integer: <<"1.5">>'),
        (" 1", 'The binding key must be an integer: <<" 1">>'),
        ("1_0", 'The binding key must be an integer: <<"1_0">>'),
        ("\u0661", 'The binding key must be an integer: <<"\u0661"/utf8>>'),
        ("0", "The binding key must be greater than 0"),
        ("-1", "The binding key must be greater than 0"),
        ("10001", "The binding key must not exceed 10000"),
        ("9" * 255, "The binding key must not exceed 10000"),
    ],
)
def test_what_is_no_weight_is_refused(key: str, text: str) -> None:
    broker, session = new_broker()
    declare(session)
    declare_exchange(session, "x", "x-consistent-hash")
    before = fingerprint(broker)
    with pytest.raises(PreconditionFailed) as caught:
        session.bind_queue("q", "x", key, {})
    assert caught.value.text == text
    assert fingerprint(broker) == before


@pytest.mark.parametrize("key", ["1", "+1", "01", "10000"])
def test_what_is_a_weight(key: str) -> None:
    exchange = ConsistentHashExchange("x")
    assert exchange.bind(places["p"], key, {})
    assert list(exchange.match("k", NO_HEADERS)) == [places["p"]]


EXCLUSIVE = "hash-header and hash-property are mutually exclusive"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"hash-header": "h", "hash-property": "message_id"}, EXCLUSIVE),
        ({"hash-header": "h", "hash-property": "no"}, EXCLUSIVE),
        ({"x-hash-on": "h", "hash-property": "message_id"}, EXCLUSIVE),
        ({"hash-property": "app_id"}, "Unsupported property: app_id"),
        (
            {"hash-property": 1},
            "Invalid hash-property field type signedint (value 1); expected longstr",
        ),
        (
            {"hash-header": True},
            "Invalid hash-header field type bool (value true); expected longstr",
        ),
        (
            {"x-hash-on": ["a"]},
            "Invalid x-hash-on field type array (value ['a']); expected longstr",
        ),
    ],
)
def test_arguments_that_cannot_be(arguments: dict[str, object], text: str) -> None:
    broker, session = new_broker()
    before = fingerprint(broker)
    with pytest.raises(PreconditionFailed) as caught:
        declare_exchange(session, "x", "x-consistent-hash", arguments=arguments)
    assert caught.value.text == text
    assert fingerprint(broker) == before


@pytest.mark.parametrize(
    "type_name", sorted({*EXCHANGE_TYPES} - {"x-consistent-hash", "x-super-stream"})
)
def test_other_types_do_not_care(type_name: str) -> None:
    _, session = new_broker()
    needed = {"x-delayed-type": "direct", "x-cache-size": 1}
    for header in (1, "h"):
        arguments = {"hash-header": header, "hash-property": "no", **needed}
        declare_exchange(session, "x", type_name, arguments=arguments)


@pytest.mark.parametrize(
    ("arguments", "key", "received", "current"),
    [
        ({"hash-header": "other"}, "hash-header", "'other'", "'h'"),
        ({}, "hash-header", "none", "the value 'h' of type 'longstr'"),
        (
            {"hash-header": "h", "x-hash-on": "h"},
            "x-hash-on",
            "the value 'h' of type 'longstr'",
            "none",
        ),
        (
            {"hash-header": "h", "hash-property": "message_id"},
            "hash-property",
            "the value 'message_id' of type 'longstr'",
            "none",
        ),
    ],
)
def test_declaring_again_means_the_same_hash(
    arguments: dict[str, object], key: str, received: str, current: str
) -> None:
    _, session = new_broker()
    same = {"hash-header": "h"}
    for _ in range(2):
        declare_exchange(session, "x", "x-consistent-hash", arguments=same)
    with pytest.raises(PreconditionFailed) as caught:
        declare_exchange(session, "x", "x-consistent-hash", arguments=arguments)
    assert caught.value.text == (
        f"inequivalent arg '{key}' for exchange 'x' in vhost '/':"
        f" received {received} but current is {current}"
    )
