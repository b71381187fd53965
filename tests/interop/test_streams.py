"""pika and aio-pika read streams just as they read RabbitMQ's."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import aio_pika
import pika
import pytest
from pika.exceptions import (
    AMQPError,
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
)

from tests.interop.asynchronous import asynchronous
from tests.interop.blocking import pump
from tests.interop.serving import Serving, warrens_own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pika.adapters.blocking_connection import BlockingChannel

pytestmark = pytest.mark.interop

STREAM = {"x-queue-type": "stream"}
TIMEOUT_SECONDS = 15
DAY_AGO = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture
def stream(channel: BlockingChannel, name: str) -> Iterator[str]:
    """The name of a stream with the records 0 to 9."""
    channel.queue_declare(name, durable=True, arguments=STREAM)
    channel.confirm_delivery()
    for number in range(10):
        channel.basic_publish("", name, b"%d" % number)
    yield name
    if channel.is_open:
        channel.queue_delete(name)


class Reader:
    """A consumer that acks what it gets."""

    def __init__(
        self,
        connection: pika.BlockingConnection,
        stream: str,
        tag: str | None = None,
        **arguments: object,
    ) -> None:
        self.connection = connection
        self.got: list[tuple[int, bytes]] = []
        self.headers: list[dict[str, object]] = []
        self.channel = connection.channel()
        self.channel.basic_qos(prefetch_count=5)
        named = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.tag = self.channel.basic_consume(
            stream, self._on_record, consumer_tag=tag, arguments=named
        )

    def _on_record(
        self,
        channel: BlockingChannel,
        method: pika.spec.Basic.Deliver,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        self.got.append((properties.headers["x-stream-offset"], body))
        self.headers.append(properties.headers)
        channel.basic_ack(method.delivery_tag)

    def wait(self, count: int) -> list[int]:
        """Return the offsets of what came, when there are so many."""
        pump(self.connection, lambda: len(self.got) >= count)
        return [offset for offset, _ in self.got]


@pytest.mark.parametrize(
    ("offset", "expected"),
    [("first", [*range(10)]), (7, [7, 8, 9]), (DAY_AGO, [*range(10)]), ("1h", None)],
)
def test_pika_reads_from_an_offset(
    connection: pika.BlockingConnection,
    stream: str,
    offset: object,
    expected: list[int] | None,
) -> None:
    expected = expected or [*range(10)]
    reader = Reader(connection, stream, x_stream_offset=offset)
    assert reader.wait(len(expected)) == expected
    assert reader.got[-1] == (9, b"9")


def test_two_readers_get_every_record_and_next_only_what_follows(
    connect: Callable[..., pika.BlockingConnection],
    channel: BlockingChannel,
    stream: str,
) -> None:
    one = Reader(connect(), stream, x_stream_offset="first")
    two = Reader(connect(), stream, x_stream_offset="next")
    assert one.wait(10) == [*range(10)]
    channel.basic_publish("", stream, b"10")
    assert one.wait(11) == [*range(11)]
    assert two.wait(1) == [10]


@warrens_own
def test_a_stream_counts_what_it_keeps(channel: BlockingChannel, stream: str) -> None:
    """RabbitMQ counts now and then: right after the appends it says 0."""
    answer = channel.queue_declare(stream, passive=True)
    assert answer.method.message_count == 10


def test_without_prefetch_or_by_get_it_is_refused(
    connect: Callable[..., pika.BlockingConnection], stream: str
) -> None:
    channel = connect().channel()
    with pytest.raises(ChannelClosedByBroker, match="prefetch count is not set"):
        channel.basic_consume(stream, lambda *_: None)
    other = connect()
    with pytest.raises(
        (ConnectionClosedByBroker, ChannelClosedByBroker),
        match=r"basic\.get not support",
    ):
        other.channel().basic_get(stream)


@warrens_own
def test_a_named_reader_goes_on_where_it_was(
    connect: Callable[..., pika.BlockingConnection], stream: str
) -> None:
    first = connect()
    reader = Reader(first, stream, "billing", x_stream_offset="first")
    reader.wait(10)
    first.close()
    second = connect()
    channel = second.channel()
    channel.basic_publish("", stream, b"10")
    assert Reader(second, stream, "billing").wait(1) == [10]


@warrens_own
def test_a_group_shares_the_partitions_of_a_super_stream(
    connect: Callable[..., pika.BlockingConnection],
    channel: BlockingChannel,
    name: str,
) -> None:
    arguments = {"partitions": 3}
    channel.exchange_declare(name, "x-super-stream", durable=True, arguments=arguments)
    channel.confirm_delivery()
    keys = [f"key-{number}" for number in range(30)]
    readers = [
        Reader(connect(), name, x_group="g", x_stream_offset="first") for _ in range(2)
    ]
    for key in keys:
        channel.basic_publish(name, key, key.encode())

    def got() -> list[bytes]:
        for reader in readers:
            reader.connection.process_data_events(time_limit=0.01)
        return [body for reader in readers for _, body in reader.got]

    deadline = time.monotonic() + TIMEOUT_SECONDS
    while len(got()) < len(keys):
        assert time.monotonic() < deadline
    assert sorted(got()) == sorted(key.encode() for key in keys)
    partitions = [
        {headers["x-stream-partition"] for headers in reader.headers}
        for reader in readers
    ]
    assert not partitions[0] & partitions[1]
    assert len(partitions[0] | partitions[1]) == 3
    channel.exchange_delete(name)


@warrens_own
def test_records_and_offsets_survive_a_kill(tmp_path: Path) -> None:
    with Serving(data_dir=tmp_path) as serving:
        connection = pika.BlockingConnection(pika.URLParameters(serving.url))
        channel = connection.channel()
        channel.queue_declare("s", durable=True, arguments=STREAM)
        channel.confirm_delivery()
        for number in range(20):
            channel.basic_publish("", "s", b"%d" % number)
        reader = Reader(connection, "s", "billing", x_stream_offset="first")
        reader.wait(20)
        reader.channel.close()
        # What was said before an answer is safe with it.
        connection.channel().queue_declare("q", durable=True)
        serving.kill()
        with suppress(AMQPError):
            connection.close()  # it is lost, but holds its socket
        serving.start_again()
        connection = pika.BlockingConnection(pika.URLParameters(serving.url))
        assert Reader(connection, "s", x_stream_offset="first").wait(20) == [*range(20)]
        channel = connection.channel()
        channel.basic_publish("", "s", b"20")
        assert Reader(connection, "s", "billing").wait(1) == [20]
        connection.close()


@asynchronous
async def test_aio_pika_reads_with_offsets(amqp_url: str, name: str) -> None:
    async with await aio_pika.connect_robust(amqp_url) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=3)
        queue = await channel.declare_queue(name, durable=True, arguments=STREAM)
        for number in range(10):
            message = aio_pika.Message(b"%d" % number, headers={"number": number})
            await channel.default_exchange.publish(message, name)
        offsets: list[object] = []
        arrived = asyncio.Event()

        async def on_message(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            async with message.process():
                assert message.headers["number"] == int(message.body)
                offsets.append(message.headers["x-stream-offset"])
                if len(offsets) == 8:
                    arrived.set()

        tag = await queue.consume(on_message, arguments={"x-stream-offset": 2})
        await arrived.wait()
        assert offsets == [*range(2, 10)]
        await queue.cancel(tag)
        await queue.delete(if_unused=False, if_empty=False)
