"""Tutorial 7, "Publisher Confirms": three ways to know that the broker has a message.

One after the other is simple and slow; many at once are as quick as the broker; and a
batch is as quick without a task for each message.

    python examples/tutorials/7_publisher_confirms.py [URL]
"""

from __future__ import annotations

import sys
from functools import partial

import trio

import warren

URL = "amqp://guest:guest@127.0.0.1:5672/"
COUNT = 200


async def one_by_one(connection: warren.Connection, queue: str) -> None:
    """Each publish returns when its message is confirmed."""
    for number in range(COUNT):
        await connection.publish(number, routing_key=queue)


async def at_once(connection: warren.Connection, queue: str) -> None:
    """Each in a task of its own, on the same connection."""
    async with trio.open_nursery() as nursery:
        for number in range(COUNT):
            nursery.start_soon(partial(connection.publish, number, routing_key=queue))


async def in_a_batch(connection: warren.Connection, queue: str) -> None:
    """One wait at the end of the block; it tells which messages have failed."""
    try:
        async with connection.batch() as batch:
            for number in range(COUNT):
                key = "nowhere" if number == 7 else queue
                await batch.publish(number, routing_key=key)
    except warren.BatchFailed as failed:
        for number, error in failed.failures:
            print(f"message {number} of the batch: {error}")


async def main(url: str = URL) -> None:
    """Each way in turn."""
    async with warren.connect(url) as connection:
        queue = await connection.declare_queue(exclusive=True)
        for publish in (one_by_one, at_once, in_a_batch):
            await publish(connection, queue.name)
            count = await connection.purge_queue(queue)
            print(f"{publish.__name__}: {count} messages are in the queue")


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
