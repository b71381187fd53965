"""Supervisor: keeps the processes of `warren worker` running, and ends them."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Final, final

import trio

from warren._client.backoff import grown
from warren_broker.cli.shell import STOPPED_BY
from warren_broker.cli.worker_child import PIPE_VARIABLE
from warren_broker.cli.worker_tally import decode_report
from warren_broker.config import EX_CONFIG

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from warren_broker.cli.worker_tally import Tally
    from warren_broker.cli.worker_view import View

LOOK_SECONDS: Final = 1.0
STEADY_SECONDS: Final = 10.0
"""A process that has lived so long is none that cannot start."""
FIRST_WAIT_SECONDS: Final = 0.25
MOST_WAIT_SECONDS: Final = 30.0
LAST_WORDS_SECONDS: Final = 1.0
"""How long to read on after an end: what it started may hold the pipe."""
LINE_MAX: Final = 65_536
"""Bytes: what is longer is no line of ours, and is shown in pieces."""


def wait_seconds(failures: int) -> float:
    """Return how long to wait after so many failures in a row, be it for days."""
    return grown(FIRST_WAIT_SECONDS, 2.0, failures, MOST_WAIT_SECONDS)


@final
class Supervisor:
    """Runs so many processes of one command."""

    def __init__(
        self, command: Sequence[str], processes: int, tally: Tally, view: View
    ) -> None:
        self._command = command
        self._count = processes
        self._tally = tally
        self._view = view
        self._alive: set[trio.Process] = set()
        self._stopping = trio.Event()
        self._status = 0

    async def run(self) -> int:
        """Supervise until a signal comes and all have ended. Returns the exit status.

        That is 0 if each has drained, otherwise what one has ended with.
        """
        with (
            self._view,
            trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals,
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pass_on, signals)
                nursery.start_soon(self._look)
                async with trio.open_nursery() as keeping:
                    for _ in range(self._count):
                        keeping.start_soon(self._keep)
                nursery.cancel_scope.cancel()
            self._view.look(trio.current_time(), self._count)
        return self._status

    # --- one of the processes

    async def _keep(self) -> None:
        """Have one process, again and again, until it is time to stop."""
        failures = 0
        while not self._stopping.is_set():
            started = trio.current_time()
            status = await self._live()
            if status == EX_CONFIG:
                self._stop()
            if self._stopping.is_set():
                self._status = max(self._status, status)
                return
            lived = trio.current_time() - started
            failures = 0 if lived >= STEADY_SECONDS else failures + 1
            wait = wait_seconds(failures)
            self._tally.restarts += 1
            self._view.say(
                f"warren worker: a process ended with status {status},"
                f" the next one starts in {wait:g} s"
            )
            with trio.move_on_after(wait):
                await self._stopping.wait()

    async def _live(self) -> int:
        """Run one process to its end; return its exit status, as a shell has it."""
        reader, writer = os.pipe()
        output = subprocess.PIPE if self._view.takes_output else None
        try:
            process: trio.Process = await trio.lowlevel.open_process(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                pass_fds=[writer],
                env=os.environ | {PIPE_VARIABLE: str(writer), "PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # Ctrl-C is for us
            )
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        self._alive.add(process)
        if self._stopping.is_set():
            process.terminate()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_reports, process.pid, reader)
                if process.stdout is not None:
                    nursery.start_soon(self._read_output, process.stdout)
                status: int = await process.wait()
                nursery.cancel_scope.deadline = trio.current_time() + LAST_WORDS_SECONDS
        finally:
            has_begun = process.pid in self._tally.running
            self._alive.discard(process)
            self._tally.forget(process.pid)
        if status == -signal.SIGTERM and not has_begun:
            return 0  # there was nothing to be drained yet
        return status if status >= 0 else STOPPED_BY - status

    async def _read_reports(self, pid: int, reader: int) -> None:
        async with trio.lowlevel.FdStream(reader) as stream:
            async for line in _lines(stream):
                with suppress(ValueError, TypeError):  # a line that was cut
                    self._tally.note(pid, decode_report(line))

    async def _read_output(self, stream: trio.abc.ReceiveStream) -> None:
        async with stream:
            async for line in _lines(stream):
                self._view.say(line.decode(errors="replace"))

    # --- all of them

    async def _pass_on(self, signals: AsyncIterator[int]) -> None:
        """The first signal has them drain, the second one has them end."""
        async for number in signals:
            self._view.say(f"warren worker: {signal.Signals(number).name}")
            self._stop()

    def _stop(self) -> None:
        self._stopping.set()
        for process in self._alive:
            process.terminate()

    async def _look(self) -> None:
        while True:
            self._view.look(trio.current_time(), self._count)
            await trio.sleep(LOOK_SECONDS)


async def _lines(stream: trio.abc.ReceiveStream) -> AsyncIterator[bytes]:
    """Yield the lines of a stream, without their ends."""
    rest = b""
    async for data in stream:
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            yield line
        if len(rest) > LINE_MAX:
            yield rest
            rest = b""
    if rest:
        yield rest
