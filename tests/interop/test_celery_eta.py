"""Celery's countdown and ETA with a policy: tasks wait in the broker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from tests.interop.celery_worker import TIMEOUT_SECONDS, CeleryWorker
from tests.interop.serving import Serving, warrens_own

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery.result import AsyncResult

pytestmark = [pytest.mark.interop, warrens_own]

POLICY = """
[[policies]]
name = "celery"
pattern = "^celery$"
apply_to = "queues"
definition = { deliver-at-header = "eta" }
"""
COUNTDOWN_SECONDS = 2
# The worker runs what has less than this left of its time to wait.
CLOCK_SLACK = timedelta(milliseconds=100)
# More than are prefetched: had it taken them all, its window would have grown.
TASKS = 5


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CeleryWorker]:
    """A stock worker of the queue `celery`, at a broker with that policy."""
    folder = tmp_path_factory.mktemp("celery")
    config = folder / "warren.toml"
    config.write_text(POLICY)
    with (
        Serving("--config", config) as broker,
        CeleryWorker(
            *(broker.url, f"file://{folder}", "celery", "threads", folder / "log")
        ) as worker,
    ):
        yield worker
        # Connections to this broker are of no use to anybody else.
        worker.app.pool.force_close_all()


def call_later(worker: CeleryWorker, seconds: int) -> list[AsyncResult]:
    """Call tasks with that countdown; return their results to come."""
    return [
        worker.app.send_task("interop.started", countdown=seconds) for _ in range(TASKS)
    ]


def test_a_countdown_waits_in_the_queue_and_not_in_the_worker(
    worker: CeleryWorker,
) -> None:
    """Neither ready nor unacked: but a purge finds them."""
    inspect = worker.app.control.inspect(
        destination=[worker.node], timeout=TIMEOUT_SECONDS, limit=1
    )
    window = inspect.stats()[worker.node]["prefetch_count"]
    call_later(worker, 3600)
    # One without a countdown overtakes. So those before have arrived, wherever.
    overtaking = worker.app.send_task("interop.add", (2, 3))
    assert overtaking.get(timeout=TIMEOUT_SECONDS) == 5
    assert inspect.scheduled() == {worker.node: []}
    assert inspect.reserved() == {worker.node: []}
    assert inspect.stats()[worker.node]["prefetch_count"] == window
    with worker.app.connection_for_write() as connection:
        channel = connection.default_channel
        assert channel.queue_declare(worker.queue, passive=True).message_count == 0
        assert channel.queue_purge(worker.queue) == TASKS


def test_a_countdown_ends_in_time(worker: CeleryWorker) -> None:
    due = datetime.now(UTC) + timedelta(seconds=COUNTDOWN_SECONDS)
    results = call_later(worker, COUNTDOWN_SECONDS)
    times = [result.get(timeout=TIMEOUT_SECONDS) for result in results]
    assert datetime.fromisoformat(min(times)) >= due - CLOCK_SLACK


def test_an_eta_with_an_offset_ends_in_time(worker: CeleryWorker) -> None:
    kyiv = timezone(timedelta(hours=2))
    due = datetime.now(kyiv) + timedelta(seconds=COUNTDOWN_SECONDS)
    result = worker.app.send_task("interop.started", eta=due)
    started = datetime.fromisoformat(result.get(timeout=TIMEOUT_SECONDS))
    assert started >= due - CLOCK_SLACK


def test_a_retry_with_a_countdown_waits_as_well(worker: CeleryWorker) -> None:
    before = datetime.now(UTC)
    result = worker.app.send_task("interop.retry", (1,), {"countdown": 1})
    assert result.get(timeout=TIMEOUT_SECONDS) == 1
    assert datetime.now(UTC) >= before + timedelta(seconds=1) - CLOCK_SLACK
