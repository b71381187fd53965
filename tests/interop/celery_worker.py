"""A Celery worker as a child process, and the application that talks to it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self, final

from celery import Celery
from celery.backends.rpc import RPCBackend

ROOT = Path(__file__).parents[2]
START_TIMEOUT_SECONDS = 30
STOP_TIMEOUT_SECONDS = 20
TIMEOUT_SECONDS = 20


def unique() -> str:
    """A name for a queue and its worker."""
    return f"celery.{secrets.token_hex(4)}"


def new_app(broker: str, backend: str, queue: str, **settings: object) -> Celery:
    """A Celery application, the same on both sides; one task is prefetched.

    `settings` are Celery's, over those of the tests.
    """
    app = Celery("interop", broker=broker, backend=backend, set_as_current=False)
    app.conf.update(
        broker_connection_retry_on_startup=True,
        result_chord_retry_interval=0.1,
        task_default_queue=queue,
        task_send_sent_event=True,
        worker_prefetch_multiplier=1,
    )
    app.conf.update(settings)
    return app


def close_app(app: Celery) -> None:
    """Close what the application has open, but for its shared pools."""
    if isinstance(app.backend, RPCBackend) and app.backend.result_consumer._connection:
        app.backend.result_consumer.stop()
    app.close()


@final
class CeleryWorker:
    """`celery -A tests.interop.celery_app worker` with one process or thread.

    As a context manager it waits until the worker answers a ping, and at the end
    for its warm shutdown.
    """

    def __init__(
        self,
        broker: str,
        backend: str,
        queue: str,
        pool: str,
        log: Path,
        **settings: object,
    ) -> None:
        self.app = new_app(broker, backend, queue, **settings)
        self.queue = queue
        self.node = f"{queue}@interop"
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "celery", "-A", "tests.interop.celery_app"),
                    *("worker", "-E", "-c", "1", "-P", pool, "-n", self.node),
                ],
                cwd=ROOT,
                env=os.environ
                | {
                    "INTEROP_BROKER": broker,
                    "INTEROP_BACKEND": backend,
                    "INTEROP_QUEUE": queue,
                    "INTEROP_SETTINGS": json.dumps(settings),
                },
                stdout=output,
                stderr=output,
            )

    def shut_down_warmly(self) -> None:
        """Ask for it; `wait` to see it done."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> None:
        """Wait until the worker has ended, and well."""
        status = self._process.wait(STOP_TIMEOUT_SECONDS)
        assert status == 0, self._log.read_text()

    def wait_ready(self) -> None:
        """Ping until the worker answers."""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self.app.control.ping(destination=[self.node], timeout=0.3):
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()

    def __enter__(self) -> Self:
        try:
            self.wait_ready()
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.shut_down_warmly()
        try:
            self.wait()
            with self.app.connection_for_write() as connection:
                connection.default_channel.queue_delete(self.queue)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            close_app(self.app)
