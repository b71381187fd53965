"""Broker in a thread: for tests of any client, in whatever loop or none."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, Self, final

from warren_broker.server.settings import ListenerSettings
from warren_broker.testing.clock import AheadClock
from warren_broker.testing.control import (
    POLL_SECONDS,
    WAIT_SECONDS,
    Control,
    still_there,
)
from warren_broker.testing.loop_thread import LoopThread
from warren_broker.testing.stage import FREE_PORT, Stage, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from os import PathLike

    from warren_broker.server.settings import ServerSettings


ADVANCE_SECONDS_MAX: Final = 1e11
"""Beyond that a clock loses its fractions of a second, and then stands still."""


@final
class Clock:
    """The broker's time. It runs as the wall clock does, and further if told to."""

    def __init__(self, loop: LoopThread, clock: AheadClock, stage: Stage) -> None:
        self._loop = loop
        self._clock = clock
        self._stage = stage

    def advance(self, seconds: float, *, heartbeats: bool = True) -> None:
        """Let `seconds` pass for the broker, and for nobody else, now.

        Whatever becomes due does so in its order: times to live, leases, delays,
        schedules, deadlines. Clients count as heard all the while; without
        `heartbeats` they are silent, and lose their connections if that is too long.
        What is sent meanwhile they find when they look: none has acted in between.

        Raises ValueError for less than 0 seconds, and for more than 3000 years.
        """
        if not 0 <= seconds <= ADVANCE_SECONDS_MAX:
            raise ValueError(f"{seconds} s is no time that can pass")
        move_to = self._clock.move_to
        self._loop.run(
            partial(self._stage.let_pass, seconds, move_to, heartbeats=heartbeats)
        )


@final
class Broker(Control):
    """A broker in a thread of its own, on a real socket. Get one by `in_thread`.

    All its methods may be called from anywhere, and block the caller; from a coroutine
    call those that wait for clients (`wait_idle`, `wait_until`) by
    ``asyncio.to_thread`` or ``trio.to_thread.run_sync``.

    Attributes:
        clock: the broker's time.
    """

    def __init__(self, loop: LoopThread, clock: AheadClock, stage: Stage) -> None:
        super().__init__(stage, loop.call)
        self.clock = Clock(loop, clock, stage)
        self._loop = loop

    @classmethod
    @contextmanager
    def in_thread(
        cls,
        *,
        data_dir: str | PathLike[str] | None = None,
        unix_socket: str | PathLike[str] | None = None,
        settings: ServerSettings | None = None,
    ) -> Iterator[Self]:
        """Run a broker while the block runs, on a free port of this machine.

        With a `data_dir` it keeps what is durable there, so that it is there again
        after `restart`; otherwise everything is in memory. `unix_socket` is a path to
        listen on instead of the port. Where it listens, how much memory it takes
        and where it keeps things is not for `settings` to say.

        Raises SettingsError, ListenError.

        ::

            with Broker.in_thread() as broker:
                connection = pika.BlockingConnection(pika.URLParameters(broker.url))
        """
        listeners = ListenerSettings(tcp=(FREE_PORT,))
        if unix_socket is not None:
            listeners = ListenerSettings(tcp=(), unix_socket=str(unix_socket))
        settings = settings_for(settings, listeners=listeners, data_dir=data_dir)
        clock = AheadClock()
        with LoopThread(clock) as loop:
            stage = loop.call(lambda: Stage(settings, loop.nursery))
            loop.run(stage.start)
            try:
                yield cls(loop, clock, stage)
            finally:
                loop.run(stage.end)

    def wait_idle(
        self, timeout_seconds: float = WAIT_SECONDS, *, scheduled: bool = False
    ) -> None:
        """Wait until the broker has nothing to do.

        That is: nothing is ready in a queue that has consumers, nothing is unacked,
        nothing waits to be sent. What no consumer is there for does not count, and what
        waits for its time (delays, schedules) only if `scheduled`.

        A client's message counts from when the broker has it: publish with confirms.
        Raises TimeoutError, which says what is still there, after `timeout_seconds`.
        """
        until = time.monotonic() + timeout_seconds
        while lines := self.remaining(scheduled=scheduled):
            if time.monotonic() > until:
                raise still_there(lines, timeout_seconds)
            time.sleep(POLL_SECONDS)

    def wait_until(
        self, condition: Callable[[], object], timeout_seconds: float = WAIT_SECONDS
    ) -> None:
        """Wait until `condition` holds: it is called again and again.

        Raises TimeoutError, with a report, after `timeout_seconds`.
        """
        until = time.monotonic() + timeout_seconds
        while not condition():
            if time.monotonic() > until:
                raise TimeoutError(f"not so after {timeout_seconds} s\n{self.report()}")
            time.sleep(POLL_SECONDS)

    def restart(self) -> None:
        """Stop the broker and start it again, on the same port.

        Clients are told (320), and what the broker keeps in memory is gone.
        """
        with self.stopped():
            pass

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the broker, and start it again when the block ends; as `restart`."""
        self._loop.run(self._stage.stop)
        try:
            yield
        finally:
            self._loop.run(self._stage.start)

    def reset(self) -> None:
        """Make it as new, on the same port: no clients, queues, faults or memories.

        Only what is in a data directory stays. Takes a few milliseconds.
        """
        self._loop.run(self._stage.reset)
