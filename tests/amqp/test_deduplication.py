"""Unique messages, as clients see them: confirms, returns, and refused arguments."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from tests.pairs import RawClient, World
from warren.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicGet,
    BasicGetEmpty,
    BasicNack,
    BasicReturn,
    ChannelClose,
    ConfirmSelect,
    ExchangeBind,
    ExchangeDeclare,
    ExchangeDeclareOk,
    QueueBind,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueuePurge,
    TxCommit,
    TxCommitOk,
    TxSelect,
)
from warren.wire.table import ByteArray
from warren_broker.core.limits import Limits

if TYPE_CHECKING:
    from warren.wire.methods import Method
    from warren.wire.table import Table

PLUGIN = "x-message-deduplication"
ASKED = {"x-message-deduplication": True}
SIZE_TEXT = (
    "PRECONDITION_FAILED - Missing or invalid argument,"
    " 'x-cache-size' must be an integer greater than 0"
)
TTL_TEXT = (
    "PRECONDITION_FAILED - Invalid argument,"
    " 'x-cache-ttl' must be an integer greater than 0"
)


def prefix(key: str) -> str:
    return f"PRECONDITION_FAILED - invalid arg '{key}' for exchange 'x' in vhost '/': "


def publisher(
    exchange: Table | None = None, queue: Table | None = None, type_name: str = "fanout"
) -> RawClient:
    """A client in confirm mode, with the exchange `x` bound to the queue `q`."""
    client = World().open()
    client.call(
        ExchangeDeclare(exchange="x", type=type_name, arguments=exchange or {}),
        QueueDeclare(queue="q", arguments=queue or {}),
        QueueBind(queue="q", exchange="x"),
        ConfirmSelect(),
    )
    return client


def told(
    client: RawClient,
    name: object,
    body: bytes = b"",
    *,
    mandatory: bool = False,
    exchange: str = "x",
) -> list[Method]:
    """What a publisher hears of its message."""
    client.publish(
        "q",
        body,
        exchange=exchange,
        mandatory=mandatory,
        headers={"x-deduplication-header": name},
    )
    return client.methods()


def got(client: RawClient) -> list[bytes]:
    """Empty the queue."""
    found = []
    while True:
        client.send(BasicGet(queue="q", no_ack=True))
        (arrival,) = client.arrivals()
        if isinstance(arrival.method, BasicGetEmpty):
            return found
        found.append(arrival.body)


# --- what publishers hear


@pytest.mark.parametrize("mandatory", [True, False])
@pytest.mark.parametrize("place", ["exchange", "queue"])
@pytest.mark.parametrize("mode", ["drop", "reject"])
def test_a_duplicate_is_acked_or_nacked_and_never_returned(
    mode: str, place: str, mandatory: bool
) -> None:
    arguments: Table = {"x-unique-mode": mode}
    client = publisher(**{place: arguments})
    assert told(client, "a", b"1", mandatory=mandatory) == [BasicAck(1)]
    answer = BasicAck(2) if mode == "drop" else BasicNack(2, False, False)
    assert told(client, "a", b"2", mandatory=mandatory) == [answer]
    assert told(client, "b", b"3", mandatory=mandatory) == [BasicAck(3)]
    assert got(client) == [b"1", b"3"]


def test_a_message_without_a_route_is_returned_each_time() -> None:
    client = World().open()
    client.call(
        ExchangeDeclare(exchange="x", type="fanout", arguments=ASKED), ConfirmSelect()
    )
    for number in (1, 2):
        returned, confirmed = told(client, "a", mandatory=True)
        assert isinstance(returned, BasicReturn)
        assert returned.reply_code == 312
        assert confirmed == BasicAck(number)


def test_a_duplicate_behind_a_binding_is_not_returned_either() -> None:
    client = publisher(ASKED)
    client.call(
        ExchangeDeclare(exchange="first", type="fanout"),
        ExchangeBind(destination="x", source="first"),
    )
    assert told(client, "a", exchange="first") == [BasicAck(1)]
    assert told(client, "a", exchange="first", mandatory=True) == [BasicAck(2)]


def test_the_type_of_the_plugin_is_a_fanout() -> None:
    client = publisher({"x-cache-size": 2, "x-cache-ttl": 1000}, type_name=PLUGIN)
    for number, name in enumerate(("a", "b", "a", "c", "a"), 1):
        assert told(client, name, name.encode()) == [BasicAck(number)]
    assert got(client) == [b"a", b"b", b"c", b"a"]
    client.world.advance(1.0)
    told(client, "a", b"late")
    assert got(client) == [b"late"]


def test_ids_of_any_type_travel() -> None:
    client = publisher(ASKED)
    names = ["1", 1, True, ByteArray(b"1"), 2**40, 1.0, [1], {"a": 1}, "x" * 5000]
    for name in (*names, *names):
        told(client, name)
    assert len(got(client)) == len(names) - 1  # text is its bytes


def test_a_transaction_publishes_a_message_once() -> None:
    client = World().open()
    client.call(
        ExchangeDeclare(exchange="x", type="fanout", arguments=ASKED),
        QueueDeclare(queue="q"),
        QueueBind(queue="q", exchange="x"),
        TxSelect(),
    )
    assert told(client, "a", b"1") == []
    assert told(client, "a", b"2") == []
    assert client.call(TxCommit()) == [TxCommitOk()]
    assert got(client) == [b"1"]


def test_a_refused_duplicate_fails_a_transaction() -> None:
    client = World().open()
    client.call(
        QueueDeclare(queue="q", arguments={"x-unique-mode": "reject"}), TxSelect()
    )
    told(client, "a", exchange="")
    told(client, "a", exchange="")
    closed = client.ask(TxCommit())
    assert isinstance(closed, ChannelClose)
    assert (closed.reply_code, closed.reply_text) == (
        406,
        "PRECONDITION_FAILED - partial tx completion",
    )


# --- until-ack and replace


def test_until_ack_is_what_a_queue_does_by_default() -> None:
    client = publisher(queue=ASKED)
    client.call(BasicConsume(queue="q", consumer_tag="c"))
    told(client, "a", b"1")
    assert told(client, "a", b"2") == [BasicAck(2)]
    client.send(BasicNack(1, False, True))
    assert client.bodies() == [b"1"]  # it is no duplicate of itself
    assert told(client, "a", b"3") == [BasicAck(3)]
    client.send(BasicAck(2))
    client.publish("q", b"4", headers={"x-deduplication-header": "a"})
    assert client.bodies() == [b"4"]


def test_the_last_value_wins() -> None:
    client = publisher(queue={"x-unique-mode": "replace"})
    for name, body in (("a", b"1"), ("b", b"2"), ("a", b"3")):
        told(client, name, body)
    assert client.ask(QueueDeclare(queue="q", passive=True)) == QueueDeclareOk("q", 2)
    assert got(client) == [b"3", b"2"]


# --- arguments


@pytest.mark.parametrize("type_name", ["direct", PLUGIN])
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        *(({"x-cache-size": bad}, SIZE_TEXT) for bad in (0, -1, True, "10", 1.5, None)),
        *(
            ({"x-cache-size": 1, "x-cache-ttl": bad}, TTL_TEXT)
            for bad in (0, -1, True, "10", 1.5, None, 315_360_000_001)
        ),
        (
            {"x-cache-size": 1_000_001},
            prefix("x-cache-size") + "{max_value_exceeded,1000001}",
        ),
        (
            {"x-message-deduplication": "true"},
            prefix("x-message-deduplication") + "{unacceptable_type,longstr}",
        ),
        (
            {"x-unique-mode": "replace"},
            prefix("x-unique-mode") + "\"'replace' is for queues only\"",
        ),
        (
            {"x-unique-mode": "until-ack"},
            prefix("x-unique-mode") + "\"'until-ack' is for queues only\"",
        ),
        (
            {"x-unique-mode": "once"},
            prefix("x-unique-mode")
            + "\"'once' is none of drop, reject, replace, until-ack\"",
        ),
        (
            {"x-unique-mode": 1},
            prefix("x-unique-mode") + "{unacceptable_type,signedint}",
        ),
        (
            {"x-unique-mode": "drop", "x-message-deduplication": False},
            prefix("x-unique-mode") + '"x-message-deduplication is false"',
        ),
    ],
)
def test_arguments_that_cannot_be(type_name: str, arguments: Table, text: str) -> None:
    client = World().open()
    asked = ExchangeDeclare(exchange="x", type=type_name, arguments=arguments)
    closed = client.ask(asked)
    assert isinstance(closed, ChannelClose)
    assert (closed.reply_code, closed.reply_text) == (406, text)
    assert "x" not in client.world.broker.vhosts["/"].exchanges


def test_the_type_of_the_plugin_must_know_its_size() -> None:
    client = World().open()
    closed = client.ask(ExchangeDeclare(exchange="x", type=PLUGIN, arguments=ASKED))
    assert isinstance(closed, ChannelClose)
    assert (closed.reply_code, closed.reply_text) == (406, SIZE_TEXT)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("x-cache-size", 20, "received '20' but current is '10'"),
        ("x-cache-ttl", 20, "received '20' but current is '10'"),
        ("x-unique-mode", "reject", "received 'reject' but current is 'drop'"),
        ("x-message-deduplication", False, "received 'false' but current is 'true'"),
    ],
)
def test_an_exchange_cannot_be_declared_otherwise(
    key: str, value: object, text: str
) -> None:
    client = World().open()
    arguments: Table = {
        **ASKED,
        "x-cache-size": 10,
        "x-cache-ttl": 10,
        "x-unique-mode": "drop",
    }
    for _ in range(2):
        declare = ExchangeDeclare(exchange="x", type="direct", arguments=arguments)
        assert client.ask(declare) == ExchangeDeclareOk()
    changed: Table = {**arguments, key: value}  # type: ignore[dict-item]
    closed = client.ask(ExchangeDeclare(exchange="x", type="direct", arguments=changed))
    assert isinstance(closed, ChannelClose)
    assert (closed.reply_code, closed.reply_text) == (
        406,
        f"PRECONDITION_FAILED - inequivalent arg '{key}' for exchange 'x'"
        f" in vhost '/': {text}",
    )


def test_not_to_ask_is_to_ask_not_to() -> None:
    client = World().open()
    for arguments in ({}, {"x-message-deduplication": False}, {}):
        for method in (
            ExchangeDeclare(exchange="x", type="direct", arguments=arguments),
            QueueDeclare(queue="q", arguments=arguments),
        ):
            assert not isinstance(client.ask(method), ChannelClose)


# --- bounds


def test_ids_are_bounded_over_all_exchanges_and_queues() -> None:
    world = World(Limits(unique_ids_max=50))
    client = world.open()
    for name in ("x", "y"):
        client.call(
            ExchangeDeclare(exchange=name, type="fanout", arguments=ASKED),
            QueueDeclare(queue=name, arguments={"x-unique-mode": "drop"}),
            QueueBind(queue=name, exchange=name),
        )
    for number in range(100):
        told(client, number)
        told(client, number, exchange="y")
    budget = world.broker.vhosts["/"].surroundings.id_budget
    assert budget.ids_used == 50


@pytest.mark.parametrize("mode", ["drop", "reject", "replace", "until-ack"])
def test_nothing_is_left_for_the_collector(mode: str) -> None:
    world = World()
    client = world.open()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        client.call(
            ExchangeDeclare(exchange="x", type="fanout", arguments=ASKED),
            QueueDeclare(queue="q", arguments={"x-unique-mode": mode}),
            QueueBind(queue="q", exchange="x"),
            BasicConsume(queue="q", consumer_tag="c"),
        )
        for name in ("a", "b", "a"):
            told(client, name)
            told(client, name, exchange="")
        client.send(BasicAck(1))
        client.call(QueuePurge(queue="q"))
        told(client, "c")
        client.call(QueueDelete(queue="q"))
        del client
        world.close()
        assert gc.collect() == 0
    finally:
        gc.enable()
        gc.unfreeze()
