"""Clock: real time, and what a test has added to it."""

from __future__ import annotations

import time
from typing import final

import trio


@final
class AheadClock(trio.abc.Clock):
    """Runs as the system's does, ahead of it by as much as it was moved."""

    def __init__(self) -> None:
        self._ahead_seconds = 0.0

    def start_clock(self) -> None:
        """It runs already."""

    def current_time(self) -> float:
        return time.perf_counter() + self._ahead_seconds

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return deadline - self.current_time()

    def move_to(self, when: float) -> None:
        """Let it be `when` now, unless it is later already. In the loop's thread."""
        self._ahead_seconds += max(0.0, when - self.current_time())
