"""Virtual hosts: names, bindings, and what goes when something else does."""

from __future__ import annotations

import pytest

from tests.core.support import (
    declare,
    declare_exchange,
    fingerprint,
    message,
    new_broker,
)
from warren.errors import AccessRefused, NotFound, PreconditionFailed
from warren_broker.core.exchange.predeclared import SYSTEM_EXCHANGES
from warren_broker.core.limits import Limits
from warren_broker.core.outcome import ACCEPTED, REFUSED, UNROUTED


def test_the_exchanges_that_are_there_from_the_start() -> None:
    _, session = new_broker()
    exchanges = session.vhost.exchanges
    assert {name: exchange.type for name, exchange in exchanges.items()} == {
        "": "direct",
        "amq.direct": "direct",
        "amq.fanout": "fanout",
        "amq.topic": "topic",
        "amq.headers": "headers",
        "amq.match": "headers",
        "amq.lease": "direct",
        "amq.rabbitmq.trace": "topic",
    }
    assert exchanges.keys() == SYSTEM_EXCHANGES
    assert all(exchange.durable for exchange in exchanges.values())
    assert [name for name, one in exchanges.items() if one.internal] == [
        "amq.rabbitmq.trace"
    ]


def test_the_outcomes_of_a_publish() -> None:
    _, session = new_broker()
    declare(session, "full", x_max_length=0, x_overflow="reject-publish")
    declare(session)
    publish = session.vhost.publish
    assert publish(message()) == ACCEPTED
    assert publish(message("full")) == REFUSED
    assert publish(message("nowhere")) == UNROUTED
    with pytest.raises(NotFound) as caught:
        publish(message(exchange="none"))
    assert caught.value.text == "no exchange 'none' in vhost '/'"
    with pytest.raises(AccessRefused) as refused:
        publish(message(exchange="amq.rabbitmq.trace"))
    assert refused.value.text == (
        "cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'"
    )


def test_a_name_is_made_for_a_queue_without_one() -> None:
    _, session = new_broker()
    names = {declare(session, "").name for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith("amq.gen-") and len(name) == 30 for name in names)


# What goes when something else does


def test_a_queue_takes_its_bindings_along() -> None:
    _, session = new_broker()
    for key in "abc":
        declare(session)
        session.bind_queue("q", "amq.direct", key, {})
        session.bind_queue("q", "amq.topic", key, {"n": 1})
    assert session.vhost.binding_count == 6
    session.delete_queue("q", if_unused=False, if_empty=False)
    assert session.vhost.binding_count == 0
    assert session.vhost.exchanges["amq.direct"].binding_count == 0


def test_an_exchange_goes_with_its_last_binding_only_if_it_ever_had_one() -> None:
    _, session = new_broker()
    declare_exchange(session, auto_delete=True)
    declare(session)
    session.unbind_queue("q", "x", "none", {})
    for key in "ab":
        session.bind_queue("q", "x", key, {})
    session.unbind_queue("q", "x", "a", {})
    assert "x" in session.vhost.exchanges
    session.unbind_queue("q", "x", "b", {})
    assert "x" not in session.vhost.exchanges


def test_a_chain_of_auto_delete_exchanges_is_no_chain_of_calls() -> None:
    _, session = new_broker()
    count = 2000
    for number in range(count):
        declare_exchange(session, f"x{number}", "fanout", auto_delete=True)
        if number:
            session.bind_exchange(f"x{number - 1}", f"x{number}", "", {})
    declare(session)
    session.bind_queue("q", "x0", "", {})
    assert session.vhost.binding_count == count
    session.delete_queue("q", if_unused=False, if_empty=False)
    assert session.vhost.exchanges.keys() == SYSTEM_EXCHANGES
    assert session.vhost.binding_count == 0


def test_auto_delete_exchanges_in_a_ring_all_go() -> None:
    _, session = new_broker()
    for name in "abc":
        declare_exchange(session, name, "fanout", auto_delete=True)
    for source, target in ("ab", "bc", "ca", "aa"):
        session.bind_exchange(target, source, "", {})
    session.delete_exchange("b", if_unused=False)
    assert {"a", "c"} <= session.vhost.exchanges.keys(), "`a` is still bound to itself"
    session.unbind_exchange("a", "a", "", {})
    assert session.vhost.exchanges.keys() == SYSTEM_EXCHANGES
    assert session.vhost.binding_count == 0


def test_a_name_may_be_used_again_at_once() -> None:
    """Nothing of the old exchange or queue shows through."""
    _, session = new_broker()
    declare_exchange(session)
    declare(session)
    session.bind_queue("q", "x", "k", {})
    session.publish(message("k", exchange="x"))
    session.delete_exchange("x", if_unused=False)
    session.delete_queue("q", if_unused=False, if_empty=False)
    declare_exchange(session, "x", "fanout")
    queue = declare(session)
    assert session.publish(message("k", exchange="x")) == UNROUTED
    assert queue.backlog.count == 0


# Limits


def test_there_is_a_limit_on_everything() -> None:
    limits = Limits(queues_max=1, exchanges_max=9, bindings_max=1)
    broker, session = new_broker(limits)
    declare(session)
    declare_exchange(session)
    session.bind_queue("q", "x", "k", {})
    before = fingerprint(broker)
    for refused, text in (
        (
            lambda: declare(session, "p"),
            "cannot declare queue 'p': queue limit (1) in vhost '/' is reached",
        ),
        (
            lambda: declare_exchange(session, "y"),
            "cannot declare exchange 'y': exchange limit (9) in vhost '/' is reached",
        ),
        (
            lambda: session.bind_queue("q", "x", "l", {}),
            "binding limit (1) in vhost '/' is reached",
        ),
    ):
        with pytest.raises(PreconditionFailed) as caught:
            refused()
        assert caught.value.text == text
    assert fingerprint(broker) == before
    declare(session)  # what is there already is not refused
    declare_exchange(session)
    session.bind_queue("q", "x", "k", {})


def test_a_binding_has_so_many_arguments() -> None:
    _, session = new_broker(Limits(binding_arguments_max=2))
    declare(session)
    session.bind_queue("q", "amq.headers", "", {"a": 1, "b": 2})
    with pytest.raises(PreconditionFailed, match="at most 2 arguments"):
        session.bind_queue("q", "amq.headers", "", {"a": 1, "b": 2, "c": 3})
    assert session.vhost.binding_count == 1


def test_an_unknown_exchange_type_is_refused() -> None:
    broker, session = new_broker()
    before = fingerprint(broker)
    for kind in ("", "x-nothing"):
        with pytest.raises(PreconditionFailed) as caught:
            declare_exchange(session, "x", kind)
        assert caught.value.text == f"unknown exchange type '{kind}'"
    assert fingerprint(broker) == before
