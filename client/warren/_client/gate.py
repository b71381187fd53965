"""ReadGate: when reading pauses, because nobody takes what has come."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, final

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator

BUFFERED_MAX: Final = 4096
"""Deliveries: more than this waiting to be taken, and reading pauses."""


@final
class ReadGate:
    """Counts deliveries that wait to be taken, and tasks that await an answer.

    It is open while few wait, and also while somebody awaits an answer, which would
    have to wait behind them. `is_waiting` tells that the reader stands before it.
    """

    def __init__(self) -> None:
        self.is_waiting = False
        self._buffered = 0
        self._answers_awaited = 0
        self._opening = trio.lowlevel.ParkingLot()

    @contextmanager
    def awaiting_answer(self) -> Iterator[None]:
        """In this block reading goes on, however much is buffered."""
        self._answers_awaited += 1
        self.open()
        try:
            yield
        finally:
            self._answers_awaited -= 1

    def count(self, change: int) -> None:
        """Consumers tell how many deliveries they got, or gave away."""
        self._buffered += change
        if change < 0 and self._buffered <= BUFFERED_MAX // 2:
            self.open()

    def open(self) -> None:
        """Let the reader look again."""
        if self.is_waiting:
            self._opening.unpark_all()

    async def wait(self) -> None:
        """Wait, if reading should pause."""
        while self._buffered > BUFFERED_MAX and not self._answers_awaited:
            self.is_waiting = True
            await self._opening.park()
        self.is_waiting = False
