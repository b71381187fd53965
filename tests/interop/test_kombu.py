"""kombu over py-amqp: what Celery and many others stand on."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from queue import Empty
from typing import TYPE_CHECKING

import amqp
import pytest
from kombu import Connection, Consumer, Exchange, Producer, Queue, pools
from kombu.pidbox import Mailbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kombu.message import Message

pytestmark = pytest.mark.interop

TIMEOUT_SECONDS = 15


@pytest.fixture
def connection(amqp_url: str) -> Iterator[Connection]:
    """A kombu connection, and its default channel."""
    with Connection(amqp_url) as connection:
        yield connection


def drain(connection: Connection, is_done: Callable[[], object]) -> None:
    """Handle deliveries until the condition holds."""
    while not is_done():
        connection.drain_events(timeout=TIMEOUT_SECONDS)


def temporary(name: str, exchange: Exchange | None = None, key: str = "") -> Queue:
    """A queue of that name which deletes itself."""
    return Queue(name, exchange, key, durable=False, auto_delete=True)


@pytest.mark.parametrize("serializer", ["json", "pickle"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_producer_and_a_consumer(
    connection: Connection, name: str, serializer: str, compression: str | None
) -> None:
    received: list[tuple[object, Message]] = []
    exchange = Exchange(name, "topic", durable=False, auto_delete=True)
    body = {"text": "läuft", "list": [1, None, 2**40]}
    with Consumer(
        connection,
        [temporary(name, exchange, "a.#")],
        callbacks=[lambda *delivery: received.append(delivery)],
        accept=[serializer],
    ):
        Producer(connection, exchange, "a.b").publish(
            body, serializer=serializer, compression=compression, headers={"n": 2**40}
        )
        drain(connection, lambda: received)
    ((arrived, message),) = received
    message.ack()
    assert arrived == body
    assert message.headers["n"] == 2**40
    assert message.delivery_info["routing_key"] == "a.b"


def test_requeue_and_reject(connection: Connection, name: str) -> None:
    redelivered: list[bool] = []

    def settle(_: object, message: Message) -> None:
        redelivered.append(message.delivery_info["redelivered"])
        message.reject() if redelivered[-1] else message.requeue()

    queue = temporary(name)
    with Consumer(connection, [queue], callbacks=[settle]) as consumer:
        consumer.qos(prefetch_count=1)
        Producer(connection).publish("x", routing_key=name, declare=[queue])
        drain(connection, lambda: len(redelivered) == 2)
        assert redelivered == [False, True]
        assert queue(connection).get() is None


def test_a_confirmed_publish_to_nowhere_is_an_error(amqp_url: str, name: str) -> None:
    options = {"confirm_publish": True}
    with Connection(amqp_url, transport_options=options) as connection:
        producer = Producer(connection)
        queue = temporary(name)
        producer.publish("there", routing_key=name, declare=[queue])
        message = queue(connection).get(no_ack=True)
        assert message.payload == "there"
        with pytest.raises(amqp.exceptions.NotFound, match=f"no exchange '{name}'"):
            producer.publish("nowhere", exchange=name, routing_key="")


def test_mandatory_publishes_come_back(connection: Connection, name: str) -> None:
    returned: list[str] = []

    def on_return(error: Exception, exchange: str, key: str, _: object) -> None:
        assert isinstance(error, amqp.exceptions.ChannelError)
        returned.append(f"{error.reply_code} {exchange} {key}")

    producer = Producer(connection, on_return=on_return)
    producer.publish("x", routing_key=name, mandatory=True)
    drain(connection, lambda: returned)
    assert returned == [f"312  {name}"]


def test_a_simple_queue(connection: Connection, name: str) -> None:
    with connection.SimpleQueue(
        name, queue_opts={"durable": False, "auto_delete": True}
    ) as queue:
        queue.put({"number": 1})
        queue.put({"number": 2})
        for number in (1, 2):
            message = queue.get(timeout=TIMEOUT_SECONDS)
            message.ack()
            assert message.payload == {"number": number}
        with pytest.raises(Empty):
            queue.get_nowait()
        assert queue.qsize() == 0


def test_a_simple_buffer(connection: Connection, name: str) -> None:
    with connection.SimpleBuffer(name) as buffer:
        buffer.put("x")
        assert buffer.get(timeout=TIMEOUT_SECONDS).payload == "x"


def test_fanout_reaches_everybody(connection: Connection, name: str) -> None:
    exchange = Exchange(name, "fanout", durable=False, auto_delete=True)
    received: list[str] = []
    queues = [temporary(f"{name}.{number}", exchange) for number in range(3)]
    with Consumer(
        connection,
        queues,
        no_ack=True,
        on_message=lambda message: received.append(message.payload),
    ):
        Producer(connection, exchange).publish("news")
        drain(connection, lambda: len(received) == 3)


def test_pools_lend_connections_and_producers(amqp_url: str, name: str) -> None:
    # The pools are global, one for each set of parameters: this one is the test's.
    with Connection(amqp_url, transport_options={"test": name}) as template:
        queue = temporary(name)
        producers, connections = pools.producers[template], pools.connections[template]
        for number in range(5):
            with producers.acquire(block=True) as producer:
                producer.publish(number, routing_key=name, declare=[queue])
        with connections.acquire(block=True) as connection:
            bound = queue(connection.default_channel)
            payloads = [bound.get(no_ack=True).payload for _ in range(5)]
            bound.delete()
        producers.force_close_all()
        connections.force_close_all()
    assert payloads == list(range(5))


def test_a_mailbox_casts_and_calls(amqp_url: str, name: str) -> None:
    heard: list[str] = []
    stop = threading.Event()
    listening = threading.Event()

    def serve() -> None:
        with Connection(amqp_url) as connection, connection.channel() as channel:
            mailbox = Mailbox(name, type="fanout")(connection)
            node = mailbox.Node("node", channel=channel, state=None)
            node.handlers["note"] = lambda _, text: heard.append(text)
            node.handlers["add"] = lambda _, x, y: x + y
            node.handlers["stop"] = lambda _: stop.set() or "stopping"
            node.channel = channel
            with node.listen():
                listening.set()
                drain(connection, stop.is_set)

    thread = threading.Thread(target=serve)
    thread.start()
    assert listening.wait(TIMEOUT_SECONDS)
    with Connection(amqp_url) as connection:
        mailbox = Mailbox(name, type="fanout")(connection)
        mailbox.cast(["node"], "note", {"text": "first"})
        asked = {"x": 2, "y": 3}
        answer = mailbox.call(["node"], "add", asked, timeout=TIMEOUT_SECONDS)
        assert answer == [{"node": 5}]
        answer = mailbox.multi_call("add", asked, timeout=TIMEOUT_SECONDS, limit=1)
        assert answer == [{"node": 5}]
        assert heard == ["first"]
        mailbox.call(["node"], "stop", timeout=TIMEOUT_SECONDS)
        mailbox.exchange(connection.default_channel).delete()
        mailbox.reply_exchange(connection.default_channel).delete()
    thread.join()


def test_a_deleted_queue_cancels_its_consumer(
    amqp_url: str, connection: Connection, name: str
) -> None:
    queue = temporary(name)
    with Consumer(connection, [queue], callbacks=[lambda *_: None]):
        with Connection(amqp_url) as other:
            queue(other).delete()
        with pytest.raises(amqp.exceptions.ConsumerCancelled):
            connection.drain_events(timeout=TIMEOUT_SECONDS)


def test_a_wider_prefetch_reaches_a_consumer_that_runs(
    connection: Connection, name: str
) -> None:
    """What a Celery worker does for each task that waits for its time."""
    received: list[Message] = []
    queue = temporary(name)
    with Consumer(connection, [queue], on_message=received.append) as consumer:
        is_global = not connection.qos_semantics_matches_spec
        consumer.channel.basic_qos(0, 1, is_global)
        producer = Producer(connection)
        for number in range(4):
            producer.publish(number, routing_key=name)
        drain(connection, lambda: received)
        for window in (2, 3):
            consumer.channel.basic_qos(0, window, is_global)
            drain(connection, lambda window=window: len(received) == window)
        assert queue(connection).queue_declare(passive=True).message_count == 1
        assert [message.payload for message in received] == [0, 1, 2]


def test_reusing_a_consumer_tag_closes_the_connection(amqp_url: str, name: str) -> None:
    with Connection(amqp_url) as connection:
        channel = connection.channel()
        channel.queue_declare(name, durable=False, exclusive=True)
        channel.basic_consume(name, consumer_tag="twice")
        with pytest.raises(amqp.exceptions.NotAllowed, match="reuse consumer tag"):
            channel.basic_consume(name, consumer_tag="twice")


def test_an_idle_connection_outlives_a_silent_one(amqp_url: str, name: str) -> None:
    """Both idle for three seconds or so; only one checks its heartbeat."""
    received: list[Message] = []
    queue = Queue(name, durable=False, expires=60)
    with (
        Connection(amqp_url, heartbeat=1) as idle,
        Connection(amqp_url, heartbeat=1) as silent,
    ):
        Producer(silent).publish("held", routing_key=name, declare=[queue])
        assert queue(silent.channel()).get() is not None
        with Consumer(idle, [queue], on_message=received.append):
            while not received:
                # Shorter than the broker's own heartbeats are apart: each of them
                # would have py-amqp wait once more.
                with suppress(socket.timeout):
                    idle.drain_events(timeout=0.1)
                idle.heartbeat_check()
        assert received[0].delivery_info["redelivered"]
        queue(idle).delete()
