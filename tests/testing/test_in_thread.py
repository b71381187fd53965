"""A broker in a thread, and what a test sees of it."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import aio_pika
import pika
import pytest
from pika.exceptions import AMQPConnectionError, NoFreeChannels

from tests.interop.asynchronous import asynchronous
from tests.testing.clients import confirming, connected
from warren_broker.core.limits import Limits
from warren_broker.server.listening import ListenError
from warren_broker.server.settings import (
    AuthSettings,
    PermissionSettings,
    PolicySettings,
    ServerSettings,
    UserSettings,
)
from warren_broker.testing import Broker, NotServing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pika.adapters.blocking_connection import BlockingChannel
    from pika.spec import Basic

PERSISTENT = pika.BasicProperties(delivery_mode=2)


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker.in_thread() as broker:
        yield broker


def bodies(broker: Broker, queue: str = "q") -> list[bytes]:
    return [message.body for message in broker.queue(queue).messages]


# --- queues, messages, connections


def test_a_message_is_seen_where_it_is_and_as_it_was_sent(broker: Broker) -> None:
    with confirming(broker.url) as channel:
        properties = pika.BasicProperties(
            content_type="application/json", message_id="m1", headers={"n": 1}
        )
        channel.basic_publish("", "q", b'{"id": 7}', properties)
        (message,) = broker.queue("q").ready
    assert (message.exchange, message.routing_key) == ("", "q")
    assert message.json() == {"id": 7}
    assert message.text == '{"id": 7}'
    assert message.properties.message_id == "m1"
    assert message.headers == {"n": 1}
    assert not message.redelivered
    assert "'message_id': 'm1'" in repr(message)


def test_ready_unacked_and_returned_messages_are_told_apart(broker: Broker) -> None:
    with confirming(broker.url) as channel:
        for body in (b"1", b"2", b"3"):
            channel.basic_publish("", "q", body)
        first, _, _ = channel.basic_get("q")
        channel.basic_get("q")
        channel.basic_nack(first.delivery_tag)
        broker.wait_until(lambda: len(broker.queue("q").unacked) == 1)
        queue = broker.queue("q")
        assert [message.body for message in queue.ready] == [b"1", b"3"]
        assert [message.redelivered for message in queue.messages] == [1, 0, 0]
        assert [message.body for message in queue.unacked] == [b"2"]
        assert queue.unacked[0].consumer_tag is None
        assert (len(queue), queue.consumer_count) == (3, 0)
        assert bodies(broker) == [b"1", b"2", b"3"]


def test_what_a_transaction_will_settle_is_still_unacked(broker: Broker) -> None:
    with confirming(broker.url) as channel:
        channel.basic_publish("", "q", b"1")
        transaction = channel.connection.channel()
        transaction.tx_select()
        method, _, _ = transaction.basic_get("q")
        transaction.basic_ack(method.delivery_tag)
        transaction.queue_declare("q", passive=True)  # so the ack has arrived
        assert len(broker.queue("q").unacked) == 1
        transaction.tx_commit()
        assert len(broker.queue("q")) == 0
        assert broker.queue("q"), "an empty queue is a queue"


def test_values_stay_as_they_were(broker: Broker) -> None:
    with confirming(broker.url) as channel:
        before = broker.queue("q")
        channel.basic_publish("", "q", b"1")
        assert len(before) == 0
        assert len(broker.queue("q")) == 1


def test_connections_say_who_they_are(broker: Broker) -> None:
    names = {"connection_name": "ours"}
    with connected(broker.url, client_properties=names) as connection:
        channel = connection.channel()
        channel.queue_declare("q")
        channel.basic_consume("q", print, consumer_tag="c")
        (state,) = broker.connections()
        assert (state.name, state.user, state.vhost) == ("ours", "guest", "/")
        assert (state.channel_count, state.consumer_count) == (1, 1)
    broker.wait_until(lambda: not broker.connections())
    assert [event.name for event in broker.events()] == [
        "connection opened",
        "connection closed",
    ]


def test_unknown_names_are_key_errors(broker: Broker) -> None:
    with pytest.raises(KeyError):
        broker.queue("nowhere")
    with pytest.raises(KeyError):
        broker.queues("no such host")


# --- what was published


def test_published_tells_the_exchange_and_the_outcome(broker: Broker) -> None:
    with confirming(
        broker.url, **{"x-max-length": 1, "x-overflow": "reject-publish"}
    ) as (channel):
        channel.basic_publish("", "q", b"1")
        with pytest.raises(pika.exceptions.NackError):
            channel.basic_publish("", "q", b"2")
        channel.basic_publish("amq.fanout", "k", b"3")
    seen = [(m.exchange, m.routing_key, m.body, m.outcome) for m in broker.published()]
    assert seen == [
        ("", "q", b"1", "accepted"),
        ("", "q", b"2", "refused"),
        ("amq.fanout", "k", b"3", "unrouted"),
    ]
    assert [message.body for message in broker.published("amq.fanout")] == [b"3"]
    assert [message.body for message in broker.published("")] == [b"1", b"2"]
    assert broker.published(vhost="other") == []


def test_published_forgets_what_was_first(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = "warren_broker.testing.publishes"
    monkeypatch.setattr(f"{where}.PUBLISHED_MAX", 3)
    with confirming(broker.url) as channel:
        for number in range(5):
            channel.basic_publish("", "q", b"%d" % number)
        assert [each.body for each in broker.published()] == [b"2", b"3", b"4"]
        monkeypatch.setattr(f"{where}.PUBLISHED_MAX_BYTES", 2000)
        for size in (600, 700, 800):
            channel.basic_publish("", "q", bytes(size))
        assert [len(each.body) for each in broker.published()] == [700, 800]


# --- waiting


def test_idle_is_when_consumers_have_done_their_work(broker: Broker) -> None:
    done: list[bytes] = []

    def work(
        channel: BlockingChannel, method: Basic.Deliver, _: object, body: bytes
    ) -> None:
        done.append(body)
        channel.basic_ack(method.delivery_tag)

    with confirming(broker.url) as channel:
        for number in range(20):
            channel.basic_publish("", "q", b"%d" % number)
        broker.wait_idle(0)  # nobody is there for them: there is nothing to do

        def consume() -> None:
            with connected(broker.url) as connection:
                consumer = connection.channel()
                consumer.basic_qos(prefetch_count=2)
                consumer.basic_consume("q", work)
                while len(done) < 20:
                    connection.process_data_events(time_limit=1)

        worker = threading.Thread(target=consume)
        worker.start()
        broker.wait_until(lambda: broker.queue("q").consumer_count or len(done) == 20)
        broker.wait_idle()
        assert len(done) == 20
        assert len(broker.queue("q")) == 0
        worker.join()


def test_what_is_not_done_is_told(broker: Broker) -> None:
    with confirming(broker.url) as channel:
        for body in (b"1", b"2"):
            channel.basic_publish("", "q", body)
        channel.basic_get("q")
        with pytest.raises(TimeoutError) as raised:
            broker.wait_idle(0)
        assert str(raised.value) == (
            "not idle after 0 s\n"
            "  queue 'q' in vhost '/': 1 ready, 1 unacked, 0 delayed, 0 consumers"
        )
        with pytest.raises(TimeoutError, match="body=b'1'"):
            broker.wait_until(lambda: False, 0)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), 1e300])
def test_time_that_cannot_pass(broker: Broker, seconds: float) -> None:
    """The clock is not told of it: it would stand still, for all brokers to come."""
    with pytest.raises(ValueError, match="no time that can pass"):
        broker.clock.advance(seconds)
    broker.clock.advance(1e11)
    broker.reset()
    with connected(broker.url):
        pass


def test_what_waits_for_its_time_counts_if_asked(broker: Broker) -> None:
    with confirming(broker.url) as channel:
        delayed = pika.BasicProperties(headers={"x-delay": 60_000})
        channel.basic_publish("", "q", b"later", delayed)
        broker.wait_idle(0)
        with pytest.raises(TimeoutError, match="vhost '/': 1 scheduled"):
            broker.wait_idle(0, scheduled=True)
        assert broker.scheduled_count() == 1


# --- other clients


@asynchronous
async def test_an_asyncio_client_and_its_broker_share_a_test() -> None:
    with Broker.in_thread() as broker:
        connection = await aio_pika.connect(broker.url)
        async with connection:
            channel = await connection.channel()
            queue = await channel.declare_queue("q")
            message = aio_pika.Message(b"hello")
            await channel.default_exchange.publish(message, "q")
            assert bodies(broker) == [b"hello"]

            async def take() -> None:
                async with queue.iterator() as messages:
                    async for incoming in messages:
                        await incoming.ack()
                        break

            await take()
            await asyncio.to_thread(broker.wait_idle)
            assert bodies(broker) == []


# --- where it is, and how it is set


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with Broker.in_thread(unix_socket=path) as broker:
        assert broker.url == f"unix:{path}"
        broker.restart()
        assert path.is_socket()
    assert not path.exists()


def test_settings_are_the_brokers() -> None:
    user = UserSettings(
        name="ada", password="secret", permissions=(PermissionSettings(vhost="lab"),)
    )
    policy = PolicySettings(
        name="short", pattern="^q$", definition={"max-length": 1}, vhost="lab"
    )
    settings = ServerSettings(
        limits=Limits(channel_max=1),
        auth=AuthSettings(users=(user,), vhosts=("lab",)),
        policies=(policy,),
    )
    with Broker.in_thread(settings=settings) as broker:
        url = broker.url.replace("//", "//ada:secret@") + "lab"
        with connected(url) as connection:
            channel = connection.channel()
            channel.queue_declare("q")
            channel.confirm_delivery()
            for body in (b"1", b"2"):
                channel.basic_publish("", "q", body)
            assert [each.body for each in broker.queue("q", "lab").ready] == [b"2"]
            with pytest.raises(NoFreeChannels):
                connection.channel()


def test_what_cannot_be_started_says_so(tmp_path: Path) -> None:
    (tmp_path / "socket").write_text("a file")
    with (
        pytest.raises(ListenError, match="is not a socket"),
        Broker.in_thread(unix_socket=tmp_path / "socket"),
    ):
        pass


def test_nothing_is_left_of_it() -> None:
    before = set(threading.enumerate())
    with Broker.in_thread() as broker, connected(broker.url) as connection:
        url = broker.url
        connection.channel()
        (thread,) = set(threading.enumerate()) - before
    assert not thread.is_alive()
    with pytest.raises(AMQPConnectionError), connected(url):
        pass
    with pytest.raises(RuntimeError, match="ended"):
        broker.queues()


# --- again and again


def test_a_restart_keeps_what_is_durable_in_a_data_directory(tmp_path: Path) -> None:
    with Broker.in_thread(data_dir=tmp_path / "data") as broker:
        url = broker.url
        with connected(url) as connection:
            channel = connection.channel()
            channel.queue_declare("durable", durable=True)
            channel.queue_declare("transient")
            channel.confirm_delivery()
            for queue in ("durable", "transient"):
                channel.basic_publish("", queue, b"kept", PERSISTENT)
                channel.basic_publish("", queue, b"lost")
            channel.basic_publish("", "durable", b"done", PERSISTENT)
            while True:
                method, _, body = channel.basic_get("durable")
                if body == b"done":
                    channel.basic_ack(method.delivery_tag)
                    break
            broker.wait_until(lambda: len(broker.queue("durable")) == 2)
            broker.restart()
            with pytest.raises(AMQPConnectionError):
                channel.queue_declare("more")
        assert broker.url == url
        assert list(broker.queues()) == ["durable"]
        assert bodies(broker, "durable") == [b"kept"]
        assert len(broker.published()) == 5
    with Broker.in_thread(data_dir=tmp_path / "data") as broker:
        assert bodies(broker, "durable") == [b"kept"]


def test_without_one_nothing_survives(broker: Broker) -> None:
    with connected(broker.url) as connection:
        connection.channel().queue_declare("q", durable=True)
        broker.restart()
    assert broker.queues() == {}


def test_a_client_finds_nobody_while_the_broker_is_stopped(broker: Broker) -> None:
    with broker.stopped():
        with pytest.raises(AMQPConnectionError), connected(broker.url):
            pass
        with pytest.raises(NotServing):
            broker.queues()
        assert "stopped" in broker.report()
    with connected(broker.url):
        assert len(broker.connections()) == 1


def test_a_reset_leaves_nothing(broker: Broker) -> None:
    url = broker.url
    with confirming(url, **{"x-message-ttl": 5}) as channel:
        channel.basic_publish("", "q", b"1")
        broker.faults.nack_publishes(5)
        broker.reset()
    assert broker.url == url
    assert broker.queues() == {}
    assert broker.published() == []
    assert broker.events() == []
    with confirming(url) as channel:
        channel.basic_publish("", "q", b"2")
        assert bodies(broker) == [b"2"]
