"""A worker of the demo: a process of its own, started with `python -m`.

It takes jobs from all job queues, does one of each kind at a time, and ends when its
standard input ends: after the jobs in its hands, or with the demo if that was killed.
"""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import trio

from warren._client.connect import connect
from warren.errors import WarrenError
from warren_broker.cli.demo_plan import JOB_QUEUES, RESULTS, Job, Result
from warren_broker.cli.pipes import read_all

if TYPE_CHECKING:
    from warren._client.channel import Channel
    from warren._client.consumer import Consumer

STANDARD_INPUT: Final = 0


async def work(url: str, name: str, prefetch: int, job_seconds: float) -> None:
    """Do jobs until standard input ends."""
    async with (
        connect(url) as connection,
        connection.channel() as channel,
        AsyncExitStack() as stack,
        trio.open_nursery() as nursery,
    ):
        consumers = [
            await stack.enter_async_context(channel.consume(queue, prefetch=prefetch))
            for queue in JOB_QUEUES
        ]
        for consumer in consumers:
            nursery.start_soon(_do_jobs, channel, consumer, name, job_seconds)
        await read_all(STANDARD_INPUT)
        for consumer in consumers:
            await consumer.stop()


async def _do_jobs(
    channel: Channel, consumer: Consumer[Any], name: str, job_seconds: float
) -> None:
    async for delivery in consumer:
        await trio.sleep(job_seconds)  # this is where work would be done
        result = Result(Job.decode(delivery.body), name, delivery.redelivered)
        await channel.publish(result.encode(), exchange=RESULTS, routing_key=result.key)
        delivery.ack()


def main(url: str, name: str, prefetch: str, job_seconds: str) -> None:
    """Run as a process."""
    try:
        trio.run(work, url, name, int(prefetch), float(job_seconds))
    except* (WarrenError, OSError) as group:
        sys.exit(f"{name}: {group.exceptions}")


if __name__ == "__main__":
    main(*sys.argv[1:])
