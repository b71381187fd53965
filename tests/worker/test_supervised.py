"""`warren worker` as an operator runs it, with a broker on a real port."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

import pytest
import trio

import warren
from tests.cli.commands import COMMAND, EX_CONFIG, EX_USAGE, run
from tests.interop.serving import Serving
from warren_broker.cli.worker_child import NoApp, load
from warren_broker.cli.worker_supervisor import wait_seconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

TARGET = "tests.worker.handlers:app"


@contextmanager
def workers(url: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run the handlers' app."""
    command = [*COMMAND, "worker", TARGET, "--url", url, *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A broker for all tests, one after the other."""
    with Serving() as broker:
        yield broker.url


def with_broker(
    test: Callable[[warren.Connection, str], Awaitable[None]],
) -> Callable[[str], None]:
    """Make a test of a coroutine that takes a connection and the broker's URL."""

    @wraps(test)
    def run_test(url: str) -> None:
        async def main() -> None:
            with trio.fail_after(50):
                async with warren.connect(url) as connection:
                    for queue in ("begun", "release", "done"):
                        await connection.declare_queue(queue)
                        await connection.purge_queue(queue)
                    await connection.declare_queue("jobs", durable=True)
                    await connection.purge_queue("jobs")
                    await test(connection, url)

        trio.run(main)

    del run_test.__wrapped__  # type: ignore[attr-defined] # pytest reads it
    return run_test


async def exit_of(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end; return the status, and what was said."""
    _, said = await trio.to_thread.run_sync(process.communicate)
    return process.returncode, said


async def line_with(text: str, process: subprocess.Popen[str]) -> None:
    """Wait until that is said."""
    assert process.stderr is not None
    while text not in (line := await trio.to_thread.run_sync(process.stderr.readline)):
        assert line, "it has ended"


def test_what_cannot_start_is_started_for_ever() -> None:
    """A broker may be away for a night, and longer."""
    assert [wait_seconds(failures) for failures in (0, 1, 2, 10, 10**6)] == [
        *(0.25, 0.5, 1, 30, 30)
    ]


@with_broker
async def test_a_killed_process_loses_nothing_and_is_replaced(
    connection: warren.Connection, url: str
) -> None:
    async with connection.batch() as batch:
        for number in range(100):
            work = {"number": number, "waits": number == 50}
            await batch.publish(work, routing_key="jobs")
    async with (
        connection.consume("begun", list[int], no_ack=True) as begun,
        connection.consume("done", int, no_ack=True) as done,
    ):
        with workers(url, "--processes", "2") as process:
            async for delivery in begun:
                if delivery.value[0] == 50:
                    break
            victim = delivery.value[1]
            os.kill(victim, signal.SIGKILL)
            finished = set()
            while finished != set(range(100)):  # a result may come twice
                finished.add((await anext(done)).value)
            await connection.publish({"number": 100, "waits": True}, routing_key="jobs")
            pids = set()
            async for delivery in begun:
                pids.add(delivery.value[1])
                if delivery.value[0] == 100:
                    break
            process.terminate()
            await connection.publish("go", routing_key="release")
            status, said = await exit_of(process)
            assert status == 0, said
            assert "a process ended with status 137" in said
            async for result in done:
                if result.value == 100:
                    break


@with_broker
async def test_a_second_signal_ends_it_at_once(
    connection: warren.Connection, url: str
) -> None:
    await connection.publish({"number": 1, "waits": True}, routing_key="jobs")
    async with connection.consume("begun", no_ack=True) as begun:
        with workers(url) as process:
            await anext(begun)
            process.send_signal(signal.SIGINT)
            await line_with("draining", process)
            process.send_signal(signal.SIGINT)
            status, said = await exit_of(process)
    assert status == 128 + signal.SIGTERM, said
    delivery: Any = await connection.get("jobs")
    assert delivery.redelivered


@with_broker
async def test_a_drain_has_an_end(connection: warren.Connection, url: str) -> None:
    """A task is cancelled; a thread cannot be, and yet does not hold up the exit."""
    await connection.publish({"number": 1, "waits": True}, routing_key="jobs")
    await connection.declare_queue("blocked", durable=True)
    await connection.publish(b"", routing_key="blocked")
    async with connection.consume("begun", no_ack=True) as begun:
        with workers(url, "--drain", "0.1") as process:
            await anext(begun)
            await anext(begun)
            process.terminate()
            status, said = await exit_of(process)
    assert status == 0, said
    assert (await connection.declare_queue("jobs", passive=True)).message_count == 1
    assert await connection.delete_queue("blocked") == 1


@with_broker
async def test_processes_drain_when_their_supervisor_is_gone(
    connection: warren.Connection, url: str
) -> None:
    await connection.publish({"number": 1, "waits": True}, routing_key="jobs")
    async with (
        connection.consume("begun", list[int], no_ack=True) as begun,
        connection.consume("done", no_ack=True) as done,
    ):
        with workers(url) as process:
            await anext(begun)
            process.kill()
            await connection.publish("go", routing_key="release")
            assert (await anext(done)).value == 1
            status, _ = await exit_of(process)  # the pipe ends with the last of them
    assert status == -signal.SIGKILL


def test_no_such_app() -> None:
    ended = run("worker", "tests.worker.handlers:nothing", "--processes", "2")
    assert ended.returncode == EX_CONFIG, ended.stderr
    assert "tests.worker.handlers:nothing is a function" in ended.stderr
    assert run("worker").returncode == EX_USAGE


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("tests.nowhere:app", "no module 'tests.nowhere'"),
        ("warren:Nothing", "warren:Nothing is a NoneType"),
        *((target, "is not MODULE:APP") for target in ("what", ":app", "")),
    ],
)
def test_targets(target: str, complaint: str) -> None:
    with pytest.raises(NoApp, match=complaint):
        load(target)


@with_broker
async def test_an_app_as_a_program_of_its_own(
    connection: warren.Connection, url: str
) -> None:
    script = "from tests.worker.handlers import app; app.run()"
    environment = os.environ | {"WORKER_TEST_URL": url}
    async with connection.consume("done", no_ack=True) as done:
        with subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-c", script],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        ) as process:
            await line_with("ready: jobs", process)
            await connection.publish({"number": 1}, routing_key="jobs")
            assert (await anext(done)).value == 1
            process.terminate()
            status, said = await exit_of(process)
    assert status == 0
    assert "draining" in said
