"""`warren serve` as a child process, as an operator would run it."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Self, final

import pytest

OTHER_BROKER = os.environ.get("WARREN_TEST_URL")
STOP_TIMEOUT_SECONDS = 20
WARREN = Path(sysconfig.get_path("scripts")) / "warren"

warrens_own = pytest.mark.skipif(
    bool(OTHER_BROKER), reason="no other broker than Warren has this"
)


@final
class Serving:
    """A broker, from its ready line to its exit status.

    It keeps everything in memory unless a `data_dir` is given. `options` are further
    ones of the command line. As a context manager it stops the broker and requires exit
    status 0.
    """

    def __init__(self, *options: object, data_dir: Path | None = None) -> None:
        kept = ("--data-dir", data_dir) if data_dir else ("--memory-only",)
        self._options = (*kept, *options)
        self._process = self._start("127.0.0.1:0")
        self.url = self._wait_ready()

    def restart(self) -> None:
        """Stop the broker, then start another at the same address."""
        assert self.stop() == 0
        self.start_again()

    def kill(self) -> None:
        """SIGKILL: it can neither finish nor say goodbye."""
        self._process.kill()
        with self._process as process:
            process.wait(STOP_TIMEOUT_SECONDS)

    def start_again(self) -> None:
        """Start another at the same address, after a stop or a kill."""
        self._process = self._start(self.url.removeprefix("amqp://").rstrip("/"))
        self._wait_ready()

    def stop(self) -> int:
        """SIGTERM, then the exit status."""
        self._process.terminate()
        with self._process as process:
            return process.wait(STOP_TIMEOUT_SECONDS)

    def _start(self, listen: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                *(WARREN, "serve", "--listen", listen),
                *map(str, self._options),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )

    def _wait_ready(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("ready amqp://"):
                return line.split()[1]
        raise AssertionError(f"warren exited with {self.stop()} before it was ready")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.stop() == 0
