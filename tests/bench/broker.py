"""A broker under measurement: one we start and stop, or one that runs already."""

from __future__ import annotations

import socket
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Final, Self

from tests.bench import usage
from tests.bench.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

START_SECONDS_MAX: Final = 60.0
RESTART_SECONDS_MAX: Final = 180.0  # with a million messages, to stop and to start
STOP_SECONDS_MAX: Final = 15.0
POLL_SECONDS: Final = 0.05
LOG_LINES_SHOWN: Final = 5


class Broker(ABC):
    """Where messages go: a name, a port on loopback, and a process to account to."""

    name: str
    port: int
    pid: int
    is_fresh: bool  # no scenario has used it since it started

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(self, *_: object) -> None: ...

    @abstractmethod
    def renew(self) -> None:
        """Start afresh, so that memory tells of the next scenario alone."""

    def cpu_seconds(self) -> float:
        """CPU time the broker has used so far."""
        return usage.cpu_seconds(self.pid)

    def resident_bytes(self) -> int:
        """Memory the broker holds now."""
        return usage.resident_bytes(self.pid)


class Attached(Broker):
    """A broker somebody else runs: measured, never restarted, never stopped."""

    def __init__(self, name: str, port: int) -> None:
        """Find its process. Raises BenchError if nothing of ours listens there."""
        pid = usage.listener_pid(port)
        if pid is None:
            raise BenchError(f"no process that we may see listens on port {port}")
        self.name, self.port, self.pid = name, port, pid
        self.is_fresh = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def renew(self) -> None:
        """Nothing: it is not ours to restart."""


class Spawned(Broker):
    """A broker that we start in a directory of its own, and stop by its pid."""

    title: ClassVar[str]

    def __init__(self, directory: Path) -> None:
        """`directory` is for its log and data; nothing runs before `__enter__`."""
        self.name = self.title
        self.directory = directory
        self.log = directory / f"{self.title.lower()}.log"
        self._processes: list[subprocess.Popen[bytes]] = []

    @abstractmethod
    def start(self) -> None:
        """Spawn what is needed, the broker last."""

    @abstractmethod
    def start_again(self) -> None:
        """Spawn the broker alone, with the files of the one that has just ended."""

    @abstractmethod
    def find_port(self) -> int | None:
        """The port it serves, or None while it is not ready."""

    def __enter__(self) -> Self:
        """Start it and wait until it is ready. Raises BenchError with its log."""
        try:
            self.start()
            self.pid = self._processes[-1].pid
            self.port = self._wait_ready()
            self.is_fresh = True
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def renew(self) -> None:
        self.stop()
        self.__enter__()

    def restart(self, signal_number: int) -> float:
        """End the broker by a signal; return how long the next one takes to be ready.

        In seconds. Raises BenchError.
        """
        process = self._processes.pop()
        process.send_signal(signal_number)
        try:
            process.wait(RESTART_SECONDS_MAX)
        except subprocess.TimeoutExpired as error:
            self._processes.append(process)
            raise BenchError(f"{self.name} does not stop") from error
        began = time.monotonic()
        self.start_again()
        self.pid = self._processes[-1].pid
        self.port = self._wait_ready(RESTART_SECONDS_MAX)
        return time.monotonic() - began

    def stop(self) -> None:
        """End our processes, the youngest first; no others."""
        while self._processes:
            process = self._processes.pop()
            process.terminate()
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def spawn(
        self, *command: object, environment: Mapping[str, str] | None = None
    ) -> None:
        """Run a command with its output in the log, out of reach of Ctrl-C."""
        try:
            with self.log.open("wb") as log:
                process = subprocess.Popen(
                    [str(word) for word in command],
                    cwd=self.directory,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise BenchError(f"{self.name} cannot be started: {error}") from error
        self._processes.append(process)

    def _wait_ready(self, seconds_max: float = START_SECONDS_MAX) -> int:
        deadline = time.monotonic() + seconds_max
        while time.monotonic() < deadline:
            port = self.find_port()
            if port is not None:
                return port
            if self._processes[-1].poll() is not None:
                raise BenchError(f"{self.name} ended: {self._last_words()}")
            time.sleep(POLL_SECONDS)
        raise BenchError(f"{self.name} is not ready: {self._last_words()}")

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return "\n".join(lines[-LOG_LINES_SHOWN:]) or "no output"


def free_port() -> int:
    """A TCP port nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def speaks_amqp(port: int) -> bool:
    """Whether what listens there answers an AMQP 0-9-1 protocol header."""
    with (
        suppress(OSError),
        socket.create_connection(("127.0.0.1", port), timeout=5) as peer,
    ):
        peer.sendall(b"AMQP\0\0\x09\x01")
        return peer.recv(1) == b"\x01"  # a method frame: connection.start
    return False
