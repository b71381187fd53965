"""Places: where entries in a row belong, in few bytes.

Their sequences, and their positions if the store has them. Mostly the sequences have
no gaps and cost nothing; a position costs four bytes.
"""

from __future__ import annotations

from array import array
from itertools import repeat
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from warren_broker.core.queue.entry import Entry

_NEAR: Final = 1 << 32


@final
class Places:
    """Sequence and position of each of some entries, in order; 0: not in the store."""

    __slots__ = ("_base", "_distances", "_sequences")

    def __init__(self, entries: list[Entry]) -> None:
        """Of `entries` in order, all of which are in the store, or none."""
        first, last = entries[0].sequence, entries[-1].sequence
        self._sequences: Sequence[int] = range(first, last + 1)
        if len(self._sequences) != len(entries):
            self._sequences = array("Q", [entry.sequence for entry in entries])
        self._base = 0
        self._distances: Sequence[int] | None = None
        if entries[0].position:
            positions = [entry.position for entry in entries]
            self._base = min(positions)
            kind = "I" if max(positions) - self._base < _NEAR else "Q"
            distances = [position - self._base for position in positions]
            self._distances = array(kind, distances)

    def __len__(self) -> int:
        return len(self._sequences)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        if self._distances is None:
            return zip(self._sequences, repeat(0), strict=False)
        base = self._base
        positions = [base + distance for distance in self._distances]
        return zip(self._sequences, positions, strict=True)

    @property
    def are_stored(self) -> bool:
        """Whether the store has the entries."""
        return self._distances is not None

    @property
    def ends(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The first and the last of them, which are in the store."""
        distances = self._distances or (0,)
        return (
            (self._sequences[0], self._base + distances[0]),
            (self._sequences[-1], self._base + distances[-1]),
        )
