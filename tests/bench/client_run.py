"""One client at one task, as a process: `python -m tests.bench.client_run`.

`publish` sends messages of 64 bytes with confirms, as many at once as the client's own
way of it allows; `consume` takes them with a prefetch of 1000 and acks each. The last
line of the output is messages per second.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Final

import aio_pika
import pika
import trio

import warren

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_pika.abc import AbstractIncomingMessage
    from pika.adapters.blocking_connection import BlockingChannel
    from pika.spec import Basic, BasicProperties

BODY: Final = bytes(64)
PREFETCH: Final = 1000
AT_ONCE: Final = 1000


def warren_publish(url: str, queue: str, count: int) -> float:
    """A batch."""

    async def main() -> float:
        async with warren.connect(url) as connection:
            await connection.publish(BODY, routing_key=queue)
            began = time.perf_counter()
            async with connection.batch() as batch:
                for _ in range(count):
                    await batch.publish(BODY, routing_key=queue)
            return time.perf_counter() - began

    return trio.run(main)


def warren_consume(url: str, queue: str, count: int) -> float:
    """One by one, settled by context."""

    async def main() -> float:
        async with (
            warren.connect(url) as connection,
            connection.consume(queue, prefetch=PREFETCH) as consumer,
        ):
            began = time.perf_counter()
            left = count
            async for delivery in consumer:
                async with delivery:
                    left -= 1
                if not left:
                    break
            return time.perf_counter() - began

    return trio.run(main)


def aio_pika_publish(url: str, queue: str, count: int) -> float:
    """So many tasks at once, each with its own confirm."""

    async def main() -> float:
        async with await aio_pika.connect(url) as connection:
            exchange = (await connection.channel()).default_exchange
            await exchange.publish(aio_pika.Message(BODY), queue)
            began = time.perf_counter()
            for _ in range(count // AT_ONCE):
                await asyncio.gather(
                    *(
                        exchange.publish(aio_pika.Message(BODY), queue)
                        for _ in range(AT_ONCE)
                    )
                )
            return time.perf_counter() - began

    return asyncio.run(main())


def aio_pika_consume(url: str, queue: str, count: int) -> float:
    """A callback, which is its quickest way."""

    async def main() -> float:
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=PREFETCH)
            found = await channel.get_queue(queue)
            done = asyncio.Event()
            left = count

            async def on_message(message: AbstractIncomingMessage) -> None:
                nonlocal left
                await message.ack()
                left -= 1
                if not left:
                    done.set()

            began = time.perf_counter()
            tag = await found.consume(on_message)
            await done.wait()
            seconds = time.perf_counter() - began
            await found.cancel(tag)
            return seconds

    return asyncio.run(main())


def pika_publish(url: str, queue: str, count: int) -> float:
    """One by one: a BlockingChannel has no other way with confirms."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("", queue, BODY)
        began = time.perf_counter()
        for _ in range(count):
            channel.basic_publish("", queue, BODY, mandatory=True)
        return time.perf_counter() - began


def pika_consume(url: str, queue: str, count: int) -> float:
    """A callback."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=PREFETCH)
        left = count

        def on_message(
            channel: BlockingChannel,
            method: Basic.Deliver,
            properties: BasicProperties,
            body: bytes,
        ) -> None:
            nonlocal left
            channel.basic_ack(method.delivery_tag)
            left -= 1
            if not left:
                channel.stop_consuming()

        channel.basic_consume(queue, on_message)
        began = time.perf_counter()
        channel.start_consuming()
        return time.perf_counter() - began


RUNS: Final[dict[tuple[str, str], Callable[[str, str, int], float]]] = {
    ("warren", "publish"): warren_publish,
    ("warren", "consume"): warren_consume,
    ("aio-pika", "publish"): aio_pika_publish,
    ("aio-pika", "consume"): aio_pika_consume,
    ("pika", "publish"): pika_publish,
    ("pika", "consume"): pika_consume,
}


if __name__ == "__main__":
    client, task, url, queue, count = sys.argv[1:]
    seconds = RUNS[client, task](url, queue, int(count))
    print(int(count) / seconds)
