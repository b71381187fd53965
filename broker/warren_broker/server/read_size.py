"""ReadSize: how many bytes to ask the kernel for."""

from __future__ import annotations

from typing import Final, final

SIZE_MIN: Final = 16 * 1024
SIZE_RESTING: Final = 64 * 1024
SIZE_MAX: Final = 256 * 1024
SMALL_READS_MAX: Final = 16
"""This many reads in a row that a half would have held, and the size is halved."""


@final
class ReadSize:
    """The size of the next read, in `bytes`.

    It doubles while reads fill it, because one turn over a large batch is cheap. Above
    the resting size it stays only while it is filled: such a buffer is mapped and
    unmapped for each read. Below, it shrinks slowly, so that an idle peer costs little.
    """

    __slots__ = ("_small_reads", "bytes")

    def __init__(self) -> None:
        self.bytes: int = SIZE_MIN
        self._small_reads: int = 0

    def observe(self, received: int) -> None:
        """Learn from a read that asked for `bytes` and got `received`."""
        size = self.bytes
        if received >= size:
            self.bytes = min(size * 2, SIZE_MAX)
            self._small_reads = 0
        elif size > SIZE_RESTING:
            self.bytes = SIZE_RESTING
        elif received > size // 2 or size == SIZE_MIN:
            self._small_reads = 0
        else:
            self._shrink()

    def _shrink(self) -> None:
        self._small_reads += 1
        if self._small_reads == SMALL_READS_MAX:
            self._small_reads = 0
            self.bytes //= 2
