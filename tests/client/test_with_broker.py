"""The trio shell against a broker, over a real socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from warren._client.batch import Batch, BatchFailed
from warren._client.connect import connect
from warren.errors import AccessRefused, NotAllowed, NotFound, PreconditionFailed
from warren.wire.methods import QueueDelete, QueueDeleteOk
from warren.wire.properties import Properties

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from warren._client.channel import Channel


def on_a_channel(url: str, main: Callable[[Channel], Awaitable[None]]) -> None:
    """Run `main` with a channel."""

    async def run() -> None:
        async with connect(url) as connection, connection.channel() as channel:
            await main(channel)

    trio.run(run)


async def own_queue(channel: Channel) -> str:
    return (await channel.declare_queue(exclusive=True)).name


def test_messages_come_as_they_were_published(url: str) -> None:
    properties = Properties(
        content_type="text/plain",
        headers={"number": 1, "nested": {"list": [True, None, b"\xff", "text"]}},
        delivery_mode=2,
        priority=3,
        message_id="mine",
    )
    bodies = [b"", b"x", bytes(131_064), bytes(131_065), bytes(1_000_000)]

    async def main(channel: Channel) -> None:
        queue = await own_queue(channel)
        await channel.bind_queue(queue, "amq.direct", "key")
        for body in bodies:
            await channel.publish(
                body, exchange="amq.direct", routing_key="key", properties=properties
            )
        async with channel.consume(queue) as consumer:
            for body in bodies:
                delivery = await anext(consumer)
                assert delivery.body == body
                assert delivery.properties == properties
                assert (delivery.exchange, delivery.routing_key) == (
                    "amq.direct",
                    "key",
                )
                assert not delivery.redelivered
                delivery.ack()

    on_a_channel(url, main)


def test_a_batch_keeps_its_order(url: str) -> None:
    async def main(channel: Channel) -> None:
        queue = await own_queue(channel)
        async with channel.batch() as batch:
            for number in range(5000):
                await batch.publish(b"%d" % number, routing_key=queue)
        assert batch.confirmed_count == 5000
        async with channel.consume(queue, no_ack=True) as consumer:
            for number in range(5000):
                assert (await anext(consumer)).body == b"%d" % number

    on_a_channel(url, main)


def test_a_batch_tells_which_message_nobody_wants(url: str) -> None:
    async def main(channel: Channel) -> None:
        queue = await own_queue(channel)
        keys = [queue, "nowhere", queue, "nowhere"]
        batch = Batch(channel)
        for key in keys:
            await batch.publish(b"same", routing_key=key)
        with pytest.raises(BatchFailed) as caught:
            await batch.finish()
        assert [number for number, _ in caught.value.failures] == [1, 3]

    on_a_channel(url, main)


def test_what_is_not_taken_goes_back_in_its_order(url: str) -> None:
    async def main(channel: Channel) -> None:
        queue = await own_queue(channel)
        async with channel.batch() as batch:
            for number in range(300):
                await batch.publish(b"%d" % number, routing_key=queue)
        async with channel.consume(queue, prefetch=100) as consumer:
            for number in range(10):
                delivery = await anext(consumer)
                assert delivery.body == b"%d" % number
                delivery.ack()
        async with channel.consume(queue) as consumer:
            for number in range(10, 300):
                delivery = await anext(consumer)
                assert delivery.body == b"%d" % number
                delivery.ack()

    on_a_channel(url, main)


def test_errors_close_the_channel_and_say_why(url: str) -> None:
    async def main() -> None:
        async with connect(url) as connection:
            async with connection.channel() as channel:
                with pytest.raises(NotFound, match="no queue 'none' in vhost '/'"):
                    await channel.declare_queue("none", passive=True)
            async with connection.channel() as channel:
                await channel.declare_queue("mine")
                with pytest.raises(PreconditionFailed, match="inequivalent arg"):
                    await channel.declare_queue("mine", durable=True)
            async with connection.channel() as channel:
                answer = await channel.call(QueueDelete(queue="mine"), QueueDeleteOk)
                assert answer.message_count == 0

    trio.run(main)


@pytest.mark.parametrize(
    ("login", "vhost", "error"),
    [("guest:wrong", "%2F", AccessRefused), ("guest:guest", "none", NotAllowed)],
)
def test_refusals(url: str, login: str, vhost: str, error: type[Exception]) -> None:
    place = url.removeprefix("amqp://").rpartition("@")[2]
    refused = f"amqp://{login}@{place}{vhost}"

    async def main() -> None:
        with pytest.raises(error):
            async with connect(refused):
                pytest.fail("it was let in")

    trio.run(main)


def test_many_connections_at_once(url: str) -> None:
    """Each publishes to the next one's queue, all in one loop."""
    count = 20

    async def member(number: int, ready: list[trio.Event]) -> None:
        async with connect(url) as connection, connection.channel() as channel:
            await channel.declare_queue(f"ring-{number}", exclusive=True)
            ready[number].set()
            following = (number + 1) % count
            await ready[following].wait()
            await channel.publish(b"hello", routing_key=f"ring-{following}")
            async with channel.consume(f"ring-{number}") as consumer:
                assert (await anext(consumer)).body == b"hello"

    async def main() -> None:
        ready = [trio.Event() for _ in range(count)]
        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(member, number, ready)

    trio.run(main)
