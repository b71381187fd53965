"""An app against a broker on a real port, be it Warren or RabbitMQ."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import trio

import warren

QUICK = warren.Retry(attempts=3, first_seconds=0.05, jitter=0)


def test_all_of_it(url: str, name: str) -> None:
    """A thread, a retry, a dead letter, a result, a question; then nothing is left."""
    app = warren.App(url)
    results, dead = f"{name}.results", f"{name}.dead"
    attempts: list[int] = []

    @app.worker(name, to=results, retry=QUICK, concurrency=3)
    def double(number: int, job: warren.Job) -> int:
        if number == 3:
            attempts.append(job.attempt)
            raise ValueError("three")
        if number == 4 and job.attempt == 1:
            raise ValueError("four")
        return 2 * number

    @app.responder(f"{name}.threads")
    def who() -> str:
        return threading.current_thread().name

    async def main() -> None:
        with trio.fail_after(30):
            async with app.connect() as connection:
                async with app.running():
                    await connection.declare_queue(results, durable=True)
                    await connection.declare_queue(dead, durable=True)
                    for number in range(6):
                        await connection.publish(number, routing_key=name)
                    async with connection.consume(results, int, no_ack=True) as done:
                        found = {(await anext(done)).value for _ in range(5)}
                    async with connection.consume(dead, no_ack=True) as letters:
                        letter: Any = await anext(letters)
                    thread = await warren.ask(connection, f"{name}.threads", "", str)
                assert found == {0, 2, 4, 8, 10}
                assert attempts == [1, 2, 3]
                assert letter.value == 3
                assert letter.headers["x-exception-text"] == "three"
                assert thread != threading.main_thread().name
                for queue in (name, results, dead, f"{name}.threads"):
                    assert not await connection.delete_queue(queue)

    trio.run(main)


def test_periodic_jobs_run_once_over_two_connections(url: str, name: str) -> None:
    runs: list[int] = []

    def make_app() -> warren.App:
        app = warren.App(url)

        @app.every("100ms", name=name)
        async def tick(job: warren.Job) -> None:
            runs.append(job.headers["x-moment"])
            if len(runs) == 5:
                enough.set()

        return app

    async def main() -> None:
        nonlocal enough
        enough = trio.Event()
        with trio.fail_after(30):
            async with make_app().running(), make_app().running() as crew:
                await enough.wait()
            async with make_app().connect() as connection:
                await connection.delete_queue(f"warren.every.{name}")
        assert crew.statistics()[0].dead == 0

    enough: trio.Event
    trio.run(main)
    assert len(set(runs)) == len(runs)
    assert all(moment % 100 == 0 for moment in runs)


def test_a_queue_that_cannot_be_consumed_ends_the_app(url: str, name: str) -> None:
    app = warren.App(url)
    app.worker(name)(lambda: None)

    async def main() -> None:
        async with app.connect() as connection:
            await connection.declare_queue(name, exclusive=True)
            with pytest.raises(warren.ResourceLocked):
                async with app.running():
                    pytest.fail("it was not")

    trio.run(main)
