"""`warren serve` with a data directory, perhaps under strace, which spoils calls."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final, Self, final

from tests.interop.serving import WARREN

if TYPE_CHECKING:
    from pathlib import Path

STOP_SECONDS: Final = 30.0
GROUP_SECONDS: Final = 5.0
DAMAGE_EVENTS: Final = frozenset({"data damaged", "set aside"})


def strace_missing() -> str | None:
    """Return why calls cannot be spoilt here; None if they can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(
        ["strace", "-f", "-qq", "-o", os.devnull, "true"],
        capture_output=True,
        check=False,
    )
    return "strace may not trace here" if tried.returncode else None


@final
class Process:
    """One life of a broker. As a context manager it ends it, if nobody else has.

    Attributes:
        url: its address; "" before `wait_ready`, or if it ended before it was ready.
        start_seconds: how long it took until it was ready, or over.
    """

    def __init__(self, data_dir: Path, injection: str = "", **options: object) -> None:
        """Begin to start. `injection` is what strace is to do, see its manual.

        `options` are those of the section `storage` and, as `limits_...`, of `limits`.
        """
        command = [WARREN, "serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir]
        if injection:
            command = [*_strace(injection), *command]
        self.url = ""
        self.start_seconds = 0.0
        self._began = time.monotonic()
        self._log = TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,  # strace and its child end together
            env=os.environ | _environment(options),
        )

    def wait_ready(self) -> str:
        """Return the address; "" if the broker has ended before it was ready."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("ready amqp://"):
                self.url = line.split()[1]
                break
        self.start_seconds = time.monotonic() - self._began
        return self.url

    @property
    def is_over(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> int:
        """End it and, if there is one, its tracer."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        status = self._process.wait()
        self._wait_group()
        return status

    def stop(self) -> int:
        """SIGTERM, then the exit status; that of SIGKILL if it takes too long.

        Not for a broker that is traced.
        """
        self._process.terminate()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return self.kill()

    def _wait_group(self) -> None:
        """Until then what a tracer has left alone still has its files open."""
        until = time.monotonic() + GROUP_SECONDS
        with suppress(ProcessLookupError):
            while time.monotonic() < until:
                os.killpg(self._process.pid, 0)
                time.sleep(0.005)

    def events(self, *names: str) -> list[str]:
        """Return the lines of its log that are events of these names."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        return [line for line in lines if _event_of(line) in names]

    def last_words(self) -> str:
        """Return the end of its log."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-500:].strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()


def _strace(injection: str) -> list[str]:
    calls, _, action = injection.partition(":")
    # Without this every call of the broker is slow; with it no signal is sent.
    fast = [] if action.startswith("signal") else ["--seccomp-bpf"]
    quiet = ["strace", "-f", *fast, "-qq", "-o", os.devnull]
    return [*quiet, "-e", f"trace={calls}", "-e", f"inject={injection}"]


def _environment(options: dict[str, object]) -> dict[str, str]:
    """The options as variables, see `warren_broker.config`."""
    variables = {}
    for name, value in options.items():
        section = "" if name.startswith("limits_") else "storage_"
        variables[f"WARREN_{section}{name}".upper()] = str(value)
    return variables


def _event_of(line: str) -> object:
    try:
        return json.loads(line).get("event")
    except (ValueError, AttributeError):
        return None
