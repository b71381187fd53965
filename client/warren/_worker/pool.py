"""Pool: one queue, and the jobs that run for it in this process.

One task feeds: it takes a slot, then leave of the rate, then what the consumer has, and
starts a job with it. What is not started stays in the consumer, and goes back to the
queue from there. The jobs outlive their consumer, if that is lost: what they held is
back in the queue then, and cannot be acknowledged any more.
"""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, final

import trio

from warren._client.windows import Window
from warren._worker.batches import parts
from warren._worker.rate import Rate
from warren._worker.slots import Slots
from warren.errors import ChannelError, NotFound, WarrenError
from warren.protocol.failures import (
    ChannelClosed,
    ConsumerLost,
    Nacked,
    SettleFailed,
    Unroutable,
)

if TYPE_CHECKING:
    from warren._client.connection import Connection
    from warren._client.consumer import Consumer
    from warren._client.delivery import Delivery
    from warren._worker.handling import Handling
    from warren._worker.slots import Slot
    from warren._worker.statistics import Counts
    from warren._worker.worker import Worker
    from warren.wire.table import Table

LOG: Final = logging.getLogger("warren.worker")

PAUSE_SECONDS: Final = 1.0
"""After something that only another can mend, and before it is tried again."""

EXTENSIONS_PER_LEASE: Final = 3

END_OF_CONSUMER: Final = (ConsumerLost, ChannelError, ChannelClosed)
"""Errors after which a new consumer may be had."""

_MS: Final = 1000


