"""Bindings of every type, against a plain list of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from tests.core.exchange_support import (
    NO_HEADERS,
    Place,
    PlainHeader,
    headers_match,
    topic_matches,
)
from warren_broker.core.exchange import EXCHANGE_TYPES, Exchange

Naive = Callable[[str, Mapping[str, object], str, Mapping[str, object]], bool]

NAIVE_RULES: dict[str, Naive] = {
    "direct": lambda key, _, routing_key, __: key == routing_key,
    "fanout": lambda *_: True,
    "topic": lambda key, _, routing_key, __: topic_matches(key, routing_key),
    "headers": lambda _, arguments, __, headers: headers_match(arguments, headers),
}

PLACES = [Place(name) for name in "pqr"]
KEYS = ["", "a", "a.b", "b", "*", "a.#", "#", "#.b.#"]
VALUES = st.sampled_from([1, True, 1.0, "1", None])
ARGUMENTS: st.SearchStrategy[dict[str, object]] = st.one_of(
    st.just({}),
    st.dictionaries(st.sampled_from(["f", "g", "x-h"]), VALUES, max_size=3),
    st.fixed_dictionaries(
        {"x-match": st.sampled_from(["all", "any", "all-with-x", "any-with-x"])},
        optional={"f": VALUES, "g": VALUES, "x-h": VALUES},
    ),
)
HEADERS = st.dictionaries(st.sampled_from(["f", "g", "x-h", "z"]), VALUES, max_size=4)


def identity(arguments: Mapping[str, object]) -> object:
    return sorted(
        (key, type(value).__name__, value) for key, value in arguments.items()
    )


class Bindings(RuleBasedStateMachine):
    """Bind, unbind and delete; then route."""

    type_name: ClassVar[str]

    @initialize()
    def create(self) -> None:
        self.exchange = EXCHANGE_TYPES[self.type_name]("x")
        self.model: list[tuple[Place, str, dict[str, object]]] = []

    def find(
        self, place: Place, key: str, arguments: Mapping[str, object]
    ) -> int | None:
        wanted = (place, key, identity(arguments))
        for number, (p, k, a) in enumerate(self.model):
            if (p, k, identity(a)) == wanted:
                return number
        return None

    @rule(place=st.sampled_from(PLACES), key=st.sampled_from(KEYS), arguments=ARGUMENTS)
    def bind(self, place: Place, key: str, arguments: dict[str, object]) -> None:
        is_new = self.find(place, key, arguments) is None
        assert (self.exchange.bind(place, key, arguments) is not None) is is_new
        if is_new:
            self.model.append((place, key, arguments))

    @rule(place=st.sampled_from(PLACES), key=st.sampled_from(KEYS), arguments=ARGUMENTS)
    def unbind_any(self, place: Place, key: str, arguments: dict[str, object]) -> None:
        self.unbind(place, key, arguments)

    @rule(data=st.data())
    def unbind_one(self, data: st.DataObject) -> None:
        if self.model:
            place, key, arguments = data.draw(st.sampled_from(self.model))
            self.unbind(place, key, dict(reversed(arguments.items())))

    def unbind(self, place: Place, key: str, arguments: dict[str, object]) -> None:
        number = self.find(place, key, arguments)
        removed = self.exchange.unbind(place, key, arguments)
        assert (removed is None) is (number is None)
        if number is not None:
            del self.model[number]

    @rule(place=st.sampled_from(PLACES))
    def delete_destination(self, place: Place) -> None:
        count = sum(p is place for p, _, _ in self.model)
        assert len(self.exchange.unbind_destination(place)) == count
        self.model = [each for each in self.model if each[0] is not place]

    @rule(key=st.sampled_from(["", "a", "a.b", "b", "c.b.a"]), headers=HEADERS)
    def route(self, key: str, headers: dict[str, object]) -> None:
        naive = NAIVE_RULES[self.type_name]
        expected = {p for p, k, a in self.model if naive(k, a, key, headers)}
        assert set(self.exchange.match(key, PlainHeader(headers))) == expected

    @invariant()
    def lists_agree(self) -> None:
        listed = [(b.destination, b.key, b.arguments) for b in self.exchange.bindings()]
        assert listed == self.model
        assert self.exchange.binding_count == len(self.model)
        for place in PLACES:
            own = [each for each in self.model if each[0] is place]
            assert self.exchange.is_bound_to(place) is bool(own)


class DirectBindings(Bindings):
    type_name = "direct"


class FanoutBindings(Bindings):
    type_name = "fanout"


class TopicBindings(Bindings):
    type_name = "topic"


class HeadersBindings(Bindings):
    type_name = "headers"


TestDirect = DirectBindings.TestCase
TestFanout = FanoutBindings.TestCase
TestTopic = TopicBindings.TestCase
TestHeaders = HeadersBindings.TestCase

UNFIXED_TYPES = {"headers", "x-random", "x-recent-history"}
NEEDED = {"x-delayed-message": {"x-delayed-type": "direct"}}
"""Arguments without which there is no such exchange."""
every_type = pytest.mark.parametrize(
    "type_name",
    sorted({*EXCHANGE_TYPES} - {"x-super-stream"}),  # it binds its own
)


class CountedPlace(Place):
    """A destination that counts how often anybody asks for its hash."""

    hashed = 0

    def __hash__(self) -> int:
        CountedPlace.hashed += 1
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


@every_type
def test_deleting_a_destination_costs_its_own_bindings_only(type_name: str) -> None:
    costs = Counter[int]()
    for others in (10, 1000):
        exchange = EXCHANGE_TYPES[type_name]("x", arguments=NEEDED.get(type_name))
        for number in range(others):
            exchange.bind(CountedPlace("other"), f"{number + 1}", {"n": number})
        place = CountedPlace("mine")
        exchange.bind(place, "7", {"n": -1})
        before = CountedPlace.hashed
        assert len(exchange.unbind_destination(place)) == 1
        costs[others] = CountedPlace.hashed - before
    assert costs[10] == costs[1000] > 0


@every_type
def test_nothing_stays_behind(type_name: str) -> None:
    exchange = EXCHANGE_TYPES[type_name]("x", arguments=NEEDED.get(type_name))
    for number in range(20):
        key = f"{number + 1}"
        exchange.bind(PLACES[number % 3], key, {"n": number, "m": None})
    for place in PLACES:
        exchange.unbind_destination(place)
    assert list(exchange.bindings()) == []
    assert list(exchange.match("1", PlainHeader({"n": 0, "m": 1}))) == []


@every_type
def test_properties_are_as_declared(type_name: str) -> None:
    arguments = {**NEEDED.get(type_name, {}), "alternate-exchange": "o", "mine": 1}
    exchange = EXCHANGE_TYPES[type_name](
        "x", durable=True, auto_delete=True, internal=True, arguments=arguments
    )
    assert (exchange.name, exchange.type, exchange.kind) == ("x", type_name, "exchange")
    assert exchange.durable
    assert exchange.auto_delete
    assert exchange.internal
    assert exchange.alternate == "o"
    assert exchange.arguments == arguments
    assert exchange.has_fixed_routes is (type_name not in UNFIXED_TYPES)
    assert exchange.kept_messages() == ()


def test_an_exchange_without_arguments_has_no_alternate() -> None:
    exchange = EXCHANGE_TYPES["direct"]("x")
    assert exchange.alternate is None
    assert exchange.arguments == {}


def test_a_binding_keeps_its_own_arguments() -> None:
    arguments: dict[str, object] = {"a": 1}
    exchange = EXCHANGE_TYPES["direct"]("x")
    exchange.bind(PLACES[0], "k", arguments)
    arguments["a"] = 2
    assert exchange.unbind(PLACES[0], "k", {"a": 1})


def test_exchanges_can_be_bound_to_exchanges() -> None:
    source: Exchange = EXCHANGE_TYPES["fanout"]("source")
    target: Exchange = EXCHANGE_TYPES["fanout"]("target")
    source.bind(target, "", {})
    assert list(source.match("", NO_HEADERS)) == [target]


def test_two_bindings_that_differ_in_arguments_are_one_target() -> None:
    exchange = EXCHANGE_TYPES["direct"]("x")
    exchange.bind(PLACES[0], "k", {"a": 1})
    exchange.bind(PLACES[0], "k", {"a": 2})
    assert list(exchange.match("k", NO_HEADERS)) == [PLACES[0]]
    exchange.unbind(PLACES[0], "k", {"a": 1})
    assert list(exchange.match("k", NO_HEADERS)) == [PLACES[0]]
