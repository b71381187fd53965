"""Leases are extended by publishing to `amq.lease`: any client can do that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.pairs import CAPABILITIES, RawClient, World
from warren.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicDeliver,
    BasicGet,
    BasicNack,
    BasicReturn,
    ChannelClose,
    ConfirmSelect,
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeUnbind,
    ExchangeUnbindOk,
    QueueBind,
    QueueDeclare,
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxSelect,
)
from warren_broker.amqp.reader import WORK_PER_TURN
from warren_broker.core.access import Access, Permissions
from warren_broker.core.limits import Limits

if TYPE_CHECKING:
    from warren.wire.methods import Method
    from warren.wire.table import Table
    from warren_broker.core.queue import Queue

SECONDS: Final = 10.0
TIMEOUT: Final[Table] = {"x-consumer-timeout": 10_000}
EXTENDED: Final = {"delivery-tag": 1, "ms": 60_000}
LEASE: Final = "amq.lease"


def holding(
    count: int = 1,
    *,
    world: World | None = None,
    arguments: Table | None = None,
) -> RawClient:
    """A client that got messages 1, 2 ... by basic.get, under these tags."""
    client = (world or World()).open(channels=(1, 2))
    client.call(QueueDeclare(queue="q", arguments=TIMEOUT | (arguments or {})))
    client.publish("q", *[b"%d" % number for number in range(1, count + 1)])
    client.call(*[BasicGet(queue="q")] * count)
    return client


def extend(
    client: RawClient,
    headers: object = EXTENDED,
    *,
    key: str = "extend",
    mandatory: bool = True,
    channel: int = 1,
) -> list[Method]:
    """Ask for more time; return what is answered."""
    properties = {} if headers is None else {"headers": headers}
    client.publish(
        key, b"", exchange=LEASE, mandatory=mandatory, channel=channel, **properties
    )
    return client.methods()


def queue_of(client: RawClient) -> Queue:
    return client.world.broker.vhosts["/"].queues["q"]


def returned(client: RawClient) -> list[bytes]:
    """What has gone back, by its body."""
    return sorted(entry.message.body for entry in queue_of(client).backlog)


NOT_HERE: Final = BasicReturn(312, "NO_ROUTE", LEASE, "extend")


class TestExtending:
    def test_gives_one_message_more_time(self) -> None:
        client = holding(2)
        assert extend(client) == []
        client.world.advance(SECONDS)
        assert returned(client) == [b"2"]
        client.world.advance(50.0 - 0.125)
        assert returned(client) == [b"2"]
        client.world.advance(0.125)
        assert returned(client) == [b"1", b"2"]
        assert queue_of(client).ack_timeout_count == 2

    def test_counts_from_now(self) -> None:
        client = holding()
        client.world.advance(9.0)
        extend(client, {"delivery-tag": 1, "ms": 5000})
        client.world.advance(5.0 - 0.125)
        assert returned(client) == []
        client.world.advance(0.125)
        assert returned(client) == [b"1"]

    def test_can_be_done_again_and_again(self) -> None:
        client = holding()
        for _ in range(20):
            client.world.advance(5.0)
            assert extend(client, {"delivery-tag": 1, "ms": 6000}) == []
        assert returned(client) == []
        assert client.call(BasicAck(1)) == []
        assert queue_of(client).unacked_count == 0

    def test_of_tag_0_is_of_all_that_the_channel_has(self) -> None:
        client = holding(3)
        client.call(BasicGet(queue="q"))
        client.publish("q", b"other")
        client.call(BasicGet(queue="q"), channel=2)
        extend(client, {"delivery-tag": 0, "ms": 60_000})
        client.world.advance(SECONDS)
        assert returned(client) == [b"other"]

    def test_never_shortens(self) -> None:
        client = holding()
        extend(client, {"delivery-tag": 1, "ms": 1})
        client.world.advance(SECONDS - 0.125)
        assert returned(client) == []
        client.world.advance(0.125)
        assert returned(client) == [b"1"]

    @pytest.mark.parametrize(
        "limited",
        [
            lambda: holding(arguments={"x-lease-max": 30_000}),
            lambda: holding(world=World(Limits(lease_max_ms=30_000))),
        ],
    )
    @pytest.mark.parametrize("duration_ms", [31_000, 2**63 - 1])
    def test_has_an_end(self, limited: object, duration_ms: int) -> None:
        client: RawClient = limited()  # type: ignore[operator]
        client.world.advance(5.0)
        assert extend(client, {"delivery-tag": 1, "ms": duration_ms}) == []
        client.world.advance(25.0 - 0.125)
        assert returned(client) == []
        client.world.advance(0.125)
        assert returned(client) == [b"1"]

    def test_is_for_a_day_at_most(self) -> None:
        client = holding()
        extend(client, {"delivery-tag": 1, "ms": 10**12})
        client.world.advance(86_400.0 - 0.125)
        assert returned(client) == []
        client.world.advance(0.125)
        assert returned(client) == [b"1"]

    def test_works_for_a_consumer_with_terms_of_its_own(self) -> None:
        client = World().open()
        client.call(QueueDeclare(queue="q"))
        arguments: Table = {"x-consumer-timeout": 5000, "x-lease-max": 20_000}
        client.call(BasicConsume(queue="q", arguments=arguments))
        client.publish("q", b"1")
        assert extend(client)[1:] == []
        client.world.advance(20.0 - 0.125)
        assert client.methods() == []
        client.world.advance(0.125)
        assert [type(each) for each in client.methods()] == [BasicDeliver]

    def test_is_confirmed(self) -> None:
        client = holding()
        client.call(ConfirmSelect())
        assert extend(client) == [BasicAck(1)]
        client.publish("q", b"2")
        assert client.methods() == [BasicAck(2)]

    def test_needs_no_right_to_write(self) -> None:
        access = Access()
        world = World(access=access)
        client = holding(world=world)
        access.set_permissions(
            "guest", "/", Permissions(configure=".*", write="", read=".*")
        )
        assert extend(client) == []
        client.world.advance(SECONDS)
        assert returned(client) == []
        (close,) = publish_elsewhere(client)
        assert isinstance(close, ChannelClose)
        assert close.reply_code == 403

    def test_makes_no_publisher_of_a_consumer(self) -> None:
        """Else an alarm would keep its acks from being read."""
        client = holding(world=World())
        consumer = client.world.open()
        consumer.call(BasicGet(queue="q"))
        extend(consumer)
        assert not consumer.connection.is_publisher
        assert client.connection.is_publisher

    def test_of_very_many_ends_the_turn(self) -> None:
        client = holding(3)
        before = client.world.broker.work
        entries = client.connection.channels[1].unacked.entries  # type: ignore[attr-defined]
        entry = entries[1]
        entries.update(dict.fromkeys(range(4, 100_000), entry))
        extend(client, {"delivery-tag": 0, "ms": 60_000})
        assert client.world.broker.work - before > WORK_PER_TURN
        for tag in range(4, 100_000):
            del entries[tag]


def publish_elsewhere(client: RawClient) -> list[Method]:
    client.publish("x", b"", exchange="amq.direct")
    return client.methods()


# What cannot be done


def of_another_channel(client: RawClient) -> list[Method]:
    return extend(client, channel=2)


def of_what_was_acked(client: RawClient) -> list[Method]:
    client.call(BasicAck(1))
    return extend(client)


def of_what_timed_out(client: RawClient) -> list[Method]:
    client.world.advance(SECONDS)
    return extend(client)


def of_all_when_there_is_nothing(client: RawClient) -> list[Method]:
    client.call(BasicAck(1))
    return extend(client, {"delivery-tag": 0, "ms": 1000})


WRONG_HEADERS: Final[list[Table | None]] = [
    None,
    {},
    {"delivery-tag": 1},
    {"ms": 1000},
    {"delivery-tag": 1, "ms": 0},
    {"delivery-tag": 1, "ms": -1},
    {"delivery-tag": -1, "ms": 1000},
    {"delivery-tag": 2, "ms": 1000},
    {"delivery-tag": "1", "ms": 1000},
    {"delivery-tag": 1, "ms": "1000"},
    {"delivery-tag": True, "ms": 1000},
    {"delivery-tag": 1, "ms": True},
    {"delivery-tag": 1.0, "ms": 1000},
    {"delivery-tag": 1, "ms": 1000.0},
    {"delivery-tag": None, "ms": 1000},
    {"delivery-tag": [1], "ms": 1000},
    {"delivery-tag": {"1": 1}, "ms": 1000},
]


class TestWhatCannotBeExtended:
    @pytest.mark.parametrize(
        "ask",
        [
            of_another_channel,
            of_what_was_acked,
            of_what_timed_out,
            of_all_when_there_is_nothing,
        ],
    )
    def test_is_unroutable(self, ask: object) -> None:
        assert ask(holding()) == [NOT_HERE]  # type: ignore[operator]

    @pytest.mark.parametrize("headers", WRONG_HEADERS)
    def test_is_asked_for_wrongly(self, headers: Table | None) -> None:
        client = holding()
        assert extend(client, headers) == [NOT_HERE]
        assert extend(client, headers, mandatory=False) == []
        client.world.advance(SECONDS)
        assert returned(client) == [b"1"]

    @pytest.mark.parametrize("key", ["", "Extend", "extend.", "renew", "x" * 255])
    def test_is_asked_for_by_another_word(self, key: str) -> None:
        client = holding()
        assert extend(client, key=key) == [BasicReturn(312, "NO_ROUTE", LEASE, key)]
        client.world.advance(SECONDS)
        assert returned(client) == [b"1"]

    @pytest.mark.parametrize("mandatory", [False, True])
    def test_is_nacked_after_it_was_returned(self, mandatory: bool) -> None:
        client = holding()
        client.call(ConfirmSelect())
        client.publish("q", b"before")
        client.methods()
        answers = extend(client, {"delivery-tag": 7, "ms": 1}, mandatory=mandatory)
        nack = BasicNack(2, multiple=False, requeue=False)
        assert answers == ([NOT_HERE, nack] if mandatory else [nack])
        assert extend(client) == [BasicAck(3)]

    def test_was_delivered_without_need_of_an_ack(self) -> None:
        client = World().open()
        client.call(QueueDeclare(queue="q"), BasicConsume(queue="q", no_ack=True))
        client.publish("q", b"1")
        client.methods()
        assert extend(client) == [NOT_HERE]

    def test_comes_back_as_it_was(self) -> None:
        client = holding()
        client.publish("no", b"body", exchange=LEASE, mandatory=True, type="mine")
        (arrival,) = client.arrivals()
        assert arrival.body == b"body"
        assert arrival.properties is not None
        assert arrival.properties.type == "mine"


class TestTransactions:
    def test_extend_at_commit(self) -> None:
        client = holding()
        client.call(TxSelect())
        extend(client, {"delivery-tag": 1, "ms": 15_000})
        client.world.advance(5.0)
        assert client.call(TxCommit()) == [TxCommitOk()]
        client.world.advance(15.0 - 0.125)
        assert returned(client) == []
        client.world.advance(0.125)
        assert returned(client) == [b"1"]

    def test_that_are_rolled_back_extend_nothing(self) -> None:
        client = holding()
        client.call(TxSelect())
        extend(client)
        client.call(TxRollback())
        client.world.advance(SECONDS)
        assert returned(client) == [b"1"]

    def test_commit_what_cannot_be_extended(self) -> None:
        """It is unroutable, and that is no failure of a transaction."""
        client = holding()
        client.call(TxSelect())
        client.publish("q", b"2")
        extend(client, {"delivery-tag": 7, "ms": 1})
        assert client.call(TxCommit()) == [NOT_HERE, TxCommitOk()]
        assert returned(client) == [b"2"]


class TestTheExchange:
    def test_is_there(self) -> None:
        client = World().open()
        passive = ExchangeDeclare(exchange=LEASE, passive=True)
        same = ExchangeDeclare(exchange=LEASE, type="direct", durable=True)
        assert client.call(passive, same) == [ExchangeDeclareOk()] * 2

    def test_is_not_another_one(self) -> None:
        client = World().open()
        other = ExchangeDeclare(exchange=LEASE, type="fanout", durable=True)
        (close,) = client.call(other)
        assert isinstance(close, ChannelClose)
        assert close.reply_code == 406

    @pytest.mark.parametrize(
        "method",
        [
            QueueBind(queue="q", exchange=LEASE, routing_key="extend"),
            ExchangeBind(destination="amq.fanout", source=LEASE),
            ExchangeBind(destination=LEASE, source="amq.fanout"),
            ExchangeBind(destination=LEASE, source=LEASE),
        ],
    )
    def test_cannot_be_bound(self, method: Method) -> None:
        client = holding()
        before = client.world.broker.vhosts["/"].binding_count
        (close,) = client.call(method)
        assert isinstance(close, ChannelClose)
        assert (close.reply_code, close.reply_text) == (
            403,
            "ACCESS_REFUSED - operation not permitted on exchange 'amq.lease'"
            " in vhost '/'",
        )
        assert client.world.broker.vhosts["/"].binding_count == before

    def test_is_not_bound(self) -> None:
        client = World().open()
        unbind = ExchangeUnbind(destination="amq.fanout", source=LEASE)
        assert client.ask(unbind) == ExchangeUnbindOk()
        bind = ExchangeBind(destination="amq.fanout", source="amq.direct")
        assert client.ask(bind) == ExchangeBindOk()

    def test_cannot_be_deleted(self) -> None:
        client = World().open()
        (close,) = client.call(ExchangeDelete(exchange=LEASE))
        assert isinstance(close, ChannelClose)
        assert close.reply_code == 403


def test_three_tasks_on_one_channel() -> None:
    """One of them is late. It is done twice, the others once, and nobody is closed."""
    world = World()
    worker, publisher = (world.open(capabilities=CAPABILITIES) for _ in range(2))
    worker.call(QueueDeclare(queue="tasks", arguments=TIMEOUT))
    worker.call(BasicConsume(queue="tasks"))
    publisher.publish("tasks", b"quick", b"slow", b"steady")
    executions = [(each.method, each.body) for each in worker.arrivals()]
    assert worker.call(BasicAck(1)) == []
    assert extend(worker, {"delivery-tag": 3, "ms": 30_000}) == []
    world.advance(SECONDS + 5.0)  # the lease of `slow` ends
    executions += [(each.method, each.body) for each in worker.arrivals()]
    assert worker.call(BasicAck(3), BasicAck(2), BasicAck(4)) == []  # 2 is late
    world.advance(100.0)
    assert [
        (body, method.delivery_tag, method.redelivered)
        for method, body in executions
        if isinstance(method, BasicDeliver)
    ] == [
        (b"quick", 1, False),
        (b"slow", 2, False),
        (b"steady", 3, False),
        (b"slow", 4, True),
    ]
    assert len(executions) == 4
    queue = world.broker.vhosts["/"].queues["tasks"]
    assert (queue.backlog.count, queue.unacked_count) == (0, 0)
    assert (queue.ack_timeout_count, queue.late_ack_count) == (1, 1)
    assert worker.call(BasicGet(queue="tasks")) != []  # the channel is open
