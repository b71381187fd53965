"""Transactions: nothing happens before commit, and all of it then."""

from __future__ import annotations

import tracemalloc
from time import process_time

from tests.pairs import RawClient, World
from warren.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicGet,
    BasicNack,
    BasicReject,
    BasicReturn,
    ChannelClose,
    ChannelOpen,
    ExchangeDeclare,
    ExchangeDelete,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    TxCommit,
    TxCommitOk,
    TxRollback,
    TxRollbackOk,
    TxSelect,
    TxSelectOk,
)


def transactional(bodies: int = 0) -> RawClient:
    """A client in a transaction, whose queue `q` has messages 0, 1, 2 ..."""
    client = World().open(channels=(1, 2))
    client.call(QueueDeclare(queue="q"))
    client.publish("q", *[b"%d" % number for number in range(bodies)])
    assert client.ask(TxSelect()) == TxSelectOk()
    return client


def ready(client: RawClient) -> list[bytes]:
    queue = client.world.broker.vhosts["/"].queues["q"]
    return [entry.message.body for entry in queue.backlog]


def unacked(client: RawClient) -> int:
    return client.world.broker.vhosts["/"].queues["q"].unacked_count


class TestPublishes:
    def test_wait_for_commit(self) -> None:
        client = transactional()
        client.publish("q", b"a", b"b")
        assert ready(client) == []
        assert client.ask(TxCommit()) == TxCommitOk()
        assert ready(client) == [b"a", b"b"]

    def test_are_forgotten_by_rollback(self) -> None:
        client = transactional()
        client.publish("q", b"a")
        assert client.ask(TxRollback()) == TxRollbackOk()
        assert client.ask(TxCommit()) == TxCommitOk()
        assert ready(client) == []

    def test_are_forgotten_with_the_channel(self) -> None:
        client = transactional()
        client.publish("q", b"a")
        client.call(ChannelClose())
        assert ready(client) == []

    def test_begin_anew_after_commit(self) -> None:
        client = transactional()
        for body in (b"a", b"b"):
            client.publish("q", body)
            client.call(TxCommit())
        assert ready(client) == [b"a", b"b"]

    def test_come_back_at_commit(self) -> None:
        client = transactional()
        client.publish("nowhere", b"a", mandatory=True)
        assert client.methods() == []
        back, ok = client.call(TxCommit())
        assert back == BasicReturn(312, "NO_ROUTE", "", "nowhere")
        assert ok == TxCommitOk()

    def test_with_nowhere_to_go_fail_at_once(self) -> None:
        client = transactional()
        client.publish("", b"a", exchange="nope")
        (close,) = client.methods()
        assert isinstance(close, ChannelClose)
        assert close.reply_code == 404

    def test_all_or_none(self) -> None:
        """An exchange that is gone at commit: nothing is published at all."""
        client = transactional()
        client.call(ExchangeDeclare(exchange="x", type="fanout"), channel=2)
        client.publish("q", b"a")
        client.publish("", b"b", exchange="x")
        client.call(ExchangeDelete(exchange="x"), channel=2)
        (close,) = client.call(TxCommit())
        assert isinstance(close, ChannelClose)
        assert close.reply_code == 404
        assert (close.failing_class_id, close.failing_method_id) == (90, 20)
        assert ready(client) == []


class TestSettlements:
    def test_wait_for_commit(self) -> None:
        client = transactional(3)
        client.call(*[BasicGet(queue="q")] * 3)
        client.send(BasicAck(1), BasicReject(2, requeue=False), BasicNack(3))
        assert unacked(client) == 3
        client.call(TxCommit())
        assert unacked(client) == 0
        assert ready(client) == [b"2"]

    def test_are_undone_by_rollback(self) -> None:
        """What was acked is unacked again; it does not go back to the queue."""
        client = transactional(2)
        client.call(*[BasicGet(queue="q")] * 2)
        client.send(BasicAck(2, multiple=True))
        client.call(TxRollback())
        assert unacked(client) == 2
        assert ready(client) == []
        client.send(BasicAck(2), BasicAck(1))  # under their old tags
        client.call(TxCommit())
        assert unacked(client) == 0

    def test_are_undone_all_at_once(self) -> None:
        """One by one, each would cost as much as all: minutes for these."""
        count = 20_000
        client = transactional(count)
        assert len(client.call(BasicConsume(queue="q"))) == count + 1
        client.send(*[BasicAck(tag) for tag in range(count, 0, -1)])
        start = process_time()
        client.call(TxRollback())
        assert process_time() - start < 5
        assert unacked(client) == count
        client.send(BasicAck(count, multiple=True))
        client.call(TxCommit())
        assert unacked(client) == 0

    def test_of_nothing_are_not_held(self) -> None:
        """An ack of all there is, of which there is none, may come for ever."""
        client = transactional()
        client.send(*[BasicAck(0, multiple=True)] * 100)
        tracemalloc.start()
        for _ in range(50):
            client.send(*[BasicAck(0, multiple=True)] * 100)
            client.send(*[BasicNack(0, multiple=True)] * 100)
        assert tracemalloc.get_traced_memory()[0] < 100_000
        tracemalloc.stop()

    def test_are_undone_by_the_end_of_the_channel(self) -> None:
        client = transactional(2)
        client.call(*[BasicGet(queue="q")] * 2)
        client.send(BasicAck(1))
        client.call(ChannelClose(), ChannelOpen())
        assert ready(client) == [b"0", b"1"]

    def test_of_unknown_tags_fail_at_once(self) -> None:
        client = transactional()
        (close,) = client.call(BasicAck(1))
        assert isinstance(close, ChannelClose)
        assert "unknown delivery tag 1" in close.reply_text

    def test_twice_is_unknown(self) -> None:
        client = transactional(1)
        client.call(BasicGet(queue="q"), BasicAck(1))
        (close,) = client.call(BasicAck(1))
        assert isinstance(close, ChannelClose)
        assert ready(client) == [b"0"]

    def test_of_a_queue_that_is_gone(self) -> None:
        client = transactional(2)
        client.call(*[BasicGet(queue="q")] * 2, BasicAck(1), BasicNack(2))
        client.call(QueueDelete(queue="q"), channel=2)
        assert client.ask(TxCommit()) == TxCommitOk()

    def test_keep_their_place_in_the_window(self) -> None:
        """What is acked but not committed is not free yet."""
        client = transactional(3)
        client.call(BasicConsume(queue="q"))
        client.send(BasicNack(0, multiple=True))
        assert client.bodies() == []
        client.send(TxCommit())
        assert client.bodies() == [b"0", b"1", b"2"]

    def test_time_out_after_commit_as_before(self) -> None:
        """Entries delivered while others were held have their deadline too."""
        world = World()
        client = world.open()
        arguments = {"x-consumer-timeout": 10_000}
        client.call(QueueDeclare(queue="q", arguments=arguments), TxSelect())
        client.call(BasicConsume(queue="q"))
        client.publish("q", b"1")
        client.call(TxCommit())
        client.send(BasicAck(1))
        world.advance(11.0)  # nobody is late: the ack has come
        client.publish("q", b"2")
        client.call(TxCommit())
        world.advance(11.0)
        assert world.broker.vhosts["/"].queues["q"].ack_timeout_count == 1


def test_other_methods_do_not_wait() -> None:
    client = transactional()
    assert client.ask(QueueDeclare(queue="r")) == QueueDeclareOk("r")
