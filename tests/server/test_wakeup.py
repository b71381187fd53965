"""Wakeup: no wake is lost, none counts twice."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from tests.server.harness import run_timeless
from warren_broker.server.wakeup import Wakeup


def test_set_before_wait_is_not_lost_and_counts_once() -> None:
    async def main() -> None:
        wakeup = Wakeup()
        wakeup.set()
        wakeup.set()
        await wakeup.wait()
        with trio.move_on_after(1) as second:
            await wakeup.wait()
        assert second.cancelled_caught

    run_timeless(main)


def test_set_wakes_the_sleeper() -> None:
    async def main() -> None:
        wakeup = Wakeup()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wakeup.wait)
            await wait_all_tasks_blocked()
            assert nursery.child_tasks
            wakeup.set()
            await wait_all_tasks_blocked()
            assert not nursery.child_tasks

    run_timeless(main)


def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    async def main() -> None:
        wakeup = Wakeup()
        with trio.move_on_after(1):
            await wakeup.wait()
        wakeup.set()
        with trio.move_on_after(1) as after:
            await wakeup.wait()
        assert not after.cancelled_caught

    run_timeless(main)
