"""DiskThread: the event loop waits for a quick disk, and never long for a slow one."""

from __future__ import annotations

import sys
from threading import Event
from typing import TYPE_CHECKING

import pytest
import trio

from warren_broker.server.disk_thread import VAIN_MAX, DiskThread, Patience

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

DEADLINE_SECONDS = 20


def run(main: Callable[[DiskThread], Awaitable[None]]) -> None:
    async def with_thread() -> None:
        thread = DiskThread()
        try:
            with trio.fail_after(DEADLINE_SECONDS):
                await main(thread)
        finally:
            thread.close()

    trio.run(with_thread)


@pytest.mark.parametrize("is_short", [True, False])
def test_work_is_done_in_turn_and_what_it_raises_is_raised(is_short: bool) -> None:
    async def main(thread: DiskThread) -> None:
        done: list[int] = []

        def work() -> None:
            done.append(len(done))
            if done[-1] % 2:
                raise OSError(done[-1])

        for number in range(0, 100, 2):
            await thread.do(work, is_short=is_short)
            with pytest.raises(OSError, match=str(number + 1)):
                await thread.do(work, is_short=is_short)
            assert done == [*range(number + 2)]

    run(main)


def test_the_loop_goes_on_while_work_that_should_be_short_is_not() -> None:
    async def main(thread: DiskThread) -> None:
        gate = Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_do_short, thread, lambda: gate.wait(DEADLINE_SECONDS))
            for _ in range(10):
                await trio.lowlevel.checkpoint()
            gate.set()  # only a loop that goes on comes here
        await _do_short(thread, lambda: True)

    run(main)


def test_work_that_ends_as_patience_does_ends_once() -> None:
    """Both threads may take the sleeper then."""

    async def main(thread: DiskThread) -> None:
        for _ in range(300):
            await _do_short(thread, lambda: Event().wait(0.0005) or True)

    run(main)


def test_who_sleeps_is_woken_by_the_end_of_its_own_work() -> None:
    """The thread may be about to look for a sleeper when nobody waits any more."""
    interval = sys.getswitchinterval()

    async def main(thread: DiskThread) -> None:
        done: list[int] = []
        for number in range(0, 2000, 2):
            await thread.do(lambda: done.append(len(done)), is_short=True)
            await thread.do(lambda: done.append(len(done)))
            assert len(done) == number + 2

    sys.setswitchinterval(1e-6)
    try:
        run(main)
    finally:
        sys.setswitchinterval(interval)


async def _do_short(thread: DiskThread, work: Callable[[], bool]) -> None:
    results: list[bool] = []
    await thread.do(lambda: results.append(work()), is_short=True)
    assert results == [True]


def test_nobody_waits_again_and_again_in_vain() -> None:
    patience, waits = Patience(), 0
    for _ in range(100 * VAIN_MAX):
        if patience.try_again():
            waits += 1
            patience.learn(in_vain=True)
    assert waits < 120


def test_nobody_waits_for_a_disk_that_is_slow_every_fourth_time() -> None:
    patience, waits = Patience(), 0
    for _ in range(100 * VAIN_MAX):
        if patience.try_again():
            waits += 1
            patience.learn(in_vain=waits % 4 == 0)
    assert waits < 700


def test_a_disk_that_is_slow_now_and_then_is_waited_for() -> None:
    patience, waits = Patience(), 0
    for _ in range(10_000):
        if patience.try_again():
            waits += 1
            patience.learn(in_vain=waits % 10 == 0)
    assert waits > 7_000


def test_patience_comes_back_with_a_quick_disk() -> None:
    patience = Patience()
    for _ in range(10 * VAIN_MAX):
        if patience.try_again():
            patience.learn(in_vain=True)
    tries = []
    for _ in range(3 * VAIN_MAX):
        tries.append(patience.try_again())
        if tries[-1]:
            patience.learn(in_vain=False)
    assert all(tries[VAIN_MAX:])
