"""`App.testing`: all of an app but the broker, and how handlers are called."""

from __future__ import annotations

import asyncio
import threading
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import pytest
import trio

import warren
from tests.worker.handlers import choose, square, thread_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    CallNext = Callable[[warren.Job], Awaitable[int]]

STEADY = warren.Retry(attempts=3, first_seconds=10, factor=3, jitter=0)


def in_trio(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Make a test of a coroutine."""

    @wraps(test)
    def run() -> None:
        async def main() -> None:
            with trio.fail_after(40):
                await test()

        trio.run(main)

    del run.__wrapped__  # type: ignore[attr-defined] # pytest reads its parameters
    return run


@in_trio
async def test_a_pipeline_runs_to_its_end() -> None:
    app = warren.App()

    @app.worker("words", to="lengths")
    async def measure(word: str) -> int:
        return len(word)

    @app.worker("lengths", batch=10)
    async def collect(lengths: list[int], job: warren.Job) -> None:
        await job.publish(sum(lengths), routing_key="sums")

    with app.testing() as tester:
        for word in ("a", "bb", "ccc"):
            await tester.send("words", word)
        await tester.run()
        assert sum(tester.values("sums", int)) == 6
        assert [counts.handled for counts in tester.statistics()] == [3, 3]


@in_trio
async def test_retries_pass_in_no_time_and_in_order() -> None:
    app = warren.App()
    calls: list[tuple[float, str, int]] = []

    @app.worker("jobs", retry=STEADY)
    async def handle(name: str, job: warren.Job) -> None:
        calls.append((tester.seconds, name, job.attempt))
        if name == "bad" or job.attempt == 1:
            raise ValueError(name)

    with app.testing() as tester:
        await tester.send("jobs", "bad")
        await tester.send("jobs", "late")
        await tester.run()
    assert calls == [
        (0, "bad", 1),
        (0, "late", 1),
        (10, "bad", 2),
        (10, "late", 2),
        (40, "bad", 3),
    ]
    (dead,) = tester.letters("jobs.dead")
    assert dead.headers["x-exception-text"] == "bad"


@in_trio
async def test_call_gives_the_result_or_the_error() -> None:
    app = warren.App()

    @app.responder("squares")
    async def answer(number: int) -> int:
        return 1 // number

    @app.middleware
    async def negated(job: warren.Job, call_next: CallNext) -> int:
        result: int = await call_next(job)
        return -result

    with app.testing() as tester:
        assert await tester.call("squares", 1) == -1
        with pytest.raises(ZeroDivisionError):
            await tester.call("squares", 0)
        with pytest.raises(warren.BodyError):
            await tester.call("squares", "one")
        await tester.send("squares", 1, reply_to="me", correlation_id="7")
        await tester.run()
        (reply,) = tester.letters("me")
        assert reply.properties.correlation_id == "7"
    assert await answer(1) == 1, "a decorated function is what it was"


@in_trio
async def test_periodic_jobs_are_ticked() -> None:
    app = warren.App()
    ticks: list[object] = []

    @app.every("1d", name="report")
    async def handle(job: warren.Job) -> None:
        ticks.append(job.value)

    with app.testing() as tester:
        await tester.tick("report")
        await tester.run()
    assert ticks == [b""]


def test_handlers_that_feed_each_other_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("warren._worker.tester.RUNS_MAX", 100)
    app = warren.App()
    app.worker("a", to="b")(_same)
    app.worker("b", to="a")(_same)

    async def main() -> None:
        with app.testing() as tester:
            await tester.send("a", 1)
            with pytest.raises(RuntimeError, match="still something to do"):
                await tester.run()

    trio.run(main)


async def _same(number: int) -> int:
    return number


# --- threads and processes


@in_trio
async def test_plain_functions_run_in_threads() -> None:
    app = warren.App()
    app.worker("threads", to="idents")(thread_of)
    with app.testing() as tester:
        await tester.send("threads", "")
        await tester.run()
        (ident,) = tester.values("idents")
    assert ident != threading.get_ident()


@in_trio
async def test_a_thread_can_publish() -> None:
    app = warren.App()

    @app.worker("threads")
    def handle(text: str, job: warren.Job) -> None:
        trio.from_thread.run(partial(job.publish, text * 2, routing_key="out"))

    with app.testing() as tester:
        await tester.send("threads", "ab")
        await tester.run()
        assert tester.values("out") == ["abab"]


@in_trio
async def test_a_thread_that_takes_too_long_is_given_up_and_keeps_its_slot() -> None:
    app = warren.App()
    go_on, ended = threading.Event(), threading.Event()

    @app.worker("threads", timeout=0.01, retry=None)
    def handle() -> None:
        go_on.wait()
        ended.set()

    with app.testing() as tester:
        await tester.send("threads", b"")
        await tester.run()
        (dead,) = tester.letters("threads.dead")
        assert dead.headers["x-exception"].endswith("HandlerTimeout")
        assert not ended.is_set()
        go_on.set()
        await trio.to_thread.run_sync(ended.wait)


@in_trio
async def test_processes_compute() -> None:
    app = warren.App()
    app.worker("numbers", processes=True, to="squares")(square)
    with app.testing() as tester:
        for number in range(3):
            await tester.send("numbers", number)
        await tester.run()
        assert tester.values("squares") == [0, 1, 4]


@in_trio
async def test_processes_end_in_many_ways() -> None:
    app = warren.App()
    app.worker("chores", processes=True, retry=None, to="pids", timeout=20)(choose)
    with app.testing() as tester:
        for what in ("live", "die", "raise", "unpicklable", "odd", "live", "live"):
            await tester.send("chores", what)
        await tester.run()
        first, second, third = tester.values("pids")
        died, raised, unfit, odd = tester.letters("chores.dead")
    assert first != second == third, "a process is kept, unless it has died"
    assert died.headers["x-exception-text"] == "its process ended: SIGKILL"
    assert raised.headers["x-exception"] == "KeyError"
    assert "raise KeyError(what)" in raised.headers["x-traceback"]
    assert "its result cannot be sent" in unfit.headers["x-exception-text"]
    assert odd.headers["x-exception-text"] == "tests.worker.handlers.Odd: 7 of them"
    assert "raise Odd(7)" in odd.headers["x-traceback"]


@in_trio
async def test_a_process_that_takes_too_long_is_killed() -> None:
    app = warren.App()
    app.worker("chores", processes=True, retry=None, to="pids", timeout=0.01)(choose)
    with app.testing() as tester:
        await tester.send("chores", "hang")
        await tester.run()
        (dead,) = tester.letters("chores.dead")
    assert dead.headers["x-exception"].endswith("HandlerTimeout")


# --- hostile and broken things


class Wicked(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError


ERRORS: dict[str, BaseException] = {
    "wicked": Wicked(),
    "long": ValueError("x" * 100_000),
    "surrogate": ValueError("\ud800"),
    "exit": SystemExit(3),
    "another library's": asyncio.CancelledError(),
    "group": BaseExceptionGroup("two", [SystemExit(3), ValueError()]),
}


def test_whatever_a_handler_raises_can_be_written_down(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("CRITICAL", "warren.worker")  # a log may be less careful
    app = warren.App()

    @app.worker("jobs", retry=None)
    async def handle(name: str) -> None:
        raise ERRORS[name]

    async def main() -> None:
        with app.testing() as tester:
            for name in ERRORS:
                await tester.send("jobs", name)
            await tester.run()
            dead = tester.letters("jobs.dead")
        assert [each.body.decode() for each in dead] == list(ERRORS)
        for each in dead:
            text = "".join(str(value) for value in each.headers.values())
            assert len(text.encode()) < 12_000

    trio.run(main)


@in_trio
async def test_headers_of_strangers() -> None:
    """Attempts that are none, and headers that must not come again with a copy."""
    app = warren.App()

    @app.worker("jobs", retry=STEADY)
    async def handle() -> None:
        raise ValueError

    strange: dict[str, Any] = {
        "x-attempts": "many",
        "CC": ["elsewhere"],
        "x-deduplication-header": "7",
        "x-delivery-count": True,
        "mine": [1, {"two": None}],
    }
    with app.testing() as tester:
        await tester.send("jobs", b"", headers=strange, ttl=5.0)
        await tester.run()
        (dead,) = tester.letters("jobs.dead")
        assert dead.headers["x-attempts"] == 3
        assert dead.headers["mine"] == strange["mine"]
        assert dead.properties.expiration is None
        assert not dead.headers.keys() & {"CC", "x-deduplication-header", "x-delay"}
        await tester.send("jobs", b"", headers={"x-attempts": 10**15})
        await tester.run()
        assert tester.seconds == 40, "it was not tried again"


@in_trio
async def test_a_result_that_is_no_body() -> None:
    app = warren.App()

    @app.worker("jobs", to="results", retry=None)
    async def handle() -> object:
        return object()

    with app.testing() as tester:
        await tester.send("jobs", b"")
        await tester.run()
        (dead,) = tester.letters("jobs.dead")
    assert dead.headers["x-exception"].endswith("BodyError")
