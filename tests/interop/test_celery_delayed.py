"""Celery's native delayed delivery: countdowns that wait in the broker.

A ladder of 28 queues, each with a time to live of a power of two seconds, and of topic
exchanges that let a message past the rungs whose bit its countdown has not.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from amqp.exceptions import NotFound
from kombu import Connection
from kombu.transport.native_delayed_delivery import (
    declare_native_delayed_delivery_exchanges_and_queues,
    level_name,
)

from tests.interop.celery_worker import TIMEOUT_SECONDS, CeleryWorker, unique

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery.result import AsyncResult

pytestmark = pytest.mark.interop

RUNGS = [level_name(level) for level in range(28)]
DELIVERY = "celery_delayed_delivery"
# The worker runs what has less than this left of its time to wait.
CLOCK_SLACK = timedelta(milliseconds=100)


@pytest.fixture(scope="module", params=["classic", "quorum"])
def worker(
    request: pytest.FixtureRequest,
    amqp_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[CeleryWorker]:
    """A worker whose queue makes Celery delay in the broker: topic and quorum."""
    folder = tmp_path_factory.mktemp("celery")
    worker = CeleryWorker(
        amqp_url,
        f"file://{folder}",
        unique(),
        "threads",
        folder / "log",
        task_default_exchange_type="topic",
        task_default_queue_type="quorum",
        broker_native_delayed_delivery_queue_type=request.param,
    )
    try:
        with worker:
            yield worker
    finally:
        # The other type would meet queues of the same names.
        with Connection(amqp_url) as connection:
            for name in (*RUNGS, DELIVERY, worker.queue):
                connection.default_channel.queue_delete(name)
                connection.default_channel.exchange_delete(name)


def send(worker: CeleryWorker, seconds: int) -> tuple[datetime, AsyncResult]:
    """Call a task with that countdown; when that was, and its result to come."""
    return datetime.now(UTC), worker.app.send_task("interop.deaths", countdown=seconds)


def test_a_countdown_climbs_down_the_ladder(worker: CeleryWorker) -> None:
    """Half a day is asked for as well: it may not come out early."""
    _, late = send(worker, 43_200)
    calls = {seconds: send(worker, seconds) for seconds in (3, 1)}
    for seconds, rungs in ((1, [0]), (3, [0, 1])):
        sent, result = calls[seconds]
        ran, deaths = result.get(timeout=TIMEOUT_SECONDS)
        waited = datetime.fromisoformat(ran) - sent
        assert waited >= timedelta(seconds=seconds) - CLOCK_SLACK
        assert deaths == [[RUNGS[rung], "expired"] for rung in rungs]
    assert not late.ready()
    with worker.app.connection_for_read() as connection:
        channel = connection.default_channel
        waiting = {
            rung: channel.queue_declare(rung, passive=True).message_count
            for rung in RUNGS
        }
    assert waiting == dict.fromkeys(RUNGS, 0) | {RUNGS[15]: 1}


def test_the_ladder_is_declared_as_kombu_wants_it(worker: CeleryWorker) -> None:
    queue_type = worker.app.conf.broker_native_delayed_delivery_queue_type
    with worker.app.connection_for_write() as connection:
        channel = connection.channel()
        for name in RUNGS:
            channel.queue_declare(name, passive=True)
            channel.exchange_declare(name, "topic", passive=True)
        channel.exchange_declare(DELIVERY, "topic", passive=True)
        with pytest.raises(NotFound):
            channel.queue_declare(level_name(28), passive=True)
        declare_native_delayed_delivery_exchanges_and_queues(connection, queue_type)


def test_a_retry_with_a_countdown_waits_on_the_ladder(worker: CeleryWorker) -> None:
    result = worker.app.send_task("interop.retry", (2,), {"countdown": 1})
    assert result.get(timeout=TIMEOUT_SECONDS) == 2
