"""Celery: a real worker, its tasks, its remote control and its events."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from amqp.exceptions import NotFound
from celery import chain, chord, group
from celery.events.receiver import EventReceiver
from celery.exceptions import TaskRevokedError
from kombu import Exchange, Queue

from tests.interop.celery_worker import TIMEOUT_SECONDS, CeleryWorker, unique

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.interop.serving import Serving

pytestmark = pytest.mark.interop


@pytest.fixture(scope="session")
def threads(
    amqp_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CeleryWorker]:
    """A worker with a thread; results come back over AMQP."""
    log = tmp_path_factory.mktemp("celery") / "threads.log"
    with CeleryWorker(amqp_url, "rpc://", unique(), "threads", log) as worker:
        yield worker


@pytest.fixture(scope="session")
def prefork(
    amqp_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CeleryWorker]:
    """A worker with a child process; results in files, which is good for chords."""
    folder = tmp_path_factory.mktemp("celery")
    results = folder / "results"
    results.mkdir()
    log = folder / "prefork.log"
    backend = f"file://{results}"
    with CeleryWorker(amqp_url, backend, unique(), "prefork", log) as worker:
        yield worker


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """A named pipe that a task can be held at."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def add(worker: CeleryWorker, x: int, y: int) -> int:
    """The sum as the worker has it."""
    result = worker.app.send_task("interop.add", (x, y))
    return int(result.get(timeout=TIMEOUT_SECONDS))


def test_tasks_return_and_fail(threads: CeleryWorker) -> None:
    assert add(threads, 2, 3) == 5
    failed = threads.app.send_task("interop.fail")
    with pytest.raises(ZeroDivisionError, match="over there"):
        failed.get(timeout=TIMEOUT_SECONDS)


def test_the_solo_pool(amqp_url: str, tmp_path: Path) -> None:
    log = tmp_path / "solo.log"
    with CeleryWorker(amqp_url, "rpc://", unique(), "solo", log) as worker:
        assert add(worker, 2, 3) == 5


def test_retries(threads: CeleryWorker) -> None:
    result = threads.app.send_task("interop.retry", (3,))
    assert result.get(timeout=TIMEOUT_SECONDS) == 3


def test_a_group_and_a_chain(threads: CeleryWorker) -> None:
    def sum_of(*numbers: int) -> object:
        return threads.app.signature("interop.add", numbers)

    results = group((sum_of(x, x) for x in range(20)), app=threads.app).apply_async()
    assert results.get(timeout=TIMEOUT_SECONDS) == [2 * x for x in range(20)]
    result = chain(sum_of(1, 2), sum_of(3), app=threads.app).apply_async()
    assert result.get(timeout=TIMEOUT_SECONDS) == 6


def test_tasks_with_a_time_wait_for_it(threads: CeleryWorker) -> None:
    eta = datetime.now(UTC) + timedelta(seconds=1)
    results = [threads.app.send_task("interop.started", eta=eta) for _ in range(8)]
    times = [result.get(timeout=TIMEOUT_SECONDS) for result in results]
    worker_clock_slack = timedelta(milliseconds=100)
    assert datetime.fromisoformat(min(times)) >= eta - worker_clock_slack


def test_an_expired_task_is_not_run(threads: CeleryWorker) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    result = threads.app.send_task("interop.add", (1, 1), expires=past)
    with pytest.raises(TaskRevokedError, match="expired"):
        result.get(timeout=TIMEOUT_SECONDS)


def test_a_revoked_task_is_not_run(threads: CeleryWorker) -> None:
    task_id = secrets.token_hex(16)
    (answer,) = threads.app.control.revoke(
        task_id, destination=[threads.node], reply=True, timeout=TIMEOUT_SECONDS
    )
    assert "ok" in answer[threads.node]
    result = threads.app.send_task("interop.add", (1, 1), task_id=task_id)
    with pytest.raises(TaskRevokedError, match="revoked"):
        result.get(timeout=TIMEOUT_SECONDS)


def test_inspecting_a_worker_while_it_works(threads: CeleryWorker, fifo: Path) -> None:
    inspect = threads.app.control.inspect(
        destination=[threads.node], timeout=TIMEOUT_SECONDS, limit=1
    )
    held = threads.app.send_task("interop.hold", (str(fifo),))
    with fifo.open("w") as pipe:
        (active,) = inspect.active()[threads.node]
        assert (active["id"], active["name"]) == (held.id, "interop.hold")
        assert "interop.add" in inspect.registered()[threads.node]
        (queue,) = inspect.active_queues()[threads.node]
        assert queue["name"] == threads.queue
        assert inspect.stats()[threads.node]["total"]["interop.hold"] == 1
        pipe.write("let go")
    assert held.get(timeout=TIMEOUT_SECONDS) == "let go"


