"""Runway: zeros ahead of the records, so that most syncs find a file as long as it was.

A sync of bytes within a file is one write of the disk; where the file grows it is one
or two more, of the file system's own. Small records wait for that, so the file grows
well ahead of them; large ones wait for the disk's bandwidth and do without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from warren_broker.storage.batch import Batch

_SHARE: Final = 16  # a record that fits so often into the runway is small


@final
class Runway:
    """How long the file of the present segment is; shorter where there was no room."""

    __slots__ = ("_file_end", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._file_end = 0

    def prepare(self, batch: Batch) -> None:
        """Let `batch` write zeros ahead, or cut what a sealed segment has of them."""
        if batch.behind:
            batch.cuts = batch.end < self._file_end
        elif batch.end > self._file_end:
            size = batch.end - batch.boundary
            batch.runway_size = self._size if size * _SHARE <= self._size else 0

    def on_safe(self, batch: Batch) -> None:
        """`batch` is written."""
        if batch.behind:
            self._file_end = 0  # the next segment's, which is not there yet
        else:
            self._file_end = max(self._file_end, batch.end + batch.runway_size)

    def on_undone(self, batch: Batch) -> None:
        """`batch` found no room, and was cut off again."""
        self._file_end = batch.boundary
