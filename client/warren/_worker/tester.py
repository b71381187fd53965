"""Tester: handlers in a test, without a broker and without waiting."""

from __future__ import annotations

from contextlib import ExitStack
from copy import copy
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any, Final, final

import attrs
import trio

from warren._client.common import Common
from warren._client.publishing import Publishing
from warren._worker.batches import parts
from warren._worker.decoding import value_of
from warren._worker.delays import DELAY, ByHeader
from warren._worker.endings import ending_for
from warren._worker.handling import Handling
from warren._worker.headers import count_in
from warren._worker.job import Job
from warren._worker.slots import Slots
from warren._worker.statistics import Counts
from warren._worker.ticker import QUEUE_PREFIX
from warren.wire.methods import BasicPublish

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self, Unpack

    from warren._client.publishing import MessageOptions
    from warren._client.slot import Outgoing
    from warren._worker.handling import Middleware
    from warren._worker.worker import Worker
    from warren.bodies.codecs import Codecs
    from warren.wire.properties import Properties

RUNS_MAX: Final = 10_000
"""Calls: more than that, and the handlers feed each other for ever."""

_MS: Final = 1000


@attrs.frozen
class Sent:
    """A message as it was published: encoded, and of what the broker would say."""

    body: bytes
    properties: Properties
    exchange: str
    routing_key: str
    redelivered: bool = False
    is_stale: bool = False

    @property
    def headers(self) -> dict[str, Any]:
        """Not to be changed."""
        return self.properties.headers or {}


@final
class Tester(Publishing):
    """Carries messages between the handlers of an app. Made by `App.testing`.

    ::

        async def test_billing():
            with app.testing() as tester:
                await tester.send("orders", Order(1))
                await tester.run()
                assert tester.values("invoices", Invoice) == [Invoice(1)]

    Bodies are encoded and decoded, retries and dead letters are made as with a broker;
    only, delays pass at once, in the right order: `seconds` tells how long it would
    have taken.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        middleware: Sequence[Middleware],
        codecs: Codecs,
    ) -> None:
        self.common = Common(codecs)
        self.seconds = 0.0
        """How much time has passed."""
        self.elsewhere: list[Sent] = []
        """What was published to an exchange, or to a queue that nobody handles here:
        results, dead letters, replies."""
        self._stack = ExitStack()
        self._order = count()
        self._due: list[tuple[float, int, str, Sent]] = []
        self._counts = {worker.queue: Counts(worker.queue) for worker in workers}
        self._workers = {worker.queue: worker for worker in workers}
        self._handlings = {
            worker.queue: self._handling(worker, middleware) for worker in workers
        }

    def _handling(self, worker: Worker, middleware: Sequence[Middleware]) -> Handling:
        counts = self._counts[worker.queue]
        ending = ending_for(worker, self.publish, counts, ByHeader(self), _declare)
        handling = Handling(worker, self, ending, counts, middleware)
        return self._stack.enter_context(handling)

    # --- for the test

    async def send(
        self, queue: str, body: object, **options: Unpack[MessageOptions]
    ) -> None:
        """Publish to a queue. Raises `BodyError`."""
        await self.publish(body, routing_key=queue, **options)

    async def tick(self, name: str) -> None:
        """Let the moment of a periodic job come."""
        await self.send(f"{QUEUE_PREFIX}{name}", b"")

    async def call(self, queue: str, body: object) -> object:
        """Call a queue's handler once, in the middleware: its result, or its error."""
        sent = self._sent(self.compose(body, BasicPublish(0, "", queue), None, {}))
        worker = self._workers[queue]
        value = value_of(self.common.codecs, sent, worker.signature.kind)
        job = Job([value] if worker.batch else value, [sent], queue, self)
        return await self._handlings[queue].call(job, await Slots(1).take())

    async def run(self) -> None:
        """Call handlers until nothing waits for one.

        Raises `RuntimeError` if there seems to be no end to it.
        """
        for _ in range(RUNS_MAX):
            if not self._due:
                return
            queue, window = self._take()
            for part in parts(window):
                slot = await Slots(1).take()
                await self._handlings[queue].handle(part, slot)
        raise RuntimeError(f"{RUNS_MAX} calls, and there is still something to do")

    def values(self, queue: str, kind: Any = None) -> list[Any]:  # noqa: ANN401
        """Return what was published to a queue that nobody handles here, decoded."""
        return [
            value_of(self.common.codecs, each, kind) for each in self.letters(queue)
        ]

    def letters(self, queue: str) -> list[Sent]:
        """Return the same with its properties: for example dead letters."""
        return [
            each
            for each in self.elsewhere
            if not each.exchange and each.routing_key == queue
        ]

    def statistics(self) -> list[Counts]:
        """Return what was done so far, for each queue."""
        return [counts.copy() for counts in self._counts.values()]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    # --- as a broker

    async def send_outgoing(self, outgoing: Outgoing) -> None:
        """Take a message."""
        sent = self._sent(outgoing)
        if sent.exchange or sent.routing_key not in self._workers:
            self.elsewhere.append(sent)
        else:
            due = self.seconds + count_in(sent.headers, DELAY) / _MS
            heappush(self._due, (due, next(self._order), sent.routing_key, sent))
        outgoing.put(None)

    async def wait_settled(self, outgoing: Outgoing) -> None:
        """It was taken at once."""
        await trio.lowlevel.checkpoint()

    async def wait_room(self) -> None:
        """There always is."""
        await trio.lowlevel.checkpoint()

    def _sent(self, outgoing: Outgoing) -> Sent:
        method = outgoing.method
        return Sent(
            outgoing.body,
            copy(outgoing.properties),
            method.exchange,
            method.routing_key,
        )

    def _take(self) -> tuple[str, list[Sent]]:
        """Take what is due first; for a batch what is due with it."""
        self.seconds, _, queue, sent = heappop(self._due)
        window = [sent]
        room = self._workers[queue].batch or 1
        while len(window) < room and self._due and self._due[0][2] == queue:
            if self._due[0][0] > self.seconds:
                break
            window.append(heappop(self._due)[3])
        return queue, window


async def _declare(_: str) -> None:
    """All queues are there."""
    await trio.lowlevel.checkpoint()
