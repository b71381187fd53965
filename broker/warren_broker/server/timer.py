"""Timer: the one task that waits for the broker's next deadline."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Never, final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable


@final
class Timer:
    """Sleeps until the earliest deadline it was given; with none, it just sleeps.

    A deadline that moves later is not chased: the timer rings at the old moment,
    finds nothing due and is given the new one. Heartbeats move theirs with every
    batch, and a ring an interval is cheaper than an update a batch.
    """

    __slots__ = ("_deadline", "_scope")

    def __init__(self) -> None:
        self._deadline: float = math.inf
        self._scope: trio.CancelScope | None = None

    def move_to(self, deadline: float | None) -> None:
        """Ring at `deadline` (trio's clock, seconds) if that is sooner than now set."""
        if deadline is None or deadline >= self._deadline:
            return
        self._deadline = deadline
        if self._scope is not None:
            self._scope.deadline = deadline

    async def run(self, ring: Callable[[float], None]) -> Never:
        """Call `ring(now)` at each deadline; it must `move_to` the next one."""
        while True:
            with trio.CancelScope(deadline=self._deadline) as self._scope:
                await trio.sleep_forever()
            self._scope = None
            self._deadline = math.inf
            ring(trio.current_time())