@final
class Pool:
    """Runs one worker, until it is drained."""

    def __init__(
        self,
        worker: Worker,
        connection: Connection,
        handling: Handling,
        counts: Counts,
        *,
        has_leases: bool,
    ) -> None:
        """`has_leases`: the broker has leases, and they can be extended."""
        self._worker = worker
        self._queue = worker.queue
        self._has_leases = has_leases
        self._connection = connection
        self._handling = handling
        self._counts = counts
        self._slots = Slots(worker.concurrency)
        self._rate = Rate(worker.rate)
        self._feeding = trio.CancelScope()  # a new one for each consumer
        self._drain_until: float | None = None
        self._idle = trio.Event()
        self._idle.set()
        self._finished = trio.Event()
        self._may_feed = trio.Event()

    def feed(self) -> None:
        """Begin to handle messages. Until then they wait here, and none is begun."""
        self._may_feed.set()

    def drain(self, deadline: float) -> None:
        """Take nothing more; what runs has until then."""
        self._drain_until = deadline
        self._feeding.cancel()

    async def wait_finished(self) -> None:
        """Wait until `run` is over."""
        await self._finished.wait()

    async def run(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Work until it is drained. Started when the queue is there and consumed.

        Handles nothing before `feed` is called.

        Raises what the first attempt to consume ends with, and what ends the connection
        for good. Later on a queue that is deleted is declared again.
        """
        is_started = False
        async with trio.open_nursery() as jobs:
            while self._drain_until is None:
                try:
                    async with AsyncExitStack() as stack:
                        with self._until_drained() as scope:
                            consumer = await self._open(stack)
                        if scope.cancelled_caught:
                            break
                        if not is_started:
                            task_status.started()
                        is_started = True
                        await self._serve(consumer, jobs)
                except END_OF_CONSUMER as error:
                    if not is_started:
                        raise
                    LOG.warning("%s: consumes no more: %s", self._queue, error)
                    with self._until_drained():
                        await trio.sleep(PAUSE_SECONDS)
            await self._finish()
            jobs.cancel_scope.cancel()
        self._finished.set()

    async def _open(self, stack: AsyncExitStack) -> Consumer[Any]:
        """Consume as long as the stack is open; wait for a broker that is down."""
        await declare_if_missing(self._connection, self._queue, self._worker.arguments)
        arguments: Table = {}
        if self._has_leases:
            arguments["x-consumer-timeout"] = round(self._worker.lease * _MS)
            arguments["x-consumer-timeout-action"] = "requeue"
        consuming = self._connection.consume(
            self._queue,
            prefetch=self._worker.held_max,
            on_error="requeue",
            arguments=arguments,
        )
        return await stack.enter_async_context(consuming)

    async def _serve(self, consumer: Consumer[Any], jobs: trio.Nursery) -> None:
        keeping = trio.CancelScope()
        if self._has_leases:
            jobs.start_soon(self._keep_leases, consumer, keeping)
        try:
            with self._until_drained():
                await self._may_feed.wait()
                await self._feed(consumer, jobs)
            await consumer.aclose()  # what is not started goes back
            await self._finish()
        finally:
            keeping.cancel()

    def _until_drained(self) -> trio.CancelScope:
        self._feeding = trio.CancelScope()
        if self._drain_until is not None:
            self._feeding.cancel()
        return self._feeding

    async def _finish(self) -> None:
        """Wait for what runs, if this is a drain; its time may be over before."""
        if self._drain_until is not None:
            with trio.CancelScope(deadline=self._drain_until):
                await self._idle.wait()

    # --- feeding

    async def _feed(self, consumer: Consumer[Any], jobs: trio.Nursery) -> None:
        worker = self._worker
        windows = consumer.windows(worker.batch, worker.wait) if worker.batch else None
        while True:
            slot = await self._slots.take()
            try:
                if windows is None:
                    window = Window([await anext(consumer)])
                else:
                    window = await anext(windows)
                await self._take_leave(window)
            except BaseException:
                slot.release()
                raise
            if window[0].is_stale:  # lost while it waited, and back in the queue
                self._counts.stale += len(window)
                slot.release()
                continue
            self._begin(len(window))
            jobs.start_soon(self._work, window, slot)

    async def _take_leave(self, window: Window[Any]) -> None:
        """Wait for the rate. Whoever is cancelled meanwhile gives back what he has."""
        try:
            await self._rate.take(len(window))
        except trio.Cancelled:
            _give_back(window)
            raise

    async def _keep_leases(
        self, consumer: Consumer[Any], scope: trio.CancelScope
    ) -> None:
        """Have the leases of all that is held begin anew, now and then.

        The loop that does this is the one that the jobs run in. When it stands still,
        or the machine does, the leases end and others get the messages.
        """
        with scope:
            while True:
                await trio.sleep(self._worker.lease / EXTENSIONS_PER_LEASE)
                if (channel := consumer.channel) is not None:
                    try:
                        await channel.extend_lease(0, self._worker.lease)
                    except (Unroutable, Nacked):
                        pass  # it holds nothing
                    except WarrenError as error:
                        LOG.debug("%s: no lease extended: %s", self._queue, error)

    # --- working

    async def _work(self, window: Window[Any], slot: Slot) -> None:
        """Handle what a window holds, and settle it. What has failed comes alone."""
        try:
            with slot:
                for part in parts(window):
                    await self._work_on(Window(part), slot)
        except trio.Cancelled:
            _give_back(window)
            raise
        finally:
            self._end(len(window))

    async def _work_on(self, window: Window[Any], slot: Slot) -> None:
        try:
            async with window:
                for message in await self._handle(window, slot):
                    message.reject()
        except SettleFailed as error:
            self._counts.stale += len(window)
            LOG.warning("%s: it will come again: %s", self._queue, error)
        except WarrenError:
            pass  # logged, and given back

    async def _handle(self, window: Window[Any], slot: Slot) -> list[Any]:
        try:
            return await self._handling.handle(window, slot)
        except WarrenError as error:  # what follows could not be published
            if not window[0].is_stale:
                LOG.error("%s: given back: %s", self._queue, error)
                await trio.sleep(PAUSE_SECONDS)
            raise

    def _begin(self, count: int) -> None:
        self._counts.running += count
        self._idle = trio.Event()

    def _end(self, count: int) -> None:
        self._counts.running -= count
        if not self._counts.running:
            self._idle.set()


def _give_back(window: Window[Any]) -> None:
    delivery: Delivery[Any]
    for delivery in window:
        if not delivery.is_settled and not delivery.is_stale:
            delivery.requeue()


async def declare_if_missing(
    connection: Connection, queue: str, arguments: Table | None = None
) -> None:
    """Leave a queue as it is; declare one that is not there, durable."""
    try:
        await connection.declare_queue(queue, passive=True)
    except NotFound:
        await connection.declare_queue(queue, durable=True, arguments=arguments)
