"""Tutorial 6, "RPC": a question, and its answer back to whoever asked.

`request` uses direct reply-to: no queue for the answers, and nothing to clean up.

    python examples/tutorials/6_rpc.py [URL]
"""

from __future__ import annotations

import sys

import trio

import warren

URL = "amqp://guest:guest@127.0.0.1:5672/"
QUEUE = "tutorial.fibonacci"


def fibonacci(number: int) -> int:
    """Return the number at this place."""
    last, following = 0, 1
    for _ in range(number):
        last, following = following, last + following
    return last


async def serve(
    url: str, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Answer until cancelled."""
    async with warren.connect(url) as connection:
        queue = await connection.declare_queue(QUEUE, auto_delete=True)
        async with connection.consume(queue, int, prefetch=1) as questions:
            task_status.started()
            async for question in questions:
                async with question:
                    await question.reply(fibonacci(question.value))


async def main(url: str = URL) -> None:
    """Ask, with some patience."""
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, url)
        async with warren.connect(url) as connection:
            for number in (1, 10, 30):
                with trio.fail_after(5):
                    answer = await connection.request(number, int, routing_key=QUEUE)
                print(f"fibonacci({number}) is {answer.value}")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
