"""Topic exchange: subscribers choose by pattern.

A routing key is words with dots between them. In a binding `*` is any one word and `#`
any number of words, also none. A message reaches each queue that has a binding which
fits, once; one that fits nowhere comes back, because it was published as mandatory.

    python examples/topic_router.py [URL]
"""

from __future__ import annotations

import asyncio
import sys

import aio_pika
from aio_pika.exceptions import PublishError

URL = "amqp://guest:guest@127.0.0.1:5672/"
EXCHANGE = "example.measurements"

DASHBOARDS = {
    "all of Oslo": ["oslo.#"],
    "temperatures": ["*.temperature", "*.*.temperature"],
    "the roof": ["oslo.roof.*"],
}
MEASUREMENTS = [
    ("oslo.temperature", "4 C"),
    ("oslo.roof.wind", "9 m/s"),
    ("oslo.roof.temperature", "3 C"),
    ("lima.temperature", "22 C"),
    ("lima.wind", "2 m/s"),
]


async def main(url: str = URL) -> None:
    """Bind, publish, and show what each dashboard got."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(on_return_raises=True)
        exchange = await channel.declare_exchange(EXCHANGE, "topic", auto_delete=True)
        queues = {}
        for name, patterns in DASHBOARDS.items():
            queues[name] = await channel.declare_queue(exclusive=True)
            for pattern in patterns:
                await queues[name].bind(exchange, pattern)
        for key, value in MEASUREMENTS:
            message = aio_pika.Message(f"{key} = {value}".encode())
            try:
                await exchange.publish(message, routing_key=key, mandatory=True)
            except PublishError:
                print(f"nobody wants {key}")
        for name, queue in queues.items():
            while message := await queue.get(fail=False):
                await message.ack()
                print(f"{name}: {message.body.decode()}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
