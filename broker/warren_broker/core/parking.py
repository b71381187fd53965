"""Parking: packed runs of messages that nobody needs soon, in memory or on disk.

Runs count with their bytes. Above the limit the queue with the most of them gives its
last run to the disk, and the next, until there is room. What the store has is read
from there again, and not written once more: nothing that is written for want of memory
is ever read by another process.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from warren_broker.core.queue.packing import Run
    from warren_broker.core.queue.tail import Tail


class Spill(ABC):
    """Bytes on a disk, by the number of their place."""

    __slots__ = ()

    @abstractmethod
    def write(self, run: Run, data: bytes) -> int:
        """Begin to write `data` and return its place; then `run.on_written` is due."""

    @abstractmethod
    def read(self, place: int) -> bytes:
        """Return what was written there. Raises OSError."""

    @abstractmethod
    def want(self, place: int) -> None:
        """It will be read soon."""

    @abstractmethod
    def free(self, place: int) -> None:
        """It will be read no more."""


@final
class Parking:
    """What all queues have packed.

    Attributes:
        limit_bytes: what may be in memory, if there is a `spill`.
        in_memory_bytes: what is.
    """

    __slots__ = ("_tails", "in_memory_bytes", "limit_bytes", "spill")

    def __init__(self) -> None:
        self.spill: Spill | None = None
        self.limit_bytes = 0
        self.in_memory_bytes = 0
        self._tails: dict[Tail, int] = {}

    def account(self, tail: Tail, size: int) -> None:
        """So many bytes of `tail` more are in memory, or fewer."""
        self.in_memory_bytes += size
        total = self._tails.get(tail, 0) + size
        if total:
            self._tails[tail] = total
        else:
            self._tails.pop(tail, None)

    def bytes_of(self, tail: Tail) -> int:
        """Return how many bytes of `tail` are in memory."""
        return self._tails.get(tail, 0)

    def make_room(self) -> None:
        """Keep the limit."""
        if self.spill is None:
            return
        while self._tails and self.in_memory_bytes > self.limit_bytes:
            largest = max(self._tails, key=self._tails.__getitem__)
            largest.spill_last(self.spill)
