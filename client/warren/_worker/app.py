"""App: what a program says of its handlers, and how it is run."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, TypeVar, final

import trio

from warren._client.connect import connect
from warren._client.reconnect import Reconnect
from warren._worker.crew import running_crew
from warren._worker.signals import log_to_standard_error, serve_until_signalled
from warren._worker.tester import Tester
from warren._worker.ticker import QUEUE_ARGUMENTS, QUEUE_PREFIX
from warren._worker.timetable import Daily, Every
from warren._worker.worker import make_worker
from warren.bodies.codecs import Codecs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from typing import Unpack

    from warren._client.connection import Connection
    from warren._worker.crew import Crew
    from warren._worker.handling import Middleware
    from warren._worker.timetable import Timetable
    from warren._worker.worker import Style, Worker, WorkerOptions

    Lifespan = Callable[[Connection], AbstractAsyncContextManager[object]]

Function = TypeVar("Function", bound="Callable[..., Any]")
Layer = TypeVar("Layer", bound="Middleware")

URL_DEFAULT: Final = "amqp://guest:guest@127.0.0.1:5672/"
DRAIN_SECONDS_DEFAULT: Final = 30.0


@final
class App:
    """Handlers of queues, and all that runs them.

    ::

        app = warren.App("amqp://guest:guest@localhost/")

        @app.worker("orders", concurrency=8, retry=warren.Retry(attempts=5), timeout=30)
        async def bill(order: Order) -> None:
            await charge(order)

        if __name__ == "__main__":
            app.run()

    An async handler runs in a task, a plain one in a thread, or with `processes=True`
    in a process. Its first parameter gets the body as it is annotated, one annotated
    `Job` gets that. A decorated function is still the function that it was.
    """

    def __init__(
        self,
        url: str | Sequence[str] = URL_DEFAULT,
        *,
        name: str = "",
        drain: float = DRAIN_SECONDS_DEFAULT,
        reconnect: Reconnect | None = Reconnect(),  # noqa: B008 - a frozen value
        codecs: Codecs | None = None,
        lifespan: Lifespan | None = None,
    ) -> None:
        """`url`, `name`, `reconnect` and `codecs` as `connect` has them.

        `drain` is how many seconds what runs may take at the end. `lifespan` is an
        asynchronous context made with the connection, around all work: declare there,
        open databases, and close them.
        """
        self.url = url
        self.name = name
        self.drain = drain
        self.codecs = codecs or Codecs()
        self._reconnect = reconnect
        self._lifespan: Lifespan = lifespan or nullcontext
        self._workers: dict[str, Worker] = {}
        self._timetables: dict[str, Timetable] = {}
        self._middleware: list[Middleware] = []

    # --- saying

    def worker(
        self, queue: str, **options: Unpack[WorkerOptions]
    ) -> Callable[[Function], Function]:
        """Have a function handle the messages of a queue; see `WorkerOptions`.

        The queue is taken as it is, or declared durable if it is not there. A message
        is acknowledged when its handler has returned. If that raises, the message is
        tried again as `retry` says, and after that becomes a dead letter. A body that
        does not fit the annotation is one at once.

        Raises `TypeError` and `ValueError` for a function or options that cannot be.
        """
        return self._decorator(queue, "worker", options)

    def responder(
        self, queue: str, **options: Unpack[WorkerOptions]
    ) -> Callable[[Function], Function]:
        """Have a function answer the requests of a queue: what it returns is the reply.

        What it raises is told whoever asked, as an error, and so is a body that does
        not fit. Nothing is tried again. See `ask` for the other side.
        """
        if options.keys() & {"batch", "to", "retry", "dead"}:
            raise TypeError("a responder answers one by one, and only who has asked")
        return self._decorator(queue, "responder", options)

    def every(
        self, period: str | float, *, name: str = "", timeout: float | None = None
    ) -> Callable[[Function], Function]:
        """Have a function run at each multiple of a period: ``10s``, ``5m``, ``1d``.

        Once, however many processes run this app; see docs/workers.md. Runs do not
        overlap: one that takes longer makes those pass that were due meanwhile. `name`
        is what the processes know it by, the function's if it is not given.
        """
        return self._periodic(Every(period), name, timeout)

    def daily(
        self,
        at: str,
        *,
        timezone: str = "UTC",
        name: str = "",
        timeout: float | None = None,
    ) -> Callable[[Function], Function]:
        """Have a function run once a day: ``03:30``, in a time zone by its name."""
        return self._periodic(Daily(at, timezone), name, timeout)

    def middleware(self, layer: Layer) -> Layer:
        """Put an async callable around all handlers; the first is the outermost.

        ::

            @app.middleware
            async def timed(job: warren.Job, call_next):
                with timer(job.queue):
                    return await call_next(job)
        """
        self._middleware.append(layer)
        return layer

    def _periodic(
        self, timetable: Timetable, name: str, timeout: float | None
    ) -> Callable[[Function], Function]:
        def decorate(function: Function) -> Function:
            queue = f"{QUEUE_PREFIX}{name or function.__qualname__}"
            options = {"concurrency": 1, "arguments": QUEUE_ARGUMENTS}
            self._add(queue, function, "periodic", options | {"timeout": timeout})
            self._timetables[queue] = timetable
            return function

        return decorate

    def _decorator(
        self, queue: str, style: Style, options: WorkerOptions
    ) -> Callable[[Function], Function]:
        def decorate(function: Function) -> Function:
            self._add(queue, function, style, dict(options))
            return function

        return decorate

    def _add(
        self,
        queue: str,
        function: Callable[..., Any],
        style: Style,
        options: dict[str, Any],
    ) -> None:
        if queue in self._workers:
            raise ValueError(f"{self._workers[queue].name} handles {queue!r} already")
        self._workers[queue] = make_worker(queue, function, style, **options)

    # --- running

    def connect(self) -> AbstractAsyncContextManager[Connection]:
        """Connect as the app does: for whoever only publishes."""
        return connect(
            self.url, reconnect=self._reconnect, codecs=self.codecs, name=self.name
        )

    @asynccontextmanager
    async def running(
        self, connection: Connection | None = None
    ) -> AsyncIterator[Crew]:
        """Work during the block, on this connection or one of its own; then drain.

        Entered when all queues are consumed. Raises what a queue cannot be consumed
        for, and what ends the connection for good.
        """
        async with AsyncExitStack() as stack:
            if connection is None:
                connection = await stack.enter_async_context(self.connect())
            await stack.enter_async_context(self._lifespan(connection))
            crew = running_crew(
                connection,
                list(self._workers.values()),
                self._timetables,
                self._middleware,
                self.drain,
            )
            yield await stack.enter_async_context(crew)

    async def serve(self) -> int:
        """Work until SIGTERM or SIGINT, then drain. A second signal ends it at once.

        Returns the exit status: 0, or 128 and the number of the second signal.
        """
        return await serve_until_signalled(self.running())

    def run(self) -> None:
        """Work as a program of its own: `serve`, and exit if the status is not 0.

        What happens is logged to standard error, unless logging is set up already.
        """
        log_to_standard_error("INFO")
        if status := trio.run(self.serve):
            sys.exit(status)

    def testing(self) -> Tester:
        """Return a stand-in for a broker, in which all handlers can be called."""
        return Tester(list(self._workers.values()), self._middleware, self.codecs)
