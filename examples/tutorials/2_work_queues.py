"""Tutorial 2, "Work Queues": tasks shared by workers, and none lost with a worker.

The queue is durable and messages are persistent unless you say otherwise, so tasks
survive a restart of the broker. A worker gets the next task when it has acked the one
before (`prefetch=1`); what a worker leaves without an ack goes to another.

    python examples/tutorials/2_work_queues.py [URL]
"""

from __future__ import annotations

import sys

import trio

import warren

URL = "amqp://guest:guest@127.0.0.1:5672/"
QUEUE = "tutorial.tasks"
TASKS = [f"task {number}" for number in range(1, 7)]


async def work(name: str, url: str, done: set[str]) -> None:
    """Do tasks until all are done; the clumsy one breaks down over its first."""
    async with (
        warren.connect(url) as connection,
        connection.consume(QUEUE, str, prefetch=1, on_error="requeue") as tasks,
    ):
        async for task in tasks:
            async with task:  # acked at the end of the block, requeued if it fails
                if name == "clumsy":
                    raise RuntimeError(f"{name} has broken down")
                print(f"done: {task.value}")
                done.add(task.value)
            if len(done) == len(TASKS):
                return


async def main(url: str = URL) -> None:
    """Publish tasks, let one worker fail, and another do everything."""
    async with warren.connect(url) as connection:
        await connection.declare_queue(QUEUE, durable=True)
        async with connection.batch() as batch:
            for task in TASKS:
                await batch.publish(task, routing_key=QUEUE)
        try:
            await work("clumsy", url, set())
        except RuntimeError as error:
            print(error)
        await work("careful", url, set())
        await connection.delete_queue(QUEUE)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
