"""Timer: rings at the earliest deadline, and never without one."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from tests.server.harness import run_timeless
from warren_broker.server.timer import Timer


def run_with_timer(
    schedule: list[tuple[float, float | None]], until: float
) -> list[float]:
    """Call `move_to(deadline)` at each moment; return when the timer rang."""
    rings: list[float] = []

    async def main() -> None:
        timer = Timer()
        start = trio.current_time()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(timer.run, lambda now: rings.append(now - start))
            await wait_all_tasks_blocked()
            for moment, deadline in schedule:
                await trio.sleep_until(start + moment)
                timer.move_to(None if deadline is None else start + deadline)
            await trio.sleep_until(start + until)
            nursery.cancel_scope.cancel()

    run_timeless(main)
    return rings


def test_never_rings_without_a_deadline() -> None:
    assert run_with_timer([(0, None)], until=1_000_000) == []


def test_rings_once_at_the_deadline() -> None:
    assert run_with_timer([(0, 10)], until=1000) == [10]


def test_an_earlier_deadline_counts() -> None:
    assert run_with_timer([(0, 100), (1, 10)], until=1000) == [10]


def test_a_later_deadline_is_not_chased() -> None:
    # The broker is asked at the old moment and names the later one then.
    assert run_with_timer([(0, 10), (1, 500)], until=1000) == [10]


def test_a_deadline_in_the_past_rings_at_once() -> None:
    assert run_with_timer([(5, 1)], until=1000) == [5]


def test_a_ring_may_set_the_next_deadline() -> None:
    rings: list[float] = []

    async def main() -> None:
        timer = Timer()
        start = trio.current_time()

        def ring(now: float) -> None:
            rings.append(now - start)
            if len(rings) < 3:
                timer.move_to(now + 5)

        timer.move_to(start + 5)
        with trio.move_on_after(100):
            await timer.run(ring)

    run_timeless(main)
    assert rings == [5, 10, 15]
