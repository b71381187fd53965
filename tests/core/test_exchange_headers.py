"""The headers exchange: its modes, its equality, and what it does not try."""

from __future__ import annotations

import pytest

from tests.core.exchange_support import Place, PlainHeader
from warren.errors import PreconditionFailed
from warren_broker.core.exchange import HeadersExchange


def routes(arguments: dict[str, object], headers: dict[str, object]) -> bool:
    exchange = HeadersExchange("x")
    exchange.bind(Place("q"), "", arguments)
    return bool(exchange.match("", PlainHeader(headers)))


@pytest.mark.parametrize(
    ("arguments", "headers", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({"x-match": "all", "a": 1}, {"a": 1}, True),
        ({"x-match": "any", "a": 1, "b": 2}, {"b": 2}, True),
        ({"x-match": "any", "a": 1, "b": 2}, {"b": 1}, False),
        # no conditions
        ({}, {}, True),
        ({"x-match": "any"}, {"a": 1}, False),
        ({"x-match": "all-with-x"}, {}, True),
        ({"x-match": "any-with-x"}, {"x-match": "any-with-x"}, False),
        # keys that begin with x-
        ({"x-a": 1}, {}, True),
        ({"x-match": "all-with-x", "x-a": 1}, {}, False),
        ({"x-match": "all-with-x", "x-a": 1}, {"x-a": 1}, True),
        ({"x-match": "any", "x-a": 1}, {"x-a": 1}, False),
        ({"x-match": "any-with-x", "x-a": 1}, {"x-a": 1}, True),
        # void: the key is enough
        ({"a": None}, {"a": "whatever"}, True),
        ({"a": None}, {"a": None}, True),
        ({"a": None}, {"b": 1}, False),
        ({"a": 1}, {"a": None}, False),
        # values are equal within one type
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1.0}, False),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": "1"}, {"a": b"1"}, False),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}, True),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": True}]}, False),
    ],
)
def test_rules(
    arguments: dict[str, object], headers: dict[str, object], expected: bool
) -> None:
    assert routes(arguments, headers) is expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            "foo",
            'Invalid x-match field value "foo"; '
            "expected all, any, all-with-x, or any-with-x",
        ),
        (5, "Invalid x-match field type signedint (value 5); expected longstr"),
        (True, "Invalid x-match field type bool (value true); expected longstr"),
    ],
)
def test_an_unknown_mode_is_refused_and_changes_nothing(
    value: object, text: str
) -> None:
    exchange = HeadersExchange("x")
    with pytest.raises(PreconditionFailed) as caught:
        exchange.bind(Place("q"), "", {"x-match": value})
    assert caught.value.text == text
    assert exchange.binding_count == 0


class CountedHeader(PlainHeader):
    """A header that counts how often it is decoded."""

    count = 0

    def headers(self) -> dict[str, object]:
        self.count += 1
        return super().headers()


def test_headers_are_decoded_once_and_only_if_some_binding_asks() -> None:
    exchange = HeadersExchange("x")
    exchange.bind(Place("everything"), "", {})
    header = CountedHeader({"a": 1})
    exchange.match("", header)
    assert header.count == 0
    for number in range(5):
        exchange.bind(Place("q"), "", {"a": number})
    exchange.match("", header)
    assert header.count == 1


def test_a_binding_is_filed_where_it_is_least_crowded() -> None:
    """A thousand bindings share a condition; each is found by its other one."""
    exchange = HeadersExchange("x")
    for number in range(1000):
        exchange.bind(Place(str(number)), "", {"kind": "event", "tenant": number})
    found = exchange.match("", PlainHeader({"kind": "event", "tenant": 7}))
    assert [place.name for place in found] == ["7"]
    assert list(exchange.match("", PlainHeader({"kind": "event"}))) == []
