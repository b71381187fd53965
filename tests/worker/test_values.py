"""What apps are made of: policies, signatures, timetables, rates, rungs."""

from __future__ import annotations

from collections.abc import Callable  # noqa: TC003 - annotations of a class are read
from datetime import UTC, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

import warren
from warren._worker.delays import rung_ms
from warren._worker.rate import Rate, duration_seconds, interval_seconds
from warren._worker.signature import read_signature
from warren._worker.timetable import Daily, Every, Timetable
from warren._worker.worker import make_worker

HOUR = 3_600_000
_MANY = "9" * 400  # more than a float can hold
MOMENTS = st.integers(0, 4 * 10**12)

# --- retries


@given(
    attempt=st.integers(1, 10**4),
    first=st.just(0.0) | st.floats(1e-3, 1e3),
    more=st.floats(0, 1e6),
    factor=st.floats(1, 100),
    jitter=st.floats(0, 1),
)
def test_waits_are_bounded(
    attempt: int, first: float, more: float, factor: float, jitter: float
) -> None:
    most = first + more
    retry = warren.Retry(
        attempts=10**7,
        first_seconds=first,
        most_seconds=most,
        factor=factor,
        jitter=jitter,
    )
    longest = first
    for _ in range(attempt - 1):
        longest = min(longest * factor, most)
    wait = retry.wait_seconds(attempt)
    slack = 1e-9 * longest  # of floats
    assert longest * (1 - jitter) - slack <= wait <= longest + slack


@given(st.floats(0, 1e6))
def test_rungs_are_few_and_not_early(seconds: float) -> None:
    milliseconds = rung_ms(seconds)
    assert seconds * 1000 <= milliseconds <= max(seconds * 1000 * 1.26 + 1, 2)
    assert rung_ms(milliseconds / 1000) == milliseconds
    assert len(bin(milliseconds).strip("0b")) <= 3  # bits that count


def test_a_first_wait_is_as_long_as_it_says() -> None:
    assert warren.Retry(first_seconds=3600, jitter=0).wait_seconds(1) == 3600
    assert warren.Retry(first_seconds=3600, jitter=0).wait_seconds(2) == 3600
    assert warren.Retry(jitter=0).wait_seconds(20) == 300
    assert warren.Retry(jitter=0, factor=1e6).wait_seconds(100) == 300
    assert warren.Reconnect(first_seconds=60, jitter=0).wait_seconds(1) == 60


def test_policies_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="must be"):
        warren.Reconnect(first_seconds=60, most_seconds=30)
    for options in (
        {"attempts": 0},
        {"jitter": 2},
        {"factor": 0.5},
        {"first_seconds": 2, "most_seconds": 1},
        {"most_seconds": float("nan")},
    ):
        with pytest.raises(ValueError, match="must be"):
            warren.Retry(**options)  # type: ignore[arg-type]


# --- timetables


@given(moment=MOMENTS, period=st.sampled_from(["100ms", "10s", "7m", "1d", 0.3]))
def test_every(moment: int, period: str | float) -> None:
    timetable = Every(period)
    following = timetable.next_after(moment)
    assert moment < following <= moment + duration_seconds(period) * 1000
    assert timetable.next_after(following) - following == (
        round(duration_seconds(period) * 1000)
    )


@given(
    moment=MOMENTS,
    at=st.times().map(lambda each: each.replace(microsecond=0)),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/Nuuk"]),
)
def test_daily(moment: int, at: time, zone: str) -> None:
    timetable: Timetable = Daily(at.isoformat(), zone)
    following = timetable.next_after(moment)
    assert 0 < following - moment < 50 * HOUR
    local = datetime.fromtimestamp(following / 1000, ZoneInfo(zone))
    due = datetime.combine(local.date(), at, ZoneInfo(zone)).astimezone(UTC)
    assert local.astimezone(UTC) == due
    assert 0 < timetable.next_after(following) - following < 50 * HOUR


def test_daily_through_the_change_of_time() -> None:
    """On 2026-03-29 Berlin has no 02:30, on 2026-10-25 it has two."""
    berlin = Daily("02:30", "Europe/Berlin")
    for moment, due in (
        ("2026-03-28T12:00+00:00", "2026-03-29T01:30+00:00"),
        ("2026-03-29T12:00+00:00", "2026-03-30T00:30+00:00"),
        ("2026-10-24T12:00+00:00", "2026-10-25T00:30+00:00"),
        ("2026-10-25T00:45+00:00", "2026-10-26T01:30+00:00"),
    ):
        assert berlin.next_after(ms(moment)) == ms(due)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


