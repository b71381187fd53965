"""A property: whatever fails, is cut or drained, each message ends, and none is lost.

Without cuts each ends exactly as its script says: as many runs as it takes, one result
or one dead letter. A cut may make more runs and more results of it, but never fewer.
"""

from __future__ import annotations

from collections import Counter

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

import warren
from tests.worker.memory import MemoryBroker, memory_broker
from warren._worker.app import App

ATTEMPTS = 3
RETRY = warren.Retry(attempts=ATTEMPTS, first_seconds=4, jitter=0.5, returns=None)
PATIENT = warren.Reconnect(first_seconds=0, at_start=True)  # a cut may come at once
SLOW_SECONDS = 3.0
END_SECONDS = 180.0

# What a message does at each attempt; the last word holds for all further ones.
SCRIPTS = st.lists(
    st.sampled_from(["ok", "slow", "fail", "hang", "give up", "again"]),
    min_size=1,
    max_size=ATTEMPTS,
)
EVENTS = st.lists(
    st.tuples(st.floats(0, 20), st.sampled_from(["cut", "restart"])), max_size=4
)


class Bench:
    """An app whose handler does what the scripts say."""

    def __init__(self, scripts: list[list[str]], *, batch: int | None) -> None:
        self.scripts = scripts
        self.runs: Counter[int] = Counter()
        self.app = App(drain=1)
        if batch is None:
            worker = self.app.worker("jobs", retry=RETRY, timeout=5, to="results")
            worker(self.one)
        else:
            worker = self.app.worker(
                "jobs", retry=RETRY, timeout=5, batch=batch, wait=0.2
            )
            worker(self.many)

    async def one(self, number: int, job: warren.Job) -> int:
        self.runs[number] += 1
        script = self.scripts[number]
        await play(script[min(job.attempt, len(script)) - 1])
        return number

    async def many(self, numbers: list[int], job: warren.Job) -> None:
        for number in numbers:
            await self.one(number, job)
        for number in numbers:
            await job.publish(number, routing_key="results")


async def play(word: str) -> None:
    match word:
        case "slow":
            await trio.sleep(SLOW_SECONDS)
        case "fail":
            raise ValueError(word)
        case "hang":
            await trio.sleep_forever()
        case "give up":
            raise warren.GiveUp
        case "again":
            raise warren.TryAgain(seconds=0.5)


def ends_well(script: list[str]) -> bool:
    """Whether a message gets a result in the end, and not a dead letter."""
    for attempt in range(ATTEMPTS):
        word = script[min(attempt, len(script) - 1)]
        if word in ("ok", "slow"):
            return True
        if word == "give up":
            return False
    return False


async def live(
    broker: MemoryBroker, bench: Bench, events: list[tuple[float, str]]
) -> None:
    """Run the app until all is over; cut and restart it on the way."""
    start = trio.current_time()
    cuts = sorted(when for when, what in events if what == "cut")
    restarts = sorted(when for when, what in events if what == "restart")

    async def cut() -> None:
        for when in cuts:
            await trio.sleep_until(start + when)
            await broker.cut()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cut)
        for end in [*restarts, END_SECONDS]:
            async with broker.connect(PATIENT) as it, bench.app.running(it):
                await trio.sleep_until(start + end)


async def contents(broker: MemoryBroker, queue: str) -> Counter[int]:
    """Take all that is in a queue."""
    found: Counter[int] = Counter()
    async with broker.connect() as connection:
        while (delivery := await connection.get(queue, int, no_ack=True)) is not None:
            found[delivery.value] += 1
    return found


@settings(max_examples=25)
@given(
    scripts=st.lists(SCRIPTS, min_size=1, max_size=12),
    events=EVENTS,
    batch=st.none() | st.integers(1, 5),
)
def test_each_message_ends(
    scripts: list[list[str]], events: list[tuple[float, str]], batch: int | None
) -> None:
    bench = Bench(scripts, batch=batch)

    async def main() -> None:
        async with memory_broker() as broker:
            async with broker.connect() as connection:
                for queue in ("jobs", "jobs.dead", "results"):
                    await connection.declare_queue(queue, durable=True)
                for number in range(len(scripts)):
                    await connection.publish(number, routing_key="jobs")
            await live(broker, bench, events)
            assert broker.depth("jobs") == 0
            results = await contents(broker, "results")
            dead = await contents(broker, "jobs.dead")
        check(bench, results, dead, events, batch)

    trio.run(main, clock=MockClock(autojump_threshold=0))


def check(
    bench: Bench,
    results: Counter[int],
    dead: Counter[int],
    events: list[tuple[float, str]],
    batch: int | None,
) -> None:
    numbers = range(len(bench.scripts))
    assert set(results) | set(dead) == set(numbers), "one is lost"
    if batch is None:
        good = {number for number in numbers if ends_well(bench.scripts[number])}
        assert set(results) == good
        assert set(dead) == set(numbers) - good
    if not events:
        assert (results + dead).total() == len(numbers), "one has ended twice"
        assert max(bench.runs.values()) <= ATTEMPTS
