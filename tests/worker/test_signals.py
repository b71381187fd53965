"""How an app is told to end: before it has begun, once, and twice."""

from __future__ import annotations

import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from warren._worker.signals import serve_until_signalled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Stage:
    """A context that tells how far it is, and hangs where it is told to."""

    def __init__(self, hangs_at: str) -> None:
        self.hangs_at = hangs_at
        self.reached: list[str] = []

    async def reach(self, stage: str) -> None:
        """Send a signal; or, where it hangs, wait for what that does."""
        self.reached.append(stage)
        os.kill(os.getpid(), signal.SIGTERM)
        if stage == self.hangs_at:
            await trio.sleep_forever()

    @asynccontextmanager
    async def running(self, *stages: str) -> AsyncIterator[None]:
        """Be an app that begins and drains."""
        if "begins" in stages:
            await self.reach("begins")
        trio.lowlevel.spawn_system_task(self.reach, "works")
        yield
        if "drains" in stages:
            await self.reach("drains")
        self.reached.append("is over")


def ended(stage: Stage, *stages: str) -> int:
    """Run it; return the exit status."""

    async def main() -> int:
        with trio.fail_after(20):
            return await serve_until_signalled(stage.running(*stages))

    return trio.run(main)


def test_one_signal_is_a_drain() -> None:
    stage = Stage("")
    assert ended(stage) == 0
    assert stage.reached == ["works", "is over"]


def test_a_second_one_ends_the_drain() -> None:
    stage = Stage("drains")
    assert ended(stage, "drains") == 128 + signal.SIGTERM
    assert stage.reached == ["works", "drains"]


def test_one_is_enough_for_what_has_not_begun() -> None:
    """It may be waiting for a broker that is not there."""
    stage = Stage("begins")
    assert ended(stage, "begins") == 0
    assert stage.reached == ["begins"]
