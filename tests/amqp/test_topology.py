"""Queues and exchanges by bytes: answers, the last queue, and what dies with whom."""

from __future__ import annotations

import pytest

from tests.amqp.fingerprint import topology
from tests.pairs import RawClient, World
from warren.wire.methods import (
    BasicCancel,
    BasicConsume,
    BasicGet,
    BasicGetEmpty,
    ConnectionClose,
    ConnectionCloseOk,
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    ExchangeUnbind,
    ExchangeUnbindOk,
    Method,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    QueueUnbind,
    QueueUnbindOk,
)

ANSWERED: list[tuple[Method, Method]] = [
    (ExchangeDeclare(exchange="x", type="fanout"), ExchangeDeclareOk()),
    (ExchangeDeclare(exchange="y", type="topic", durable=True), ExchangeDeclareOk()),
    (ExchangeDeclare(exchange="x", passive=True), ExchangeDeclareOk()),
    (ExchangeBind(destination="y", source="x"), ExchangeBindOk()),
    (ExchangeUnbind(destination="y", source="x"), ExchangeUnbindOk()),
    (QueueDeclare(queue="q"), QueueDeclareOk("q", 0, 0)),
    (QueueDeclare(queue="q", passive=True), QueueDeclareOk("q", 0, 0)),
    (QueueBind(queue="q", exchange="x"), QueueBindOk()),
    (QueueUnbind(queue="q", exchange="x"), QueueUnbindOk()),
    (QueuePurge(queue="q"), QueuePurgeOk(0)),
    (QueueDelete(queue="q"), QueueDeleteOk(0)),
    (ExchangeDelete(exchange="x"), ExchangeDeleteOk()),
    (ExchangeDelete(exchange="y"), ExchangeDeleteOk()),
]
"""A whole life; each method with its answer."""


def test_each_method_has_its_answer() -> None:
    client = World().open()
    for method, answer in ANSWERED:
        assert client.ask(method) == answer


def test_without_answers_it_is_the_same_life() -> None:
    asking, silent = World().open(), World().open()
    for method, answer in ANSWERED:
        asking.call(method)
        if hasattr(method, "no_wait"):
            quiet = type(method)(**{**vars(method), "no_wait": True})
            assert silent.call(quiet) == []
        else:
            assert silent.ask(method) == answer
        assert topology(silent.world.broker) == topology(asking.world.broker)


@pytest.mark.parametrize("no_wait", [False, True])
def test_errors_are_told_though_answers_are_not_wanted(no_wait: bool) -> None:
    client = World().open()
    (close,) = client.call(QueueBind(queue="q", exchange="x", no_wait=no_wait))
    assert close.name == "channel.close"


def test_declare_ok_counts() -> None:
    client = World().open()
    client.call(QueueDeclare(queue="q"))
    client.publish("q", b"1", b"2", b"3")
    client.call(BasicGet(queue="q"))
    assert client.ask(QueueDeclare(queue="q")) == QueueDeclareOk("q", 2, 0)
    client.call(BasicConsume(queue="q"), BasicConsume(queue="q"))
    assert client.ask(QueueDeclare(queue="q")) == QueueDeclareOk("q", 0, 2)


def test_purge_and_delete_count_what_was_ready() -> None:
    client = World().open()
    client.call(QueueDeclare(queue="q"))
    client.publish("q", b"1", b"2", b"3")
    client.call(BasicGet(queue="q"))
    assert client.ask(QueuePurge(queue="q")) == QueuePurgeOk(2)
    client.publish("q", b"4")
    assert client.ask(QueueDelete(queue="q")) == QueueDeleteOk(1)


class TestTheLastQueue:
    """An empty name is the queue that the channel declared last."""

    def test_is_the_servers_choice_if_it_was_asked_for_one(self) -> None:
        client = World().open()
        first = client.ask(QueueDeclare())
        second = client.ask(QueueDeclare())
        assert isinstance(second, QueueDeclareOk)
        assert second != first
        assert second.queue.startswith("amq.gen-")
        client.call(QueueBind(exchange="amq.fanout"))
        client.publish("", b"1", exchange="amq.fanout")
        assert client.ask(QueueDelete()) == QueueDeleteOk(1)

    def test_is_a_channels_own(self) -> None:
        client = World().open(channels=(1, 2))
        client.call(QueueDeclare(queue="q"))
        (close,) = client.call(BasicGet(), channel=2)
        assert close.name == "channel.close"
        assert client.ask(BasicGet()) == BasicGetEmpty()

    def test_is_its_own_key_in_a_bind_without_names(self) -> None:
        client = World().open()
        client.call(QueueDeclare(queue="q"), QueueBind(exchange="amq.direct"))
        client.publish("q", b"1", exchange="amq.direct")
        assert client.ask(QueuePurge()) == QueuePurgeOk(1)


