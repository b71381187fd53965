"""A message is acknowledged after what follows from it is confirmed, and not before.

The broker keeps its confirms to itself, and then all connections are cut: whatever a
worker had acknowledged too early would be gone with that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

import warren
from tests.worker.memory import make_plain, memory_broker
from warren_broker.testing.publishes import Publishes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.worker.memory import MemoryBroker

SLOW = warren.Retry(attempts=2, first_seconds=1000, jitter=0)


async def succeed() -> str:
    return "done"


async def fail() -> None:
    raise ValueError


async def give_up() -> None:
    raise warren.GiveUp


@pytest.mark.parametrize("is_plain", [False, True])
@pytest.mark.parametrize("end", [succeed, fail, give_up])
def test_cut_between_a_publish_and_its_confirm(
    end: Callable[[], Awaitable[object]], is_plain: bool
) -> None:
    app = warren.App()
    publishes = Publishes()
    is_run = trio.Event()
    runs = 0

    @app.worker("orders", retry=SLOW, to="results")
    async def handle() -> object:
        nonlocal runs
        runs += 1
        if runs == 1:
            publishes.withhold()
            is_run.set()
        return await end()

    async def main() -> None:
        async with memory_broker() as broker:
            broker.broker.tap = publishes
            await live(broker)

    async def live(broker: MemoryBroker) -> None:
        async with broker.connect() as connection:
            if is_plain:
                make_plain(connection)
            for queue in ("orders", "orders.dead", "results"):
                await connection.declare_queue(queue, durable=True)
            async with app.running(connection):
                await connection.publish(b"", routing_key="orders")
                await is_run.wait()
                await trio.sleep(5)
                assert len(publishes.seen) == 2  # the order, and what follows
                assert broker.queues["orders"].unacked_count == 1
                publishes.release()
                await broker.cut()
                await trio.sleep(5)
                assert runs == 2

    trio.run(main, clock=MockClock(autojump_threshold=0))
