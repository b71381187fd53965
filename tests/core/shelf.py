"""A shelf: a disk for what there is no room for in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warren_broker.core.parking import Spill

if TYPE_CHECKING:
    from warren_broker.core.queue.packing import Run


class Shelf(Spill):
    """A spill that is a dictionary; it says that it has written when asked to."""

    def __init__(self) -> None:
        self.kept: dict[int, bytes] = {}
        self.unwritten: list[Run] = []
        self.wanted: set[int] = set()
        self.last = 0
        self.failures = 0  # so many times reading does not work

    def write(self, run: Run, data: bytes) -> int:
        self.last += 1
        self.kept[self.last] = data
        self.unwritten.append(run)
        return self.last

    def read(self, place: int) -> bytes:
        if self.failures:
            self.failures -= 1
            raise OSError("damaged")
        return self.kept[place]

    def want(self, place: int) -> None:
        assert place in self.kept
        self.wanted.add(place)

    def free(self, place: int) -> None:
        del self.kept[place]

    def finish(self) -> None:
        """All is written."""
        while self.unwritten:
            self.unwritten.pop().on_written()
