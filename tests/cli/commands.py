"""Running `warren` as an operator does, in a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = [sys.executable, "-c", "from warren_broker.cli import main; main()"]
EX_USAGE = 2
EX_CONFIG = 78


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A broker on a free port, and the URL it says it is ready at."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "--listen", "127.0.0.1:0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        try:
            ready, _, url = process.stdout.readline().strip().partition(" ")
            assert ready == "ready", process.stderr and process.stderr.read()
            yield process, url
        finally:
            process.kill()


def connect(url: str) -> socket.socket:
    host, port = url.removeprefix("amqp://").rstrip("/").split(":")
    return socket.create_connection((host, int(port)))