def test_one_ping_reaches_two_workers(
    threads: CeleryWorker, prefork: CeleryWorker
) -> None:
    nodes = [threads.node, prefork.node]
    answers = threads.app.control.ping(destination=nodes, timeout=TIMEOUT_SECONDS)
    assert {node for answer in answers for node in answer} == set(nodes)


def test_a_rate_limit_is_accepted(threads: CeleryWorker) -> None:
    options = {"destination": [threads.node], "reply": True}
    (answer,) = threads.app.control.rate_limit(
        "interop.add", "100/s", timeout=TIMEOUT_SECONDS, **options
    )
    assert answer[threads.node] == {"ok": "new rate limit set successfully"}
    assert add(threads, 1, 1) == 2


def test_a_worker_takes_up_and_drops_a_queue(threads: CeleryWorker, name: str) -> None:
    control = threads.app.control
    options = {
        "destination": [threads.node],
        "reply": True,
        "timeout": TIMEOUT_SECONDS,
    }
    control.add_consumer(name, auto_delete=True, **options)
    queue = Queue(name, Exchange(name, auto_delete=True), name, auto_delete=True)
    result = threads.app.send_task("interop.add", (2, 3), queue=queue)
    assert result.get(timeout=TIMEOUT_SECONDS) == 5
    control.cancel_consumer(name, **options)
    with threads.app.connection_for_read() as connection, pytest.raises(NotFound):
        queue(connection).queue_declare(passive=True)


def test_events_tell_the_life_of_a_task(threads: CeleryWorker) -> None:
    seen: list[str] = []
    sent: list[str] = []

    class Recorder(EventReceiver):
        def on_consume_ready(self, *_: object, **__: object) -> None:
            sent.append(threads.app.send_task("interop.add", (2, 3)).id)

    def record(event: dict[str, object]) -> None:
        if event.get("uuid") == sent[0]:
            seen.append(str(event["type"]))
            recorder.should_stop = len(seen) == 4

    with threads.app.connection_for_read() as connection:
        recorder = Recorder(connection, handlers={"*": record}, app=threads.app)
        recorder.capture(timeout=TIMEOUT_SECONDS)
    assert sorted(seen) == sorted(
        ["task-sent", "task-received", "task-started", "task-succeeded"]
    )


def test_a_chord_joins_its_header(prefork: CeleryWorker) -> None:
    header = [
        prefork.app.signature("interop.add", (number, number)) for number in range(5)
    ]
    body = prefork.app.signature("interop.total")
    result = chord(header, body, app=prefork.app).apply_async()
    assert result.get(timeout=TIMEOUT_SECONDS) == 20


def test_a_task_whose_process_dies_is_delivered_again(
    prefork: CeleryWorker, tmp_path: Path
) -> None:
    result = prefork.app.send_task("interop.die_once", (str(tmp_path / "mark"),))
    assert result.get(timeout=TIMEOUT_SECONDS) is True


def test_a_warm_shutdown_finishes_one_and_gives_back_the_rest(
    amqp_url: str, tmp_path: Path, fifo: Path
) -> None:
    """The rest waits for its time: more of it than is prefetched, so that the worker
    must have widened its window to come to the one it finishes."""
    worker = CeleryWorker(
        amqp_url, f"file://{tmp_path}", unique(), "prefork", tmp_path / "log"
    )
    with worker:
        later = [
            worker.app.send_task("interop.add", (1, 1), countdown=3600)
            for _ in range(2)
        ]
        held = worker.app.send_task("interop.hold", (str(fifo),))
        with fifo.open("w") as pipe, worker.app.connection_for_read() as connection:
            channel = connection.channel()
            worker.shut_down_warmly()
            while channel.queue_declare(worker.queue, passive=True).consumer_count:
                pass
            pipe.write("finished")
        worker.wait()
        assert held.get(timeout=TIMEOUT_SECONDS) == "finished"
        with worker.app.connection_for_read() as connection:
            messages = [
                connection.default_channel.basic_get(worker.queue, no_ack=True)
                for _ in later
            ]
            assert connection.default_channel.basic_get(worker.queue) is None
    assert {message.headers["id"] for message in messages} == {
        result.id for result in later
    }
    assert all(message.delivery_info["redelivered"] for message in messages)


def test_a_worker_survives_a_restart_of_the_broker(
    serving: Serving, tmp_path: Path
) -> None:
    results, log = f"file://{tmp_path}", tmp_path / "log"
    with CeleryWorker(serving.url, results, unique(), "threads", log) as worker:
        assert add(worker, 1, 2) == 3
        # An idle connection of ours would not answer the broker that closes it.
        worker.app.pool.force_close_all()
        serving.restart()
        with worker.app.connection_for_write() as connection:
            sent = worker.app.send_task("interop.add", (2, 3), connection=connection)
            assert sent.get(timeout=TIMEOUT_SECONDS) == 5
