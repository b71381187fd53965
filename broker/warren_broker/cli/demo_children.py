"""The demo's processes: a broker and workers. None outlives its block."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Final, final

from warren_broker.config import ENVIRONMENT_PREFIX

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from warren_broker.cli.demo_plan import Plan

READY: Final = "ready "
READY_TIMEOUT_SECONDS: Final = 15.0
END_TIMEOUT_SECONDS: Final = 5.0

Process = subprocess.Popen[str]


class ChildFailed(Exception):
    """A process of the demo could not be started, or ended with an error."""


@contextmanager
def running_broker() -> Iterator[str]:
    """Run `warren serve` in a fresh directory; yield its URL. End it with the block.

    Raises `ChildFailed` with what the broker said if it does not get ready.
    """
    with tempfile.TemporaryDirectory(prefix="warren-demo-") as directory:
        log = Path(directory, "broker.log")
        process = _start(
            "warren_broker.cli.demo_broker",
            ["--listen", "127.0.0.1:0", "--memory-only"],
            log,
        )
        with _ending([process]):
            yield _wait_ready(process, log)


def _start(module: str, arguments: list[str], log: Path) -> Process:
    """Start a module as a process that sees our end in its standard input.

    It is in a process group of its own: Ctrl-C is for the demo, which ends all in
    order. The user's configuration is not for it.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(ENVIRONMENT_PREFIX)
    }
    with log.open("w") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=log.parent,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            text=True,
        )


def _wait_ready(process: Process, log: Path) -> str:
    timer = Timer(READY_TIMEOUT_SECONDS, process.kill)
    timer.start()
    try:
        for line in process.stdout or ():
            if line.startswith(READY):
                return line.removeprefix(READY).strip()
    finally:
        timer.cancel()
    raise ChildFailed(f"the broker did not start:\n{log.read_text()}")


@contextmanager
def _ending(processes: Collection[Process]) -> Iterator[None]:
    """Close the processes' standard input after the block, and see them end."""
    try:
        yield
    finally:
        try:
            _ask_to_end(processes)
        finally:
            _see_ended(processes)


def _ask_to_end(processes: Collection[Process]) -> None:
    for process in processes:
        _close_input(process)
    with suppress(subprocess.TimeoutExpired):
        for process in processes:
            process.wait(END_TIMEOUT_SECONDS)


def _close_input(process: Process) -> None:
    if process.stdin is not None:
        process.stdin.close()


def _see_ended(processes: Collection[Process]) -> None:
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@final
class Workers:
    """The worker processes, by name."""

    def __init__(self, processes: dict[str, Process], directory: Path) -> None:
        self.killed: set[str] = set()
        self._processes = processes
        self._directory = directory

    def start(self, name: str, plan: Plan, url: str) -> None:
        """Start one more."""
        self._processes[name] = _start(
            "warren_broker.cli.demo_worker",
            [url, name, str(plan.prefetch), str(plan.job_seconds)],
            self._log(name),
        )

    def pid(self, name: str) -> int:
        """Return the process id, for people to see."""
        return self._processes[name].pid

    def kill(self, name: str) -> None:
        """Kill a worker as hard as can be: it cannot say a word to the broker."""
        self._processes[name].kill()
        self.killed.add(name)

    def dismiss(self) -> None:
        """Let the others finish what they hold, and end."""
        for process in self._processes.values():
            _close_input(process)

    def running(self) -> set[str]:
        """Return the names of those that have not ended.

        Raises `ChildFailed` if one has ended that was neither killed nor dismissed.
        """
        running = set()
        for name, process in self._processes.items():
            status = process.poll()
            if status is None:
                running.add(name)
            elif status and name not in self.killed:
                said = self._log(name).read_text()
                raise ChildFailed(f"{name} ended with exit status {status}\n{said}")
        return running

    def _log(self, name: str) -> Path:
        return self._directory / f"{name}.log"


@contextmanager
def running_workers(plan: Plan, url: str) -> Iterator[Workers]:
    """Run the workers of a plan. End them with the block."""
    processes: dict[str, Process] = {}
    with (
        tempfile.TemporaryDirectory(prefix="warren-demo-") as directory,
        _ending(processes.values()),
    ):
        workers = Workers(processes, Path(directory))
        for name in plan.workers:
            workers.start(name, plan, url)
        yield workers
