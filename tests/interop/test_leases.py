"""pika: leases that end, are extended, and renew themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, NackError

from tests.interop.blocking import pump, ready_count
from tests.interop.serving import warrens_own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pika.adapters.blocking_connection import BlockingChannel

pytestmark = [pytest.mark.interop, warrens_own]


@pytest.fixture
def declare(
    connect: Callable[..., pika.BlockingConnection], channel: BlockingChannel, name: str
) -> Iterator[Callable[..., str]]:
    """Declare the test's queue with arguments, and delete it at the end."""

    def declare(**arguments: object) -> str:
        known = {
            f"x-{key.replace('_', '-')}": value for key, value in arguments.items()
        }
        channel.queue_declare(name, arguments=known)
        return name

    yield declare
    connect().channel().queue_delete(name)


def publish(channel: BlockingChannel, queue: str, *bodies: bytes) -> None:
    """Publish on a channel of its own: one in confirm mode waits."""
    publisher = channel.connection.channel()
    publisher.confirm_delivery()
    for body in bodies:
        publisher.basic_publish("", queue, body)
    publisher.close()


class Got(NamedTuple):
    """A delivery."""

    tag: int
    body: bytes
    redelivered: bool


def collect(channel: BlockingChannel, queue: str, **options: object) -> list[Got]:
    """Consume; return the list that deliveries will be in."""
    deliveries: list[Got] = []

    def on_message(
        _: BlockingChannel,
        method: pika.spec.Basic.Deliver,
        __: pika.BasicProperties,
        body: bytes,
    ) -> None:
        deliveries.append(Got(method.delivery_tag, body, method.redelivered))

    channel.basic_consume(queue, on_message, **options)
    return deliveries


def extend(
    channel: BlockingChannel, tag: int, milliseconds: int, *, mandatory: bool = False
) -> None:
    """Ask for that much more time, from now, for a delivery of this channel."""
    headers = {"delivery-tag": tag, "ms": milliseconds}
    channel.basic_publish(
        *("amq.lease", "extend", b""),
        pika.BasicProperties(headers=headers),
        mandatory=mandatory,
    )


def test_a_lease_that_ends_gives_the_message_to_another_consumer(
    connect: Callable[..., pika.BlockingConnection],
    connection: pika.BlockingConnection,
    channel: BlockingChannel,
    declare: Callable[..., str],
) -> None:
    queue = declare(consumer_timeout=100)
    publish(channel, queue, b"task")
    late, _, _ = channel.basic_get(queue)
    other = connect().channel()
    again = collect(other, queue, arguments={"x-consumer-timeout": 0})
    pump(other.connection, lambda: again)
    assert again[0].redelivered
    channel.basic_ack(late.delivery_tag)  # too late, and no harm
    assert ready_count(channel, queue) == 0
    other.basic_reject(again[0].tag)
    pump(other.connection, lambda: len(again) == 2)


def test_an_extended_lease_lasts_and_another_ends(
    connect: Callable[..., pika.BlockingConnection],
    connection: pika.BlockingConnection,
    channel: BlockingChannel,
    declare: Callable[..., str],
) -> None:
    queue = declare(consumer_timeout=1000)
    channel.confirm_delivery()
    held = collect(channel, queue, consumer_tag="slow")
    publish(channel, queue, b"long", b"short")
    pump(connection, lambda: len(held) == 2)
    extend(channel, held[0].tag, 60_000)  # waits for the confirm
    channel.basic_cancel("slow")
    other = connect().channel()
    again = collect(other, queue, auto_ack=True)
    pump(other.connection, lambda: again)
    channel.basic_ack(held[0].tag)
    connection.close()
    publish(other, queue, b"after all")
    pump(other.connection, lambda: again[-1].body == b"after all")
    assert [got.body for got in again] == [b"short", b"after all"]


def test_a_lease_that_is_not_there_cannot_be_extended(
    connection: pika.BlockingConnection,
    channel: BlockingChannel,
    declare: Callable[..., str],
) -> None:
    queue = declare()
    held = collect(channel, queue)
    publish(channel, queue, b"task")
    pump(connection, lambda: held)
    channel.confirm_delivery()
    tag = held[0].tag
    with pytest.raises(NackError):
        extend(channel, tag + 1, 1000)
    with pytest.raises(NackError) as refused:
        extend(channel, tag + 1, 1000, mandatory=True)
    assert refused.value.messages[0].method.exchange == "amq.lease"
    extend(channel, tag, 1000, mandatory=True)
    channel.basic_ack(tag)
    with pytest.raises(NackError):
        extend(channel, tag, 1000)


def test_heartbeats_renew_the_lease_of_a_long_task(
    connect: Callable[..., pika.BlockingConnection], declare: Callable[..., str]
) -> None:
    """A worker whose connection lives keeps its task; a hung one loses its own."""
    queue = declare(consumer_timeout=1500, lease_renew="connection")
    alive = connect(heartbeat=1)
    worker = alive.channel()
    worker.basic_qos(prefetch_count=1)
    task = collect(worker, queue)
    publish(worker, queue, b"long")
    pump(alive, lambda: task)
    hung = connect(heartbeat=0).channel()
    lost = collect(hung, queue, consumer_tag="hung")
    publish(worker, queue, b"lost")
    pump(hung.connection, lambda: lost)
    hung.basic_cancel("hung")
    # From now on only the heartbeats of the first connection are heard.
    second = alive.channel()
    found = collect(second, queue)
    pump(alive, lambda: found)
    assert [got.body for got in found] == [b"lost"]
    worker.basic_ack(task[0].tag)
    second.basic_ack(found[0].tag)
    assert ready_count(second, queue) == 0


def test_the_end_of_a_lease_can_cancel_its_consumer(
    connection: pika.BlockingConnection,
    channel: BlockingChannel,
    declare: Callable[..., str],
) -> None:
    queue = declare(consumer_timeout=50, consumer_timeout_action="cancel")
    cancelled: list[str] = []
    channel.add_on_cancel_callback(
        lambda frame: cancelled.append(frame.method.consumer_tag)
    )
    held = collect(channel, queue, consumer_tag="slow")
    publish(channel, queue, b"task")
    pump(connection, lambda: cancelled)
    assert cancelled == ["slow"]
    assert len(held) == 1
    assert ready_count(channel, queue) == 1


def test_the_end_of_a_lease_can_close_the_channel(
    connection: pika.BlockingConnection,
    channel: BlockingChannel,
    declare: Callable[..., str],
) -> None:
    queue = declare(consumer_timeout=50, consumer_timeout_action="close-channel")
    slow = connection.channel()
    collect(slow, queue)
    publish(channel, queue, b"task")
    with pytest.raises(ChannelClosedByBroker) as closed:
        slow.start_consuming()
    assert closed.value.reply_code == 406
    assert "delivery acknowledgement on channel" in closed.value.reply_text
    assert ready_count(channel, queue) == 1


def test_the_end_of_a_lease_can_dead_letter(
    connection: pika.BlockingConnection,
    channel: BlockingChannel,
    queue: str,
    declare: Callable[..., str],
) -> None:
    slow = declare(
        consumer_timeout=50,
        consumer_timeout_action="dead-letter",
        dead_letter_exchange="",
        dead_letter_routing_key=queue,
    )
    collect(channel, slow)
    dead = collect(channel, queue)
    publish(channel, slow, b"task")
    pump(connection, lambda: dead)
    assert ready_count(channel, slow) == 0
