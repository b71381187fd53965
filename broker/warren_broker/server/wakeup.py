"""Wakeup: one task sleeps, anybody wakes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import trio
from trio.lowlevel import Abort

if TYPE_CHECKING:
    from collections.abc import Callable


@final
class Wakeup:
    """A reusable event for one waiter; set often, it wakes once.

    A `trio.Event` cannot be cleared, so a writer that sleeps after every batch would
    make a new one each time; this one costs an attribute.
    """

    __slots__ = ("_is_set", "_task")

    def __init__(self) -> None:
        self._is_set: bool = False
        self._task: trio.lowlevel.Task | None = None

    def set(self) -> None:
        """Wake the waiter now, or the next one at once."""
        task = self._task
        if task is None:
            self._is_set = True
        else:
            self._task = None
            trio.lowlevel.reschedule(task)

    async def wait(self) -> None:
        """Sleep until `set` has been called since the last `wait`. A checkpoint."""
        if self._is_set:
            self._is_set = False
            await trio.lowlevel.checkpoint()
        else:
            self._task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _: Callable[[], object]) -> Abort:
        self._task = None
        return Abort.SUCCEEDED