# --- rates and durations


def test_texts() -> None:
    assert interval_seconds("100/s") == 0.01
    assert interval_seconds("10/5m") == 30
    assert duration_seconds("1.5h") == 5400
    for rate in (f"{_MANY}/s", f"1/{_MANY}s", "", "0/s", "s", "10/0s", "ten/s", "10/y"):
        with pytest.raises(ValueError, match="is no rate"):
            interval_seconds(rate)
    for duration in ("", "0s", "-1s", "1y", "s", float("inf"), -1, float("nan")):
        with pytest.raises(ValueError, match="is no duration"):
            duration_seconds(duration)


@given(st.lists(st.tuples(st.integers(1, 5), st.floats(0, 2)), max_size=30))
def test_a_rate_is_never_exceeded(takes: list[tuple[int, float]]) -> None:
    async def main() -> None:
        rate = Rate("10/s")
        taken: list[tuple[float, int]] = []
        for count, pause in takes:
            await rate.take(count)
            taken.append((trio.current_time(), count))
            await trio.sleep(pause)
        for number, (start, _) in enumerate(taken):
            for until in range(number + 1, len(taken) + 1):
                some = taken[number:until]
                total = sum(count for _, count in some[:-1])
                assert total <= (some[-1][0] - start) * 10 + 1.001

    trio.run(main, clock=MockClock(autojump_threshold=0))


# --- signatures


@attrs.frozen
class Tree:
    """A part that is like the whole, and one that no message can hold."""

    branches: dict[str, list[Tree]]
    on_fall: Callable[[], None] | None = None


def one(number: int) -> None: ...
async def both(number: int, job: warren.Job) -> None: ...
async def turned(job: warren.Job, number: int) -> None: ...
def only_job(job: warren.Job) -> None: ...
def none() -> None: ...
def optional(number: int, limit: int = 3, *rest: int, **options: int) -> None: ...
def untyped(number) -> None: ...  # type: ignore[no-untyped-def] # noqa: ANN001
def too_many(number: int, other: int) -> None: ...
def keyword(*, number: int) -> None: ...
def batch(numbers: list[int]) -> None: ...
def impossible(tree: Tree) -> None: ...
def unknown(number: Nowhere) -> None: ...  # type: ignore[name-defined] # noqa: F821


class Instance:
    async def __call__(self, number: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "kind", "wants", "is_async"),
    [
        (one, int, (False,), False),
        (both, int, (False, True), True),
        (turned, int, (True, False), True),
        (only_job, None, (True,), False),
        (none, None, (), False),
        (optional, int, (False,), False),
        (untyped, None, (False,), False),
        (Instance(), int, (False,), True),
    ],
)
def test_signatures(
    function: Callable[..., object],
    kind: object,
    wants: tuple[bool, ...],
    is_async: bool,
) -> None:
    found = read_signature(function, is_batch=False)
    assert (found.kind, found.wants, found.is_async) == (kind, wants, is_async)


def test_a_batch_is_a_list() -> None:
    assert read_signature(batch, is_batch=True).kind is int
    with pytest.raises(TypeError, match="a batch is a list"):
        read_signature(one, is_batch=True)


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (too_many, "nobody gives 'other'"),
        (keyword, "'number' is not positional"),
        (impossible, "no values can be made of the annotation .*Callable"),
        (unknown, "'Nowhere' cannot be found"),
    ],
)
def test_signatures_that_nobody_can_call(
    function: Callable[..., object], complaint: str
) -> None:
    with pytest.raises(TypeError, match=complaint):
        read_signature(function, is_batch=False)


@pytest.mark.parametrize(
    ("function", "options", "error"),
    [
        (one, {"concurrency": 0}, ValueError),
        (one, {"timeout": -1}, ValueError),
        (one, {"rate": "fast"}, ValueError),
        (one, {"colour": "red"}, TypeError),
        (both, {"processes": True}, TypeError),
        (only_job, {"processes": True}, TypeError),
    ],
)
def test_options_that_cannot_be(
    function: Callable[..., object], options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        make_worker("q", function, "worker", **options)


def test_one_handler_a_queue() -> None:
    app = warren.App()
    app.worker("q")(one)
    with pytest.raises(ValueError, match="one handles 'q' already"):
        app.worker("q")(none)
    with pytest.raises(TypeError, match="a responder answers one by one"):
        app.responder("r", batch=3)
