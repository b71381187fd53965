"""Doorway: newcomers wait for a place; addresses wait for their own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from tests.server.harness import run_timeless
from warren_broker.core.limits import Limits
from warren_broker.server.doorway import Doorway

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def nobody_gets_in() -> Iterator[None]:
    with trio.move_on_after(10) as scope:
        yield
    assert scope.cancelled_caught


def test_one_address_waits_for_itself_only() -> None:
    async def main() -> None:
        doorway = Doorway(Limits(unauthenticated_per_address_max=2))
        first = await doorway.enter("a")
        await doorway.enter("a")
        with nobody_gets_in():
            await doorway.enter("a")
        await doorway.enter("b")
        first.leave()
        first.leave()
        await doorway.enter("a")
        with nobody_gets_in():
            await doorway.enter("a")

    run_timeless(main)


def test_all_together_are_limited() -> None:
    async def main() -> None:
        doorway = Doorway(Limits(unauthenticated_max=2))
        await doorway.enter("a")
        second = await doorway.enter("b")
        with nobody_gets_in():
            await doorway.enter("c")
        second.leave()
        await doorway.enter("c")

    run_timeless(main)


def test_who_waits_gets_the_place_of_who_leaves() -> None:
    async def main() -> None:
        doorway = Doorway(Limits(unauthenticated_per_address_max=1))
        first = await doorway.enter("a")
        entered: list[int] = []

        async def come(number: int) -> None:
            newcomer = await doorway.enter("a")
            entered.append(number)
            await trio.sleep(1)
            newcomer.leave()

        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(come, number)
            await trio.sleep(5)
            assert entered == []
            first.leave()
        assert sorted(entered) == [0, 1, 2]

    run_timeless(main)


def test_who_gives_up_takes_no_place() -> None:
    async def main() -> None:
        limits = Limits(unauthenticated_max=1, unauthenticated_per_address_max=1)
        doorway = Doorway(limits)
        for _ in range(3):
            first = await doorway.enter("a")
            with nobody_gets_in():
                await doorway.enter("a")
            with nobody_gets_in():
                await doorway.enter("b")
            first.leave()
        (await doorway.enter("b")).leave()
        await doorway.enter("a")

    run_timeless(main)
