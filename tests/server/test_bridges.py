"""Bridges between streams and queues, on a disk, from one start to the next."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

import pika

from tests.testing.clients import connected
from warren_broker.core.broker import Broker as Core
from warren_broker.core.stream.stream import Stream
from warren_broker.server.beginning import Beginning
from warren_broker.server.configured import read_configured
from warren_broker.server.settings import ServerSettings
from warren_broker.testing import Broker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pika.adapters.blocking_connection import BlockingChannel

STREAM = {"x-queue-type": "stream"}
PERSISTENT = pika.BasicProperties(delivery_mode=2)


@contextmanager
def started(data_dir: Path) -> Iterator[BlockingChannel]:
    """A channel of a broker that keeps its data there, with confirms."""
    with (
        Broker.in_thread(data_dir=data_dir) as broker,
        connected(broker.url) as connection,
    ):
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


def take(channel: BlockingChannel, count: int) -> list[tuple[int, bytes, bool]]:
    """Take so many of the queue `work`: offset, body, redelivered."""
    channel.basic_qos(prefetch_count=count)
    return [
        (properties.headers["x-stream-offset"], body, method.redelivered)
        for method, properties, body in islice(channel.consume("work"), count)
    ]


def test_a_fed_queue_goes_on_where_it_was(tmp_path: Path) -> None:
    with started(tmp_path) as channel:
        channel.queue_declare("s", durable=True, arguments=STREAM)
        for number in range(6):
            channel.basic_publish("", "s", b"%d" % number)
        arguments = {"x-source-stream": "s", "x-stream-offset": 1}
        channel.queue_declare("work", durable=True, arguments=arguments)
        records = take(channel, 3)
        assert records == [(1, b"1", False), (2, b"2", False), (3, b"3", False)]
        channel.basic_qos(prefetch_count=1)  # no more are to come
        channel.basic_ack(1)
        channel.basic_ack(3)  # out of order
    with started(tmp_path) as channel:
        assert take(channel, 4) == [
            (2, b"2", True),
            (3, b"3", True),  # it was settled, but not all that is before it
            (4, b"4", False),
            (5, b"5", False),
        ]


def test_a_tap_has_all_that_was_confirmed(tmp_path: Path) -> None:
    with started(tmp_path) as channel:
        channel.queue_declare("audit", durable=True, arguments=STREAM)
        channel.queue_declare("work", durable=True, arguments={"x-tap": "audit"})
        for number in range(3):
            channel.basic_publish("", "work", b"%d" % number, PERSISTENT)
    with started(tmp_path) as channel:
        channel.basic_publish("", "work", b"3", PERSISTENT)
        for queue in ("work", "audit"):
            declared = channel.queue_declare(queue, passive=True)
            assert declared.method.message_count == 4


def test_bridges_of_a_definitions_file_know_streams_that_come_later_in_it() -> None:
    arguments = ({"x-source-stream": "s"}, {"x-tap": "s"}, STREAM)
    document = {
        "queues": [
            {"name": name, "vhost": "/", "durable": True, "arguments": each}
            for name, each in zip(("fed", "tapped", "s"), arguments, strict=True)
        ]
    }
    broker = Core()
    Beginning(read_configured(ServerSettings()), "file", document).load(broker)
    assert [each.event for each in broker.take_notices()] == ["definitions loaded"]
    stream = broker.vhosts["/"].queues["s"]
    assert isinstance(stream, Stream)
    assert (len(stream.subscriptions), len(stream.tapped)) == (1, 1)
