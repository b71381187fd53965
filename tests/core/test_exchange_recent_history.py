"""Recent history: newcomers are told, in order, and memory has an end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.support import (
    Channel,
    PlainHeader,
    bodies,
    declare,
    declare_exchange,
    fingerprint,
    message,
    new_broker,
)
from warren.errors import PreconditionFailed
from warren_broker.core.exchange import RecentHistoryExchange, Surroundings
from warren_broker.core.exchange.history import KEPT_COST_BYTES
from warren_broker.core.limits import Limits
from warren_broker.core.message import Message, Route
from warren_broker.core.session import Session

NO_STORE = "x-recent-history-no-store"
LENGTH = "x-recent-history-length"


def declare_history(
    session: Session, name: str = "x", length: int | None = None
) -> None:
    arguments = {} if length is None else {LENGTH: length}
    declare_exchange(session, name, "x-recent-history", arguments=arguments)


def publish(session: Session, *numbers: int, exchange: str = "x") -> None:
    for number in numbers:
        session.publish(message("k", exchange=exchange, body=b"%d" % number))


def told(session: Session, exchange: str = "x") -> list[int]:
    """What a queue gets that is bound now; it goes again."""
    queue = declare(session, "newcomer")
    session.bind_queue("newcomer", exchange, "", {})
    found = [int(body) for body in bodies(queue)]
    session.delete_queue("newcomer", if_unused=False, if_empty=False)
    return found


@given(
    length=st.one_of(st.none(), st.integers(1, 30)),
    stored=st.lists(st.sampled_from([True, False, None, 1, "true"]), max_size=40),
)
def test_a_newcomer_gets_the_last_messages_that_may_be_kept(
    length: int | None, stored: list[object]
) -> None:
    """Only `true` itself means that a message is not to be kept."""
    _, session = new_broker()
    declare_history(session, length=length)
    early = declare(session, "early")
    session.bind_queue("early", "x", "", {})
    for number, no_store in enumerate(stored):
        headers = {} if no_store is None else {NO_STORE: no_store}
        body = b"%d" % number
        session.publish(message("k", exchange="x", headers=headers, body=body))
    kept = [number for number, no_store in enumerate(stored) if no_store is not True]
    assert told(session) == kept[-(20 if length is None else length) :]
    assert bodies(early) == [b"%d" % number for number in range(len(stored))]


@given(
    budget=st.integers(1, 8 * KEPT_COST_BYTES),
    published=st.lists(
        st.tuples(st.sampled_from("xyz"), st.integers(0, 3 * KEPT_COST_BYTES)),
        max_size=30,
    ),
)
def test_the_oldest_of_all_gives_way_when_bytes_run_out(
    budget: int, published: list[tuple[str, int]]
) -> None:
    surroundings = Surroundings(history_max_bytes=budget)
    exchanges = {
        name: RecentHistoryExchange(
            name, arguments={LENGTH: 5}, surroundings=surroundings
        )
        for name in "xyz"
    }
    model: list[tuple[str, int]] = []
    for name, size in published:
        exchanges[name].on_message(message(exchange=name, body=b"b" * size))
        own = [each for each in model if each[0] == name]
        if len(own) == 5:
            model.remove(own[0])
        if size + KEPT_COST_BYTES <= budget:
            model.append((name, size))
        while cost(model) > budget:
            model.pop(0)
        assert surroundings.history_budget.bytes_used == cost(model) <= budget
    for name, exchange in exchanges.items():
        kept = [len(each.body) for each in exchange.kept_messages()]
        assert kept == [size for each, size in model if each == name]
        exchange.on_deleted()
        assert exchange.kept_messages() == ()
    assert surroundings.history_budget.bytes_used == 0


def cost(kept: list[tuple[str, int]]) -> int:
    return sum(size + KEPT_COST_BYTES for _, size in kept)


def test_routed_or_not_it_is_history() -> None:
    _, session = new_broker()
    declare_history(session)
    publish(session, 1, 2)
    assert told(session) == [1, 2]


def test_a_binding_that_is_there_tells_nothing_and_another_one_tells_again() -> None:
    _, session = new_broker()
    declare_history(session)
    publish(session, 1)
    queue = declare(session)
    session.bind_queue("q", "x", "", {})
    session.bind_queue("q", "x", "", {})
    assert bodies(queue) == [b"1"]
    session.bind_queue("q", "x", "another", {})
    assert bodies(queue) == [b"1", b"1"]


def test_a_consumer_that_waits_is_told_at_once() -> None:
    _, session = new_broker()
    declare_history(session)
    publish(session, 1, 2)
    declare(session)
    channel = Channel(session)
    channel.consume()
    session.bind_queue("q", "x", "", {})
    assert channel.bodies == [b"1", b"2"]


def test_a_message_is_what_it_was() -> None:
    _, session = new_broker()
    declare_history(session)
    session.publish(message("key", exchange="x", headers={"h": 1}, body=b"1"))
    queue = declare(session)
    session.bind_queue("q", "x", "", {})
    (entry,) = queue.backlog
    route = entry.message.route
    assert (route.exchange, route.routing_key) == ("x", "key")
    assert entry.message.header.headers() == {"h": 1}
    assert not entry.redelivered


def test_an_exchange_is_told_too_and_routes_by_its_own_rule() -> None:
    _, session = new_broker()
    declare_history(session)
    declare_exchange(session, "topics", "topic")
    queue = declare(session)
    session.bind_queue("q", "topics", "a.*", {})
    for key in ("a.1", "b.1", "a.2"):
        session.publish(message(key, exchange="x", body=key.encode()))
    session.bind_exchange("topics", "x", "", {})
    assert bodies(queue) == [b"a.1", b"a.2"]


def test_a_history_passes_on_to_the_next() -> None:
    _, session = new_broker()
    declare_history(session)
    declare_history(session, "y", 2)
    publish(session, 1, 2, 3)
    session.bind_exchange("y", "x", "", {})
    assert told(session, "y") == [2, 3]


def test_histories_in_a_circle_come_to_an_end() -> None:
    _, session = new_broker()
    declare_history(session, "x", 3)
    declare_history(session, "y", 3)
    session.bind_exchange("x", "y", "", {})
    publish(session, 1, 2, 3)
    session.bind_exchange("y", "x", "", {})
    assert told(session, "y") == [1, 2, 3]
    assert told(session, "x") == [1, 2, 3]


def test_no_message_passes_unseen_behind_fixed_routes() -> None:
    _, session = new_broker()
    declare_exchange(session, "front", "direct")
    declare_history(session)
    session.bind_exchange("x", "front", "k", {})
    publish(session, 1, 2, 3, exchange="front")
    assert told(session) == [1, 2, 3]


def test_further_keys_do_not_make_a_message_two() -> None:
    _, session = new_broker()
    declare_history(session)
    headers = {"CC": ["a", "b"]}
    session.publish(message("k", exchange="x", headers=headers, body=b"1"))
    assert told(session) == [1]


def test_what_a_queue_gives_up_is_history_as_well() -> None:
    _, session = new_broker()
    declare_history(session)
    declare(session, x_max_length=0, x_dead_letter_exchange="x")
    session.publish(message("q", body=b"1"))
    assert told(session) == [1]


def test_a_deleted_exchange_lets_go_of_its_history() -> None:
    _, session = new_broker()
    budget = session.vhost.surroundings.history_budget
    declare_history(session)
    publish(session, 1)
    assert budget.bytes_used > 0
    session.delete_exchange("x", if_unused=False)
    assert budget.bytes_used == 0
    declare_history(session)
    assert told(session) == []


def test_an_exchange_that_deletes_itself_does_so_too() -> None:
    _, session = new_broker()
    declare_exchange(session, "x", "x-recent-history", auto_delete=True)
    publish(session, 1)
    assert told(session) == [1]
    assert "x" not in session.vhost.exchanges
    assert session.vhost.surroundings.history_budget.bytes_used == 0


def test_the_budget_is_a_limit_of_one_virtual_host() -> None:
    broker, session = new_broker(Limits(history_max_bytes=3 * KEPT_COST_BYTES))
    declare_history(session)
    publish(session, 1, 2, 3)
    assert told(session) == [2, 3]  # each is a byte larger than a third
    other = Session(broker.add_vhost("other"), session.user)
    other.vhost.add_exchange(
        "x",
        "x-recent-history",
        durable=False,
        auto_delete=False,
        internal=False,
        arguments={},
    )
    other.vhost.publish(message(exchange="x", body=b"4"))
    assert told(session) == [2, 3]


def test_headers_and_routes_count_too() -> None:
    surroundings = Surroundings(history_max_bytes=10 * KEPT_COST_BYTES)
    exchange = RecentHistoryExchange("x", surroundings=surroundings)
    large = b"b" * 10 * KEPT_COST_BYTES
    for route, header in ((b"", large), (large, b"")):
        parts = Route("x", "k", route), PlainHeader(payload=header), b""
        exchange.on_message(Message(*parts))
        assert exchange.kept_messages() == ()


POSITIVE = f"'{LENGTH}' must be a positive integer"


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (0, "0"),
        (-30, "-30"),
        ("30", '<<"30">>'),
        ("", "<<>>"),
        (True, "true"),
        (1.5, "1.5"),
        (None, "undefined"),
    ],
)
def test_a_length_that_cannot_be(value: object, printed: str) -> None:
    broker, session = new_broker()
    before = fingerprint(broker)
    arguments = {LENGTH: value}
    with pytest.raises(PreconditionFailed) as caught:
        declare_exchange(session, "x", "x-recent-history", arguments=arguments)
    assert caught.value.text == f"Invalid argument {printed}, {POSITIVE}"
    assert fingerprint(broker) == before
    declare_exchange(session, "x", "fanout", arguments=arguments)


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        ({LENGTH: 5}, {LENGTH: 6}, "received '6' but current is '5'"),
        (
            {LENGTH: 5},
            {},
            "received none but current is the value '5' of type 'signedint'",
        ),
        (
            {},
            {LENGTH: 5},
            "received the value '5' of type 'signedint' but current is none",
        ),
        ({}, {LENGTH: 20}, ""),
        ({LENGTH: 20}, {}, ""),
        ({LENGTH: 5}, {LENGTH: 5}, ""),
    ],
)
def test_declaring_again_means_the_same_length(
    first: dict[str, object], second: dict[str, object], difference: str
) -> None:
    _, session = new_broker()
    declare_exchange(session, "x", "x-recent-history", arguments=first)
    text = ""
    try:
        declare_exchange(session, "x", "x-recent-history", arguments=second)
    except PreconditionFailed as error:
        text = error.text
    subject = f"inequivalent arg '{LENGTH}' for exchange 'x' in vhost '/': "
    assert text == (subject + difference if difference else "")
