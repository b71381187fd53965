"""Routing: every way through the exchanges, each exchange once, and what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.support import (
    bodies,
    declare,
    declare_exchange,
    message,
    new_broker,
)
from tests.model_parts import Binding, Exchange, Message
from tests.model_topology import Topology
from tests.strategies import CONDITIONS, HEADERS, KEYS, PATTERNS, TYPES
from warren_broker.core.limits import Limits
from warren_broker.core.outcome import ACCEPTED, UNROUTED
from warren_broker.core.routing import CACHE_MAX

if TYPE_CHECKING:
    from warren_broker.core.session import Session

NAMES = ["x0", "x1", "x2"]
QUEUES = ["q0", "q1"]
exchanges = st.lists(
    st.tuples(st.sampled_from(TYPES), st.sampled_from([None, "", "x1", "x2"])),
    min_size=3,
    max_size=3,
)
bindings = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(QUEUES + NAMES),
        st.sampled_from(PATTERNS),
        st.sampled_from(CONDITIONS),
    ),
    max_size=10,
)
publishes = st.lists(
    st.tuples(
        st.sampled_from(["", *NAMES]), st.sampled_from(KEYS), st.sampled_from(HEADERS)
    ),
    min_size=1,
    max_size=10,
)


@given(exchanges, bindings, publishes)
def test_a_message_goes_where_the_model_says_the_first_and_every_other_time(
    exchanges: list[tuple[str, str | None]],
    bindings: list[tuple[str, str, str, dict[str, object]]],
    publishes: list[tuple[str, str, dict[str, object]]],
) -> None:
    _, session = new_broker()
    model = Topology()
    queues = {name: declare(session, name) for name in QUEUES}
    model.queues = dict.fromkeys(QUEUES)
    for name, (kind, alternate) in zip(NAMES, exchanges, strict=True):
        arguments = {} if alternate is None else {"alternate-exchange": alternate}
        declare_exchange(session, name, kind, arguments=arguments)
        model.declare_exchange(Exchange(name, kind, alternate=alternate))
    for source, target, key, arguments in bindings:
        kind = "queue" if target in queues else "exchange"
        getattr(session, f"bind_{kind}")(target, source, key, arguments)
        model.exchanges[source].bindings.append(Binding(kind, target, key, arguments))
    for exchange, key, headers in publishes * 2:
        outcome = session.publish(message(key, exchange=exchange, headers=headers))
        expected = model.route(Message(0, exchange, key, headers=headers))
        assert {name for name, queue in queues.items() if bodies(queue)} == expected
        assert all(queue.backlog.count <= 1 for queue in queues.values())
        assert outcome == (ACCEPTED if expected else UNROUTED)
        for name in queues:
            session.purge_queue(name)


@pytest.mark.parametrize("kind", ["fanout", "topic", "direct"])
def test_a_clique_of_exchanges_is_walked_once(kind: str) -> None:
    """Sixty exchanges, each bound to all: without a memory the ways are endless."""
    broker, session = new_broker()
    names = [f"x{number}" for number in range(60)]
    for name in names:
        declare_exchange(session, name, kind)
    queue = declare(session)
    for source in names:
        for target in names:
            session.bind_exchange(target, source, "k", {})
        session.bind_queue("q", source, "k", {})
    session.publish(message("k", exchange="x7"))
    assert queue.backlog.count == 1
    assert broker.work == 1


def test_a_chain_of_exchanges_is_no_chain_of_calls() -> None:
    _, session = new_broker(Limits(exchanges_per_route_max=5000))
    for number in range(3000):
        declare_exchange(session, f"x{number}", "fanout")
        if number:
            session.bind_exchange(f"x{number}", f"x{number - 1}", "", {})
    queue = declare(session)
    session.bind_queue("q", "x2999", "", {})
    session.publish(message("", exchange="x0"))
    assert queue.backlog.count == 1


def test_a_chain_of_alternates_is_walked_to_the_first_that_matches() -> None:
    _, session = new_broker()
    for number in range(50):
        arguments = {"alternate-exchange": f"x{number + 1}"}
        declare_exchange(session, f"x{number}", arguments=arguments)
    near, far = declare(session, "near"), declare(session, "far")
    session.bind_queue("far", "x49", "k", {})
    session.publish(message("k", exchange="x0"))
    session.bind_queue("near", "x20", "k", {})
    session.publish(message("k", exchange="x0"))
    assert (near.backlog.count, far.backlog.count) == (1, 1)


def test_a_ring_of_alternates_matches_nothing() -> None:
    _, session = new_broker()
    for name, other in (("a", "b"), ("b", "a")):
        declare_exchange(session, name, arguments={"alternate-exchange": other})
    assert session.publish(message("k", exchange="a")) == UNROUTED


def test_a_route_has_an_end() -> None:
    """What lies behind more exchanges than a message may visit is not reached."""
    _, session = new_broker(Limits(exchanges_per_route_max=3))
    for number in range(6):
        declare_exchange(session, f"x{number}", "fanout")
        if number:
            session.bind_exchange(f"x{number}", f"x{number - 1}", "", {})
    near, far = declare(session, "near"), declare(session, "far")
    session.bind_queue("near", "x1", "", {})
    session.bind_queue("far", "x5", "", {})
    session.publish(message("", exchange="x0"))
    assert (near.backlog.count, far.backlog.count) == (1, 0)


def publish_and_count(session: Session, exchange: str = "x", key: str = "k") -> int:
    """How many queues got a message."""
    before = sum(queue.sequence for queue in session.vhost.queues.values())
    session.publish(message(key, exchange=exchange))
    return sum(queue.sequence for queue in session.vhost.queues.values()) - before


def test_what_was_remembered_is_forgotten_with_each_change() -> None:
    _, session = new_broker()
    declare_exchange(session)
    for name in ("a", "b"):
        declare(session, name)
    assert publish_and_count(session) == 0
    session.bind_queue("a", "x", "k", {})
    assert publish_and_count(session) == 1
    session.bind_queue("b", "x", "k", {})
    assert publish_and_count(session) == 2
    session.delete_queue("a", if_unused=False, if_empty=False)
    assert publish_and_count(session) == 1
    session.unbind_queue("b", "x", "k", {})
    assert publish_and_count(session) == 0
    declare_exchange(session, "y", "fanout")
    session.bind_queue("b", "y", "", {})
    session.bind_exchange("y", "x", "k", {})
    assert publish_and_count(session) == 1
    session.delete_exchange("y", if_unused=False)
    assert publish_and_count(session) == 0


def test_an_alternate_that_is_declared_later_is_seen() -> None:
    _, session = new_broker()
    declare_exchange(session, arguments={"alternate-exchange": "later"})
    declare(session)
    assert publish_and_count(session) == 0
    declare_exchange(session, "later", "fanout")
    session.bind_queue("q", "later", "", {})
    assert publish_and_count(session) == 1


def test_the_default_exchange_as_alternate_knows_queues_that_come_later() -> None:
    _, session = new_broker()
    declare_exchange(session, arguments={"alternate-exchange": ""})
    assert publish_and_count(session) == 0
    declare(session, "k")
    assert publish_and_count(session) == 1


def test_keys_without_end_are_not_all_remembered() -> None:
    _, session = new_broker()
    declare_exchange(session)
    exchange = session.vhost.exchanges["x"]
    for number in range(CACHE_MAX + 10):
        session.publish(message(str(number), exchange="x"))
    assert len(exchange.routes) == 10


@pytest.mark.parametrize("exchange", ["", "x"])
def test_many_keys_make_one_copy_in_each_queue(exchange: str) -> None:
    _, session = new_broker()
    declare_exchange(session)
    queues = [declare(session, name) for name in "abc"]
    for name in "abc":
        session.bind_queue(name, "x", name, {})
    keys = {"CC": ["b", "a", "none"], "BCC": ["b"]}
    session.publish(message("a", exchange=exchange, headers=keys))
    session.publish(message("a", exchange=exchange))
    assert [queue.backlog.count for queue in queues] == [2, 1, 0]