class TestExclusive:
    def test_it_goes_before_its_owner_is_told_goodbye(self) -> None:
        world = World()
        owner, other = world.open(), world.open()
        owner.call(QueueDeclare(queue="q", exclusive=True))
        owner.send(ConnectionClose(), channel=0)
        answer = other.ask(QueueDeclare(queue="q"))  # before the owner has read it
        assert answer == QueueDeclareOk("q", 0, 0)
        assert owner.methods() == [ConnectionCloseOk()]

    @pytest.mark.parametrize("ending", ["hang up", "error", "shutdown"])
    def test_it_goes_however_its_owner_does(self, ending: str) -> None:
        world = World()
        owner = world.open()
        owner.call(QueueDeclare(queue="q", exclusive=True), BasicConsume(queue="q"))
        endings = {
            "hang up": owner.hang_up,
            "error": lambda: owner.send_raw(bytes(8)),
            "shutdown": lambda: owner.connection.shutdown(world.now),
        }
        endings[ending]()
        assert not world.broker.vhosts["/"].queues

    def test_it_stays_when_its_channel_goes(self) -> None:
        client = World().open()
        client.call(QueueDeclare(queue="q", exclusive=True))
        client.call(QueueDeclare(queue="nope", passive=True))  # closes the channel
        assert client.world.broker.vhosts["/"].queues.keys() == {"q"}

    def test_durable_is_no_contradiction(self) -> None:
        client = World().open()
        method = QueueDeclare(queue="q", durable=True, exclusive=True)
        assert [client.ask(method) for _ in range(2)] == [QueueDeclareOk("q")] * 2


class TestAutoDelete:
    def consume(self, client: RawClient) -> None:
        client.call(
            QueueDeclare(queue="q", auto_delete=True),
            BasicConsume(queue="q", consumer_tag="c"),
        )

    def queues(self, client: RawClient) -> set[str]:
        return set(client.world.broker.vhosts["/"].queues)

    def test_not_before_the_first_consumer(self) -> None:
        client = World().open()
        client.call(QueueDeclare(queue="q", auto_delete=True), BasicGet(queue="q"))
        assert self.queues(client) == {"q"}

    def test_with_the_last_consumer(self) -> None:
        client = World().open()
        self.consume(client)
        client.call(BasicConsume(queue="q", consumer_tag="d"), BasicCancel("c"))
        assert self.queues(client) == {"q"}
        client.call(BasicCancel("d"))
        assert self.queues(client) == set()

    def test_with_its_connection(self) -> None:
        client = World().open()
        self.consume(client)
        client.hang_up()
        assert self.queues(client) == set()

    def test_an_exchange_with_its_last_binding(self) -> None:
        client = World().open()
        client.call(
            ExchangeDeclare(exchange="x", type="fanout", auto_delete=True),
            QueueDeclare(queue="q"),
            QueueBind(queue="q", exchange="x"),
        )
        assert "x" in client.world.broker.vhosts["/"].exchanges
        client.call(QueueDelete(queue="q"))
        assert "x" not in client.world.broker.vhosts["/"].exchanges


def test_a_deleted_queue_tells_its_consumers_before_its_deleter() -> None:
    client = World().open()
    client.call(QueueDeclare(queue="q"), BasicConsume(queue="q", consumer_tag="c"))
    assert client.call(QueueDelete(queue="q")) == [
        BasicCancel("c", no_wait=True),
        QueueDeleteOk(0),
    ]


def test_an_unused_queue_expires() -> None:
    world = World()
    client = world.open()
    client.call(QueueDeclare(queue="q", arguments={"x-expires": 10_000}))
    world.advance(9.0)
    client.call(BasicGet(queue="q"))  # a use
    world.advance(9.0)
    assert client.ask(QueueDeclare(queue="q", passive=True)) == QueueDeclareOk("q")
    world.advance(11.0)
    (close,) = client.call(QueueDeclare(queue="q", passive=True))
    assert close.name == "channel.close"
