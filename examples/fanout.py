"""Fanout: every subscriber gets a copy of each message.

A subscriber has a queue of its own, bound to the exchange. The publisher knows the
exchange only, and not who listens.

    python examples/fanout.py [URL]
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import aio_pika

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractQueue

URL = "amqp://guest:guest@127.0.0.1:5672/"
EXCHANGE = "example.news"
NEWS = ["the shop is open", "the shop is closed"]


async def subscribe(channel: AbstractChannel) -> AbstractQueue:
    """Return a queue that gets a copy of all news, and goes away with its reader."""
    exchange = await channel.declare_exchange(EXCHANGE, "fanout", auto_delete=True)
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(exchange)
    return queue


async def read(name: str, queue: AbstractQueue) -> None:
    """Print the news, and stop with the last."""
    async with queue.iterator() as messages:
        async for message in messages:
            async with message.process():  # acknowledged when the block is left
                text = message.body.decode()
                print(f"{name} reads: {text}")
            if text == NEWS[-1]:
                return


async def main(url: str = URL) -> None:
    """Two subscribers, one publisher."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        readers = [read(name, await subscribe(channel)) for name in ("Ada", "Grace")]
        exchange = await channel.get_exchange(EXCHANGE)
        for text in NEWS:
            await exchange.publish(aio_pika.Message(text.encode()), routing_key="")
        await asyncio.gather(*readers)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
