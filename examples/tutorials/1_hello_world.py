"""Tutorial 1, "Hello World": one message, from a sender to a receiver.

python examples/tutorials/1_hello_world.py [URL]
"""

from __future__ import annotations

import sys

import trio

import warren

URL = "amqp://guest:guest@127.0.0.1:5672/"
QUEUE = "tutorial.hello"


async def send(url: str) -> None:
    """Publish to the queue by its name."""
    async with warren.connect(url) as connection:
        await connection.declare_queue(QUEUE)
        await connection.publish("Hello World!", routing_key=QUEUE)
        print("sent: Hello World!")


async def receive(url: str) -> None:
    """Consume until the first message; leaving the block stops it."""
    async with warren.connect(url) as connection:
        queue = await connection.declare_queue(QUEUE)  # whoever comes first makes it
        async with connection.consume(queue, str) as messages:
            async for message in messages:
                async with message:
                    print(f"received: {message.value}")
                break
        await connection.delete_queue(queue)


async def main(url: str = URL) -> None:
    """Send, then receive."""
    await send(url)
    await receive(url)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
