"""pika: consumers, and settling what they were given."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from pika.exceptions import ChannelClosedByBroker

from tests.interop.blocking import get, pump, ready_count

if TYPE_CHECKING:
    import pika
    from pika.adapters.blocking_connection import BlockingChannel

pytestmark = pytest.mark.interop


def take(channel: BlockingChannel, queue: str, count: int) -> list[int]:
    """Consume and acknowledge that many messages: the numbers in them."""
    numbers: list[int] = []
    for method, _, body in channel.consume(queue):
        channel.basic_ack(method.delivery_tag)
        numbers.append(int(body))
        if len(numbers) == count:
            break
    return numbers


def test_consume_generator_delivers_in_order_and_cancel_returns_the_rest(
    channel: BlockingChannel, queue: str
) -> None:
    channel.confirm_delivery()
    for number in range(100):
        channel.basic_publish("", queue, str(number).encode())
    channel.basic_qos(prefetch_count=10)
    seen = take(channel, queue, 90)
    channel.cancel()
    left = take(channel, queue, 10)
    assert seen == list(range(90))
    assert sorted(left) == list(range(90, 100))


def test_consume_generator_ends_when_its_queue_is_deleted(
    connection: pika.BlockingConnection, channel: BlockingChannel, queue: str
) -> None:
    deleter = connection.channel()
    deleter.basic_publish("", queue, b"last")
    bodies = []
    for _, _, body in channel.consume(queue, auto_ack=True):
        bodies.append(body)
        deleter.queue_delete(queue)
    assert bodies == [b"last"]
    assert channel.is_open


def test_deleting_a_queue_tells_its_consumer(
    connection: pika.BlockingConnection, channel: BlockingChannel, queue: str
) -> None:
    cancelled: list[str] = []
    channel.add_on_cancel_callback(
        lambda frame: cancelled.append(frame.method.consumer_tag)
    )
    tag = channel.basic_consume(queue, lambda *_: None)
    assert tag.startswith("ctag")
    connection.channel().queue_delete(queue)
    pump(connection, lambda: cancelled == [tag])


def test_nack_and_reject_requeue_in_front_and_mark_redelivered(
    channel: BlockingChannel, queue: str
) -> None:
    channel.confirm_delivery()
    for body in (b"nacked", b"rejected", b"last"):
        channel.basic_publish("", queue, body)
    first, _, _ = channel.basic_get(queue)
    second, _, _ = channel.basic_get(queue)
    channel.basic_reject(second.delivery_tag, requeue=True)
    channel.basic_nack(first.delivery_tag, requeue=True)
    assert get(channel, queue) == (b"nacked", True)
    assert get(channel, queue) == (b"rejected", True)
    assert get(channel, queue) == (b"last", False)


def test_multiple_settles_everything_up_to_the_tag(
    channel: BlockingChannel, queue: str
) -> None:
    channel.confirm_delivery()
    for body in (b"1", b"2", b"3", b"4"):
        channel.basic_publish("", queue, body)
    tags = [channel.basic_get(queue)[0].delivery_tag for _ in range(4)]
    channel.basic_ack(tags[1], multiple=True)
    channel.basic_nack(tags[3], multiple=True, requeue=False)
    channel.basic_recover(requeue=True)
    assert get(channel, queue) == (None, None)


def test_recover_gives_back_what_is_unacked(
    channel: BlockingChannel, queue: str
) -> None:
    channel.basic_publish("", queue, b"again")
    channel.basic_get(queue)
    channel.basic_recover(requeue=True)
    assert get(channel, queue) == (b"again", True)


def test_closing_a_channel_requeues_what_it_held(
    connection: pika.BlockingConnection, channel: BlockingChannel, queue: str
) -> None:
    holder = connection.channel()
    holder.basic_publish("", queue, b"held")
    holder.basic_get(queue)
    holder.close()
    assert get(channel, queue) == (b"held", True)


def test_prefetch_bounds_what_a_consumer_holds(
    connection: pika.BlockingConnection, channel: BlockingChannel, queue: str
) -> None:
    channel.confirm_delivery()
    for _ in range(5):
        channel.basic_publish("", queue, b"")
    tags: list[int] = []
    channel.basic_qos(prefetch_count=2)
    channel.basic_consume(
        queue, lambda *arguments: tags.append(arguments[1].delivery_tag)
    )
    pump(connection, lambda: len(tags) == 2)
    assert ready_count(channel, queue) == 3
    channel.basic_ack(tags[-1], multiple=True)
    pump(connection, lambda: len(tags) == 4)
    assert ready_count(channel, queue) == 1


def test_two_consumers_share_a_queue_by_turns(
    connection: pika.BlockingConnection, channel: BlockingChannel, queue: str
) -> None:
    received: dict[str, list[bytes]] = {"a": [], "b": []}
    for tag, bodies in received.items():
        channel.basic_consume(
            queue,
            lambda *arguments, bodies=bodies: bodies.append(arguments[-1]),
            auto_ack=True,
            consumer_tag=tag,
        )
    publisher = connection.channel()
    publisher.confirm_delivery()
    for number in range(10):
        publisher.basic_publish("", queue, str(number).encode())
    pump(connection, lambda: sum(map(len, received.values())) == 10)
    assert [len(bodies) for bodies in received.values()] == [5, 5]


def test_an_exclusive_consumer_keeps_others_out(
    connection: pika.BlockingConnection, channel: BlockingChannel, queue: str
) -> None:
    channel.basic_consume(queue, lambda *_: None, exclusive=True)
    with pytest.raises(ChannelClosedByBroker) as refused:
        connection.channel().basic_consume(queue, lambda *_: None)
    assert refused.value.reply_code == 403


def test_a_worker_thread_acknowledges_through_the_connection(
    connection: pika.BlockingConnection, channel: BlockingChannel, queue: str
) -> None:
    acked: list[int] = []

    def acknowledge(tag: int) -> None:
        channel.basic_ack(tag)
        acked.append(tag)

    def work(tag: int) -> None:
        connection.add_callback_threadsafe(lambda: acknowledge(tag))

    def start(_: object, method: pika.spec.Basic.Deliver, *__: object) -> None:
        threads.append(threading.Thread(target=work, args=(method.delivery_tag,)))
        threads[-1].start()

    threads: list[threading.Thread] = []
    channel.basic_consume(queue, start)
    for _ in range(20):
        connection.channel().basic_publish("", queue, b"job")
    pump(connection, lambda: len(acked) == 20)
    for thread in threads:
        thread.join()
    channel.close()
    assert get(connection.channel(), queue) == (None, None)
