"""Worker pool: handlers of a queue, with retries and dead letters.

    python examples/worker_pool.py [URL]

The upper half is what a program of your own would have; `warren worker module:app` runs
it in several processes. The lower half publishes orders, and ends when all are settled.
"""

from __future__ import annotations

import sys

import attrs
import trio

import warren

app = warren.App(*sys.argv[1:])


@attrs.frozen
class Order:
    """What a body must fit."""

    item: str
    count: int = 1


@app.worker("example.orders", retry=warren.Retry(attempts=3, first_seconds=0.1))
async def ship(order: Order, job: warren.Job) -> None:
    """Done when this returns; tried again when it raises."""
    if order.item == "glass" and job.attempt == 1:
        raise ValueError("it broke")
    if order.count > 9:
        raise warren.GiveUp("there are not so many")
    print(f"{order.count} {order.item} shipped at attempt {job.attempt}")
    settled.release()


@app.worker("example.orders.dead")
async def mourn(body: bytes, job: warren.Job) -> None:
    """Dead letters come to a queue like any other."""
    print(f"given up, {job.headers['x-reason']}: {job.headers['x-exception-text']}")
    settled.release()


# --- the lower half

settled = trio.Semaphore(0)


async def main() -> None:
    """Publish, and work until all is settled."""
    orders = [Order("tea"), Order("glass", 6), Order("tea", 10), {"colour": "red"}]
    async with app.connect() as connection:
        async with app.running(connection):
            for order in orders:
                await connection.publish(order, routing_key="example.orders")
            for _ in orders:
                await settled.acquire()
        for queue in ("example.orders", "example.orders.dead"):
            await connection.delete_queue(queue)


if __name__ == "__main__":
    trio.run(main)
