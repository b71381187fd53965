"""The application that the Celery worker of the tests runs."""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tests.interop.celery_worker import new_app

if TYPE_CHECKING:
    from celery import Task

app = new_app(
    os.environ["INTEROP_BROKER"],
    os.environ["INTEROP_BACKEND"],
    os.environ["INTEROP_QUEUE"],
    **json.loads(os.environ["INTEROP_SETTINGS"]),
)


@app.task(name="interop.add")
def add(x: int, y: int) -> int:
    """The sum."""
    return x + y


@app.task(name="interop.total")
def total(numbers: list[int]) -> int:
    """The sum of them all."""
    return sum(numbers)


@app.task(name="interop.fail")
def fail() -> None:
    """Raise an error."""
    raise ZeroDivisionError("over there")


@app.task(name="interop.retry", bind=True, max_retries=5)
def retry(self: Task, times: int, countdown: int = 0) -> int:
    """Ask to be tried again that many times; then say how often it was."""
    if self.request.retries < times:
        raise self.retry(countdown=countdown)
    return int(self.request.retries)


@app.task(name="interop.started")
def started() -> str:
    """When this task ran."""
    return datetime.now(UTC).isoformat()


@app.task(name="interop.deaths", bind=True)
def deaths(self: Task) -> tuple[str, list[tuple[str, str]]]:
    """When this task ran, and where and why its message was dead-lettered before."""
    records = self.request.get("x-death") or []
    return started(), [(record["queue"], record["reason"]) for record in records]


@app.task(name="interop.hold")
def hold(fifo: str) -> str:
    """Run until somebody has written to the named pipe; what was written."""
    return Path(fifo).read_text()


@app.task(
    name="interop.die_once", bind=True, acks_late=True, reject_on_worker_lost=True
)
def die_once(self: Task, mark: str) -> bool:
    """Kill the process that runs this, the first time; then say if redelivered."""
    try:
        Path(mark).touch(exist_ok=False)
    except FileExistsError:
        return bool(self.request.delivery_info["redelivered"])
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError
