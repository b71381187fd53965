"""The demo itself: one task publishes, others keep the books, one directs.

The director looks at the queues many times a second. When part of the work is done and
every job queue still holds jobs, each worker has its hands full: then it kills one. It
calls the end when every job was handled, and not before all queues are empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

import trio

from warren._client.connect import connect
from warren_broker.cli.demo_ledger import Check, Ledger
from warren_broker.cli.demo_plan import (
    AUDIT,
    AUDIT_QUEUES,
    EXCHANGES,
    JOB_QUEUES,
    JOBS,
    KILL_AFTER,
    QUEUES,
    TOPIC_RULES,
    Job,
    Plan,
    Result,
)
from warren_broker.cli.demo_view import View

if TYPE_CHECKING:
    from collections.abc import Callable

    from warren._client.channel import Channel
    from warren._client.connection import Connection
    from warren._client.consumer import Consumer
    from warren_broker.cli.demo_children import Workers

LOOK_SECONDS: Final = 0.1
BURSTS: Final = 50
"""Publishing is spread over so many bursts, so that there is something to see."""

PATIENCE_SECONDS: Final = 60.0
"""The demo gives up when it has not ended long after it should have."""


@final
class Stage:
    """One run of the demo against a broker whose workers have been started."""

    def __init__(
        self, plan: Plan, workers: Workers, show: Callable[[View], None]
    ) -> None:
        self.plan = plan
        self.ledger = Ledger(plan)
        self.view = View(plan, self.ledger, workers)
        self._workers = workers
        self._show = show
        self._collectors: list[Consumer[Any]] = []

    async def run(self, url: str) -> list[Check]:
        """Play it. Return the balance. Raises `trio.TooSlowError` if it never ends."""
        with trio.fail_after(self.plan.work_seconds + PATIENCE_SECONDS):
            async with connect(url) as connection:
                return await self._play(connection)

    async def _play(self, connection: Connection) -> list[Check]:
        async with connection.channel() as channel, trio.open_nursery() as nursery:
            nursery.start_soon(self._publish, connection)
            for queue in (*TOPIC_RULES, *AUDIT_QUEUES):
                await nursery.start(self._collect, connection, queue)
            await self._direct(channel)
            for consumer in self._collectors:
                await consumer.stop()
        async with connection.channel() as channel:
            return self.ledger.balance(await self._count_ready(channel))

    # --- publishing

    async def _publish(self, connection: Connection) -> None:
        jobs = self.plan.jobs
        size = -(-len(jobs) // BURSTS)
        async with connection.channel() as channel:
            for start in range(0, len(jobs), size):
                burst = jobs[start : start + size]
                await _publish_burst(channel, burst)
                self.ledger.on_confirmed(burst)
                await trio.sleep(self.plan.publish_seconds / BURSTS)

    # --- keeping the books

    async def _collect(
        self,
        connection: Connection,
        queue: str,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        note = self._note_audit if queue in AUDIT_QUEUES else self._note_result
        async with (
            connection.channel() as channel,
            channel.consume(queue, prefetch=500) as consumer,
        ):
            self._collectors.append(consumer)
            task_status.started()
            async for delivery in consumer:
                note(queue, delivery.body)
                delivery.ack()

    def _note_result(self, queue: str, body: bytes) -> None:
        self.ledger.on_result(queue, Result.decode(body))

    def _note_audit(self, queue: str, body: bytes) -> None:
        self.ledger.on_audit(queue, Job.decode(body))

    # --- directing

    async def _direct(self, channel: Channel) -> None:
        while not self._workers.killed:
            await self._look(channel)
            if self._hands_are_full():
                self._kill()
        while self.ledger.handled_count < self.plan.job_count:
            await self._look(channel)
        self._workers.dismiss()
        while self._workers.running() or await self._count_ready(channel):
            await self._look(channel)

    async def _look(self, channel: Channel) -> None:
        await trio.sleep(LOOK_SECONDS)
        await self._count_ready(channel)
        self._show(self.view)

    async def _count_ready(self, channel: Channel) -> int:
        """Ask the broker about each queue; return how much is ready in all of them."""
        for queue in QUEUES:
            said = await channel.declare_queue(queue.name, passive=True)
            self.view.broker[queue.name] = said
        return sum(said.message_count for said in self.view.broker.values())

    def _hands_are_full(self) -> bool:
        enough = self.ledger.handled_count >= self.plan.job_count * KILL_AFTER
        return enough and all(
            self.view.broker[queue].message_count for queue in JOB_QUEUES
        )

    def _kill(self) -> None:
        victim = self.plan.victim
        pid = self._workers.pid(victim)
        self._workers.kill(victim)
        self.view.events.append(
            f" {victim} (process {pid}) killed by SIGKILL, with jobs in its hands"
        )


async def _publish_burst(channel: Channel, burst: list[Job]) -> None:
    async with channel.batch() as batch:
        for job in burst:
            body = job.encode()
            await batch.publish(body, exchange=JOBS, routing_key=job.kind)
            await batch.publish(body, exchange=AUDIT)


async def set_stage(url: str) -> None:
    """Declare the exchanges, the queues and their bindings."""
    async with connect(url) as connection, connection.channel() as channel:
        for name, type_ in EXCHANGES.items():
            await channel.declare_exchange(name, type_)
        for queue in QUEUES:
            await channel.declare_queue(queue.name)
            await channel.bind_queue(queue.name, queue.exchange, queue.key)
