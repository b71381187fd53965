"""Slots: how many jobs of a pool run at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import trio

if TYPE_CHECKING:
    from types import TracebackType


@final
class Slots:
    """The places of one pool."""

    def __init__(self, count: int) -> None:
        self._free = trio.Semaphore(count)

    async def take(self) -> Slot:
        """Wait for a place."""
        await self._free.acquire()
        return Slot(self._free)


@final
class Slot:
    """One place, free again when its job is over, and its thread if it has one.

    A thread cannot be cancelled. One that was given up goes on, and keeps its place: so
    there are never more threads than slots. trio asks it for leave to run a thread, see
    `trio.to_thread.run_sync`.
    """

    def __init__(self, free: trio.Semaphore) -> None:
        self._free = free
        self._holders = 1

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    async def acquire_on_behalf_of(self, _: object) -> None:
        """A thread begins."""
        await trio.lowlevel.checkpoint()
        self._holders += 1

    def release_on_behalf_of(self, _: object) -> None:
        """A thread is over."""
        self.release()

    def release(self) -> None:
        """The job, or a thread, is over."""
        self._holders -= 1
        if not self._holders:
            self._free.release()
