"""`warren serve` with a data directory, perhaps under strace, which spoils calls."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, final

from tests.interop.serving import WARREN

if TYPE_CHECKING:
    from pathlib import Path

STOP_SECONDS = 30.0


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
    """One life of a broker. `injection` is what strace is to do, see its manual."""

    def __init__(self, data_dir: Path, injection: str = "") -> None:
        command = [WARREN, "serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir]
        if injection:
            calls = "trace=fdatasync,writev"
            options = ["-f", "-qq", "-o", os.devnull, "-e", calls]
            command = ["strace", *options, "-e", f"inject={injection}", *command]
        began = time.monotonic()
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # strace and its child end together
        )
        self.url = self._wait_ready()
        self.start_seconds = time.monotonic() - began

    def _wait_ready(self) -> str:
        """Return the address; "" if the broker has ended before it was ready."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("ready amqp://"):
                return line.split()[1]
        return ""

    @property
    def is_over(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> int:
        """End it and, if there is one, its tracer."""
        if not self.is_over:
            os.killpg(self._process.pid, signal.SIGKILL)
        return self._wait()

    def stop(self) -> int:
        self._process.terminate()
        return self._wait()

    def _wait(self) -> int:
        with self._process as process:
            try:
                return process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
