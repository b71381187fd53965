"""Crew: the pools and tickers of an app on one connection, and how they drain."""

from __future__ import annotations

import logging
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, final

import trio

from warren._worker.delays import delays_of, is_warren
from warren._worker.endings import ending_for
from warren._worker.fairly import publish_fairly
from warren._worker.handling import Handling
from warren._worker.once import Once
from warren._worker.pool import Pool, declare_if_missing
from warren._worker.retry import sole_leaf
from warren._worker.statistics import Counts
from warren._worker.ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from warren._client.connection import Connection
    from warren._worker.handling import Middleware
    from warren._worker.timetable import Timetable
    from warren._worker.worker import Worker

LOG: Final = logging.getLogger("warren.worker")

GRACE_SECONDS: Final = 5.0
"""After a drain, to say what goes back to the queues."""


@final
class Crew:
    """All that runs for an app in this process. Made by `App.running`."""

    def __init__(self, connection: Connection, counts: list[Counts]) -> None:
        self.connection = connection
        """What it works on; anybody may publish with it."""
        self._counts = counts

    def statistics(self) -> list[Counts]:
        """Return what was done so far, for each queue."""
        return [counts.copy() for counts in self._counts]


@asynccontextmanager
async def running_crew(
    connection: Connection,
    workers: Sequence[Worker],
    timetables: Mapping[str, Timetable],
    middleware: Sequence[Middleware],
    drain_seconds: float,
) -> AsyncIterator[Crew]:
    """Work during the block; then take nothing more and finish what runs.

    What is not finished after `drain_seconds` goes back to its queue. Raises what a
    queue cannot be consumed for, and what ends the connection for good.
    """
    await connection.wait_connected()
    counts = [Counts(worker.queue) for worker in workers]
    failure: BaseException | None = None
    with ExitStack() as stack:
        pools = [
            _pool(connection, worker, count, middleware, stack)
            for worker, count in zip(workers, counts, strict=True)
        ]
        try:
            async with trio.open_nursery() as nursery:
                for pool in pools:
                    await nursery.start(pool.run)
                LOG.info("ready: %s", ", ".join(worker.queue for worker in workers))
                ticking = trio.CancelScope()
                nursery.start_soon(_tick, connection, timetables, ticking)
                for pool in pools:
                    pool.feed()  # now that nothing can be in the way any more
                try:
                    yield Crew(connection, counts)
                except BaseException as error:  # noqa: BLE001 - raised below
                    failure = error  # there, it is not wrapped into a group
                ticking.cancel()
                await _drain(pools, drain_seconds)
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise sole_leaf(group) from None
    if failure is not None:
        raise failure


async def _drain(pools: Sequence[Pool], seconds: float) -> None:
    deadline = trio.current_time() + seconds
    for pool in pools:
        pool.drain(deadline)
    with trio.CancelScope(deadline=deadline + GRACE_SECONDS):
        for pool in pools:
            await pool.wait_finished()


async def _tick(
    connection: Connection,
    timetables: Mapping[str, Timetable],
    scope: trio.CancelScope,
) -> None:
    is_scheduled = is_warren(connection)
    with scope:
        async with trio.open_nursery() as nursery:
            for queue, timetable in timetables.items():
                ticker = Ticker(queue, timetable, connection, is_scheduled=is_scheduled)
                nursery.start_soon(ticker.run)


def _pool(
    connection: Connection,
    worker: Worker,
    counts: Counts,
    middleware: Sequence[Middleware],
    stack: ExitStack,
) -> Pool:
    ending = ending_for(
        worker,
        partial(publish_fairly, connection),
        counts,
        delays_of(connection),
        partial(declare_if_missing, connection),
    )
    if worker.style == "periodic":
        middleware = [Once(), *middleware]
    handling = Handling(worker, connection, ending, counts, middleware)
    return Pool(
        worker,
        connection,
        stack.enter_context(handling),
        counts,
        has_leases=is_warren(connection),
    )
