"""Tutorial 3, "Publish/Subscribe": a copy of each message for every subscriber.

A subscriber has a queue of its own, which goes away with its connection (`exclusive`).

    python examples/tutorials/3_publish_subscribe.py [URL]
"""

from __future__ import annotations

import sys

import trio

import warren

URL = "amqp://guest:guest@127.0.0.1:5672/"
EXCHANGE = "tutorial.logs"
LINES = ["info: it begins", "info: it ends"]


async def listen(
    name: str,
    url: str,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Print every line that comes, up to the last."""
    async with warren.connect(url) as connection:
        await connection.declare_exchange(EXCHANGE, "fanout", auto_delete=True)
        queue = await connection.declare_queue(exclusive=True)  # it gets a name
        await connection.bind_queue(queue, EXCHANGE)
        async with connection.consume(queue, str, no_ack=True) as lines:
            task_status.started()
            async for line in lines:
                print(f"{name}: {line.value}")
                if line.value == LINES[-1]:
                    return


async def main(url: str = URL) -> None:
    """Two listeners, and one who says something."""
    async with trio.open_nursery() as nursery:
        for name in ("screen", "file"):
            await nursery.start(listen, name, url)
        async with warren.connect(url) as connection:
            for line in LINES:
                await connection.publish(line, exchange=EXCHANGE)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
