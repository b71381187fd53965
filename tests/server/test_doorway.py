"""Doorway: newcomers wait for a place; addresses wait for their own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from tests.server.harness import enter, run_timeless
from warren_broker.core.limits import Limits
from warren_broker.server.doorway import COMING_FACTOR, Doorway

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
        first = await enter(doorway, "a")
        await enter(doorway, "a")
        with nobody_gets_in():
            await enter(doorway, "a")
        await enter(doorway, "b")
        first.leave()
        first.leave()
        await enter(doorway, "a")
        with nobody_gets_in():
            await enter(doorway, "a")

    run_timeless(main)


def test_all_together_are_limited() -> None:
    async def main() -> None:
        doorway = Doorway(Limits(unauthenticated_max=2))
        await enter(doorway, "a")
        second = await enter(doorway, "b")
        with nobody_gets_in():
            await enter(doorway, "c")
        second.leave()
        await enter(doorway, "c")

    run_timeless(main)


def test_who_waits_gets_the_place_of_who_leaves() -> None:
    async def main() -> None:
        doorway = Doorway(Limits(unauthenticated_per_address_max=1))
        first = await enter(doorway, "a")
        entered: list[int] = []

        async def come(number: int) -> None:
            newcomer = await enter(doorway, "a")
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
            first = await enter(doorway, "a")
            with nobody_gets_in():
                await enter(doorway, "a")
            with nobody_gets_in():
                await enter(doorway, "b")
            first.leave()
        (await enter(doorway, "b")).leave()
        await enter(doorway, "a")

    run_timeless(main)


def test_who_waits_is_limited_for_one_address() -> None:
    doorway = Doorway(Limits(unauthenticated_per_address_max=2))
    coming = [doorway.arrive("a") for _ in range(2 * COMING_FACTOR)]
    assert None not in coming
    assert doorway.arrive("a") is None
    assert doorway.arrive("b") is not None
    for _ in range(2):  # leaving twice makes room for one
        assert coming[0] is not None
        coming[0].leave()
    assert doorway.arrive("a") is not None
    assert doorway.arrive("a") is None
