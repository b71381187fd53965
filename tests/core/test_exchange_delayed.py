"""Delayed exchanges route as the type does that they name, and delays are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.support import (
    at,
    bodies,
    declare,
    declare_exchange,
    fingerprint,
    message,
    new_broker,
)
from warren.errors import PreconditionFailed
from warren_broker.core.exchange import EXCHANGE_TYPES
from warren_broker.core.exchange.delayed import DELAYED_MESSAGE
from warren_broker.core.exchange.types import ROUTING_TYPES
from warren_broker.core.outcome import ACCEPTED, UNROUTED

if TYPE_CHECKING:
    from warren_broker.core.session import Session

QUEUES = ["q0", "q1", "q2"]
MISSING = "Invalid argument, 'x-delayed-type' must be an existing exchange type"

words = st.sampled_from(["1", "2", "a.b", "a.c", "a.*", "#", ""])
bindings = st.lists(
    st.tuples(
        st.sampled_from(QUEUES), words, st.sampled_from([{}, {"h": 1}, {"h": "x"}])
    ),
    max_size=6,
)
publishes = st.lists(
    st.tuples(words, st.sampled_from([{}, {"h": 1}, {"h": "x"}])), max_size=6
)


def delayed(
    session: Session, rule: str = "direct", name: str = "x", **arguments: object
) -> None:
    named = {key.replace("_", "-"): value for key, value in arguments.items()}
    declare_exchange(
        session, name, DELAYED_MESSAGE, arguments={"x-delayed-type": rule, **named}
    )


@pytest.mark.parametrize("rule", sorted(ROUTING_TYPES))
@given(bound=bindings, unbound=bindings, published=publishes)
def test_routes_as_its_rule_does(
    rule: str,
    bound: list[tuple[str, str, dict[str, object]]],
    unbound: list[tuple[str, str, dict[str, object]]],
    published: list[tuple[str, dict[str, object]]],
) -> None:
    found = []
    for is_delayed in (True, False):
        _, session = new_broker()
        session.vhost.surroundings.random.seed(1)
        if is_delayed:
            delayed(session, rule)
        else:
            declare_exchange(session, "x", rule)
        queues = [declare(session, name) for name in QUEUES]
        log: list[object] = []
        for name, key, arguments in bound:
            try:
                session.bind_queue(name, "x", key, arguments)
            except PreconditionFailed as error:
                log.append(error.text)
        for number, (key, headers) in enumerate(published):
            body = b"%d" % number
            log.append(
                session.publish(
                    message(
                        key, exchange="x", body=body, headers={"CC": ["2"], **headers}
                    )
                )
            )
        for name, key, arguments in unbound:
            session.unbind_queue(name, "x", key, arguments)
        for key, headers in published:
            log.append(session.publish(message(key, exchange="x", headers=headers)))
        session.bind_queue("q0", "x", "1", {})  # may bring what was kept
        log += [bodies(queue) for queue in queues]
        log.append(session.vhost.binding_count)
        found.append(log)
    assert found[0] == found[1]


@pytest.mark.parametrize("rule", sorted(ROUTING_TYPES))
def test_delays_as_the_plugin_does(rule: str) -> None:
    broker, session = new_broker()
    queue = declare(session)
    delayed(session, rule)
    session.bind_queue("q", "x", "1", {})
    outcomes = [
        session.publish(
            message("1", exchange="x", body=body, headers={"x-delay": delay})
        )
        for delay, body in ((2000, b"2"), (1000, b"1"), (0, b"0"), (-5, b"00"))
    ]
    assert outcomes == [ACCEPTED] * 4
    assert bodies(queue) == [b"0", b"00"]
    at(broker, 1)
    assert bodies(queue) == [b"0", b"00", b"1"]
    at(broker, 2)
    assert bodies(queue) == [b"0", b"00", b"1", b"2"]
    *_, last = queue.backlog
    assert last.message.header.headers() == {"x-delay": -2000}


def test_a_rule_may_have_arguments() -> None:
    broker, session = new_broker()
    delayed(session, "x-recent-history", x_recent_history_length=1)
    for number in range(3):
        session.publish(
            message(exchange="x", body=b"%d" % number, headers={"x-delay": 1})
        )
    queue = declare(session)
    at(broker, 1)
    session.bind_queue("q", "x", "", {})
    assert bodies(queue) == [b"2"]
    session.delete_exchange("x", if_unused=False)
    assert session.vhost.surroundings.history_budget.bytes_used == 0


def test_it_is_seen_through_by_exchanges_bound_to_it() -> None:
    _, session = new_broker()
    queue = declare(session)
    delayed(session, "topic")
    declare_exchange(session, "y", "fanout")
    session.bind_exchange("y", "x", "a.*", {})
    session.bind_exchange("x", "x", "#", {})  # in a circle
    session.bind_queue("q", "y", "", {})
    assert session.publish(message("a.b", exchange="x")) == ACCEPTED
    assert session.publish(message("b", exchange="x")) == UNROUTED
    assert queue.backlog.count == 1
    session.delete_exchange("y", if_unused=False)
    assert session.publish(message("a.b", exchange="x")) == UNROUTED


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, MISSING),
        ({"x-delayed-type": None}, MISSING),
        ({"x-delayed-type": 1}, MISSING),
        ({"x-delayed-type": b"direct"}, MISSING),
        ({"x-delayed-type": ""}, "unknown exchange type ''"),
        ({"x-delayed-type": "no"}, "unknown exchange type 'no'"),
        (
            {"x-delayed-type": "x-delayed-message"},
            "unknown exchange type 'x-delayed-message'",
        ),
        (
            {"x-delayed-type": "x-consistent-hash", "hash-property": "no"},
            "Unsupported property: no",
        ),
        (
            {"x-delayed-type": "x-recent-history", "x-recent-history-length": 0},
            "Invalid argument 0, 'x-recent-history-length' must be a positive integer",
        ),
    ],
)
def test_arguments_that_cannot_be(arguments: dict[str, object], text: str) -> None:
    broker, session = new_broker()
    before = fingerprint(broker)
    with pytest.raises(PreconditionFailed) as caught:
        declare_exchange(session, "x", DELAYED_MESSAGE, arguments=arguments)
    assert caught.value.text == text
    assert fingerprint(broker) == before


def test_bindings_must_suit_the_rule() -> None:
    broker, session = new_broker()
    declare(session)
    delayed(session, "x-consistent-hash")
    before = fingerprint(broker)
    with pytest.raises(PreconditionFailed, match="must be an integer"):
        session.bind_queue("q", "x", "heavy", {})
    assert fingerprint(broker) == before


@pytest.mark.parametrize(
    ("rule", "other", "key"),
    [
        ("direct", {"x-delayed-type": "fanout"}, "x-delayed-type"),
        ("direct", {}, "x-delayed-type"),
        (
            "x-consistent-hash",
            {"x-delayed-type": "x-consistent-hash", "hash-header": "h"},
            "hash-header",
        ),
    ],
)
def test_declared_again_otherwise(
    rule: str, other: dict[str, object], key: str
) -> None:
    _, session = new_broker()
    delayed(session, rule)
    delayed(session, rule)
    with pytest.raises(PreconditionFailed, match=f"inequivalent arg '{key}'"):
        declare_exchange(session, "x", DELAYED_MESSAGE, arguments=other)


def test_arguments_of_other_rules_do_not_count() -> None:
    _, session = new_broker()
    delayed(session, "direct", hash_header="h")
    delayed(session, "direct", hash_header="i")


def test_it_is_a_type_like_others() -> None:
    assert EXCHANGE_TYPES[DELAYED_MESSAGE].type == DELAYED_MESSAGE
    assert DELAYED_MESSAGE not in ROUTING_TYPES
