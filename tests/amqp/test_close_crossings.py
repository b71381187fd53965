"""Both sides may close at once: a channel, a connection, one in the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.amqp.bad_input import on, published
from tests.pairs import World, byte_by_byte, random_cuts, whole
from warren.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicGet,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    ConnectionClose,
    ConnectionCloseOk,
    Method,
    QueueDeclare,
    QueueDeclareOk,
)
from warren_broker.amqp.handshake import State

if TYPE_CHECKING:
    from tests.pairs import Cut, RawClient

BAD: Final = QueueDeclare(queue="nope", passive=True)
FATAL: Final = bytes(8)
CLOSE_WAIT_SECONDS: Final = 5.0
SHUTDOWN_WAIT_SECONDS: Final = 1.0
CUTS: Final = pytest.mark.parametrize(
    "cut", [whole, byte_by_byte, random_cuts(1)], ids=["whole", "bytes", "cuts"]
)


def names(methods: list[Method]) -> list[str]:
    return [method.name for method in methods]


@CUTS
class TestChannels:
    """The client's close is on its way when the server's is, and so on."""

    def test_both_close(self, cut: Cut) -> None:
        client = World().open(cut)
        answers = client.call(BAD, ChannelClose())
        assert names(answers) == ["channel.close", "channel.close-ok"]
        assert client.call(ChannelCloseOk()) == []
        assert client.ask(ChannelOpen()) == ChannelOpenOk()

    def test_the_client_reads_first(self, cut: Cut) -> None:
        """It takes the server's close for its own turn, and answers both."""
        client = World().open(cut)
        client.call(BAD)
        answers = client.call(ChannelClose(), ChannelCloseOk(), ChannelOpen())
        assert names(answers) == ["channel.close-ok", "channel.open-ok"]

    def test_everything_between_is_dropped(self, cut: Cut) -> None:
        client = World().open(cut)
        client.call(QueueDeclare(queue="q"))
        client.send(BAD)
        client.send_raw(published("", "q") * 3)
        client.send(QueueDeclare(queue="late"), BasicAck(7), BAD, BAD)
        assert names(client.methods()) == ["channel.close"]
        client.call(ChannelCloseOk(), ChannelOpen())
        assert client.ask(QueueDeclare(queue="q")) == QueueDeclareOk("q", 0, 0)
        assert "late" not in client.world.broker.vhosts["/"].queues

    def test_others_notice_nothing(self, cut: Cut) -> None:
        client = World().open(cut, channels=(1, 2))
        client.call(BAD)
        assert client.ask(QueueDeclare(queue="q"), channel=2) == QueueDeclareOk("q")

    def test_late_acks_are_for_nobody(self, cut: Cut) -> None:
        client = World().open(cut)
        client.call(QueueDeclare(queue="q"), BasicConsume(queue="q"))
        client.publish("q", b"1")
        client.arrivals()
        client.call(ChannelClose())
        assert client.call(BasicAck(1)) == []
        assert client.call(ChannelOpen(), BasicGet(queue="q"))[0] == ChannelOpenOk()

    def test_a_close_for_each_time_it_is_open(self, cut: Cut) -> None:
        client = World().open(cut)
        for _ in range(3):
            assert names(client.call(BAD)) == ["channel.close"]
            assert client.call(ChannelCloseOk(), ChannelOpen()) == [ChannelOpenOk()]


@CUTS
class TestConnections:
    def test_the_client_closes(self, cut: Cut) -> None:
        client = World().open(cut)
        assert client.ask(ConnectionClose(200, "bye"), 0) == ConnectionCloseOk()
        assert client.closed

    def test_the_server_closes(self, cut: Cut) -> None:
        client = World().open(cut)
        client.connection.shutdown(0.0)
        (close,) = client.methods()
        assert isinstance(close, ConnectionClose)
        assert close.reply_code == 320
        assert close.reply_text == (
            "CONNECTION_FORCED - broker forced connection closure"
            " with reason 'shutdown'"
        )
        assert not client.closed
        client.send(ConnectionCloseOk(), channel=0)
        assert client.closed

    def test_both_close(self, cut: Cut) -> None:
        client = World().open(cut)
        client.connection.shutdown(0.0)
        answers = client.call(ConnectionClose(), channel=0)
        assert names(answers) == ["connection.close", "connection.close-ok"]
        assert client.closed

    def test_all_else_is_dropped_after_the_servers_close(self, cut: Cut) -> None:
        client = World().open(cut)
        client.connection.shutdown(0.0)
        client.send_raw(published("", "q") + on(3, ChannelOpen()) + on(1, BAD))
        client.send(QueueDeclare(queue="late"), ChannelClose())
        assert names(client.methods()) == ["connection.close"]
        assert not client.world.broker.vhosts["/"].queues
        client.send(ConnectionCloseOk(), channel=0)
        assert client.closed

    def test_a_client_that_never_answers(self, cut: Cut) -> None:
        client = World().open(cut, heartbeat=1)
        client.connection.shutdown(0.0)
        client.world.advance(SHUTDOWN_WAIT_SECONDS - 0.1)
        assert not client.closed
        client.world.advance(0.2)
        assert client.closed
        assert names(client.methods()) == ["connection.close"]

    def test_errors_after_the_servers_close(self, cut: Cut) -> None:
        """There is nothing more to say, so the rest is not read."""
        client = World().open(cut)
        client.connection.shutdown(0.0)
        client.send_raw(FATAL)
        client.send(ConnectionCloseOk(), channel=0)
        assert not client.closed
        client.world.advance(CLOSE_WAIT_SECONDS)
        assert client.closed

    def test_a_channel_closes_in_a_closing_connection(self, cut: Cut) -> None:
        client = World().open(cut, channels=(1, 2))
        client.send(BAD, channel=2)
        client.connection.shutdown(0.0)
        client.send(ChannelCloseOk(), channel=2)
        client.send(ChannelClose(), channel=1)
        client.send(ConnectionCloseOk(), channel=0)
        assert names(client.methods()) == ["channel.close", "connection.close"]
        assert client.closed

    def test_nothing_counts_after_the_end(self, cut: Cut) -> None:
        client = World().open(cut)
        client.call(ConnectionClose(), channel=0)
        client.send_raw(FATAL + published("", "q"))
        client.hang_up()
        client.connection.on_drained(0.0)
        client.connection.shutdown(0.0)
        assert client.connection.state is State.CLOSED
        assert client.methods() == []


def stages() -> list[tuple[str, bytes]]:
    """What a client may be in the middle of when the server stops."""
    whole_header = b"AMQP\0\0\x09\x01"
    return [("nothing", b""), ("half", whole_header[:4]), ("header", whole_header)]


@pytest.mark.parametrize(("name", "said"), stages())
def test_a_stranger_gets_no_goodbye(name: str, said: bytes) -> None:
    client = World().connect()
    client.send_raw(said)
    client.arrivals()
    client.connection.shutdown(0.0)
    assert client.closed, name
    assert client.methods() == []


def test_consumers_end_with_either_side() -> None:
    world = World()

    def consume() -> RawClient:
        client = world.open()
        client.call(QueueDeclare(queue="q"), BasicConsume(queue="q"))
        return client

    first, second, third = consume(), consume(), consume()
    first.connection.shutdown(world.now)
    second.call(ChannelClose())
    world.open().publish("q", b"1", b"2")
    assert third.bodies() == [b"1", b"2"]
