"""The default exchange: queues by their names, and nothing to bind."""

from __future__ import annotations

import pytest

from tests.core.exchange_support import NO_HEADERS, Place
from warren.errors import AccessRefused
from warren_broker.core.exchange import EXCHANGE_TYPES, DefaultExchange

REFUSAL = "operation not permitted on the default exchange"


def test_a_queue_is_reached_by_its_name_as_soon_as_it_exists() -> None:
    queues: dict[str, Place] = {}
    exchange = DefaultExchange(queues, {})
    assert list(exchange.match("q", NO_HEADERS)) == []
    queues["q"] = Place("q")
    assert list(exchange.match("q", NO_HEADERS)) == [queues["q"]]
    del queues["q"]
    assert list(exchange.match("q", NO_HEADERS)) == []


def test_a_direct_reply_is_reached_but_not_listed() -> None:
    replies = {"amq.rabbitmq.reply-to.1": Place("reply")}
    exchange = DefaultExchange({}, replies)
    assert list(exchange.match("amq.rabbitmq.reply-to.1", NO_HEADERS)) == [
        replies["amq.rabbitmq.reply-to.1"]
    ]
    assert exchange.binding_count == 0
    assert list(exchange.bindings()) == []


def test_its_bindings_are_the_queues() -> None:
    exchange = DefaultExchange({"q": Place("q"), "r": Place("r")}, {})
    listed = [(b.destination.name, b.key, b.arguments) for b in exchange.bindings()]
    assert listed == [("q", "q", {}), ("r", "r", {})]
    assert exchange.binding_count == 2


def test_it_refuses_to_be_bound_and_unbound() -> None:
    exchange = DefaultExchange({}, {})
    with pytest.raises(AccessRefused) as caught:
        exchange.bind(Place("q"), "k", {})
    assert caught.value.text == REFUSAL
    with pytest.raises(AccessRefused) as caught:
        exchange.unbind(Place("q"), "q", {})
    assert caught.value.text == REFUSAL


def test_a_deleted_queue_needs_no_unbinding() -> None:
    exchange = DefaultExchange({"q": Place("q")}, {})
    assert not exchange.unbind_destination(Place("q"))


def test_it_is_a_direct_exchange_that_cannot_be_declared() -> None:
    exchange = DefaultExchange({}, {})
    assert (exchange.name, exchange.type, exchange.durable) == ("", "direct", True)
    assert exchange.is_default
    assert DefaultExchange not in EXCHANGE_TYPES.values()
    assert not EXCHANGE_TYPES["direct"]("x").is_default
