"""Each fault, as a client sees it, and that it ends."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import aio_pika
import pytest
from pika.exceptions import (
    AMQPConnectionError,
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    NackError,
    ProbableAuthenticationError,
    StreamLostError,
)

from tests.interop.asynchronous import asynchronous
from tests.testing.clients import confirming, connected
from warren_broker.testing import Broker

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingChannel


def publish(channel: BlockingChannel, *bodies: bytes, exchange: str = "") -> None:
    for body in bodies:
        channel.basic_publish(exchange, "q", body)


def test_a_dropped_connection_ends_without_a_word(warren: Broker) -> None:
    with confirming(warren.url) as channel:
        publish(channel, b"1")
        channel.basic_get("q")
        assert warren.faults.drop_connections() == 1
        (message,) = warren.queue("q").ready
        assert message.redelivered
        with pytest.raises(StreamLostError):
            channel.queue_declare("more")
    with confirming(warren.url) as channel:
        publish(channel, b"2")


def test_only_connections_of_a_name_are_meant(warren: Broker) -> None:
    ours, theirs = {"connection_name": "ours"}, {"connection_name": "theirs"}
    with (
        connected(warren.url, client_properties=ours) as one,
        connected(warren.url, client_properties=theirs) as other,
    ):
        channel = other.channel()
        assert warren.faults.drop_connections("ours") == 1
        assert warren.faults.close_channels(name="ours") == 0
        assert warren.faults.drop_connections("nobody's") == 0
        channel.queue_declare("q")
        with pytest.raises(StreamLostError):
            one.channel()


@pytest.mark.parametrize("code", [403, 404, 405, 406])
def test_closed_channels_have_the_code(warren: Broker, code: int) -> None:
    with confirming(warren.url) as channel:
        assert warren.faults.close_channels(code, "why not") == 1
        with pytest.raises(ChannelClosedByBroker, match="why not") as raised:
            channel.queue_declare("more")
        assert raised.value.reply_code == code
        assert channel.connection.channel().is_open


def test_a_closed_connection_has_the_code(warren: Broker) -> None:
    with connected(warren.url) as connection:
        assert warren.faults.close_connections(541, "ouch") == 1
        with pytest.raises(ConnectionClosedByBroker, match="ouch") as raised:
            connection.channel()
        assert raised.value.reply_code == 541


def test_codes_must_fit(warren: Broker) -> None:
    with pytest.raises(ValueError, match="406 is no reply code that closes connect"):
        warren.faults.close_connections(406)
    with pytest.raises(ValueError, match="320 is no reply code that closes channels"):
        warren.faults.close_channels(320)
    with pytest.raises(ValueError, match="999"):
        warren.faults.close_connections(999)


def test_so_many_publishes_are_nacked(warren: Broker) -> None:
    with confirming(warren.url) as channel:
        warren.faults.nack_publishes(2)
        for _ in range(2):
            with pytest.raises(NackError):
                publish(channel, b"no")
        publish(channel, b"yes")
        assert [each.body for each in warren.queue("q").ready] == [b"yes"]
        outcomes = [each.outcome for each in warren.published()]
        assert outcomes == ["refused", "refused", "accepted"]


def test_publishes_to_one_exchange_are_nacked(warren: Broker) -> None:
    with confirming(warren.url) as channel:
        channel.queue_bind("q", "amq.direct", "q")
        warren.faults.nack_publishes(exchange="amq.direct")
        publish(channel, b"1")
        with pytest.raises(NackError):
            publish(channel, b"2", exchange="amq.direct")
        publish(channel, b"3", exchange="amq.direct")
        assert [each.body for each in warren.queue("q").ready] == [b"1", b"3"]


@asynchronous
async def test_confirms_are_withheld_and_then_come() -> None:
    with Broker.in_thread() as warren:
        async with await aio_pika.connect(warren.url) as connection:
            channel = await connection.channel()
            await channel.declare_queue("q")

            async def publish(body: bytes, wait: float) -> None:
                exchange = channel.default_exchange
                await exchange.publish(aio_pika.Message(body), "q", timeout=wait)

            with warren.faults.withhold_confirms():
                with pytest.raises(TimeoutError):
                    await publish(b"1", 0.05)
                assert len(warren.queue("q").ready) == 1
                warren.faults.nack_publishes()
                with pytest.raises(aio_pika.exceptions.DeliveryError):
                    await publish(b"2", 10)
            await publish(b"3", 10)
            assert [each.body for each in warren.queue("q").ready] == [b"1", b"3"]


def test_what_is_withheld_comes_when_the_block_ends(warren: Broker) -> None:
    with confirming(warren.url) as channel:
        with warren.faults.withhold_confirms():
            ended = threading.Event()

            def publish_one() -> None:
                publish(channel, b"1")
                ended.set()

            thread = threading.Thread(target=publish_one)
            thread.start()
            warren.wait_until(lambda: warren.published())
            assert not ended.is_set()
        assert ended.wait(10)
        thread.join()


def test_publishers_are_blocked_and_unblocked(warren: Broker) -> None:
    heard: list[str] = []
    with confirming(warren.url) as channel:
        connection = channel.connection
        connection.add_on_connection_blocked_callback(lambda *_: heard.append("b"))
        connection.add_on_connection_unblocked_callback(lambda *_: heard.append("u"))
        publish(channel, b"1")
        with warren.faults.block_publishers():
            while heard != ["b"]:
                connection.process_data_events(time_limit=5)
            with confirming(warren.url) as other:  # it has published nothing
                other.queue_declare("q", passive=True)
        while heard != ["b", "u"]:
            connection.process_data_events(time_limit=5)
        publish(channel, b"2")


def test_a_block_outlasts_a_restart(warren: Broker) -> None:
    heard: list[object] = []
    with ExitStack() as stack, warren.faults.block_publishers():
        warren.restart()
        connection = stack.enter_context(connected(warren.url))
        connection.add_on_connection_blocked_callback(lambda *_: heard.append(1))
        publish(connection.channel(), b"1")
        while not heard:
            connection.process_data_events(time_limit=5)


def test_nobody_may_log_in_for_a_while(warren: Broker) -> None:
    with connected(warren.url) as connection:
        with warren.faults.refuse_logins():
            connection.channel().queue_declare("q")
            for _ in range(12):  # more than the broker takes of one who guesses
                refused = pytest.raises(AMQPConnectionError)
                with refused as raised, connected(warren.url):
                    pass
            assert isinstance(raised.value, ProbableAuthenticationError)
            warren.restart()
            with pytest.raises(AMQPConnectionError), connected(warren.url):
                pass
        with connected(warren.url):
            pass


def test_faults_may_end_while_the_broker_is_stopped(warren: Broker) -> None:
    with warren.faults.block_publishers(), warren.faults.withhold_confirms():
        stopped = warren.stopped()
        stopped.__enter__()
    stopped.__exit__(None, None, None)
    with confirming(warren.url) as channel:
        publish(channel, b"1", b"2")
        assert len(warren.queue("q").ready) == 2
