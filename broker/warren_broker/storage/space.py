"""The space a journal takes: what lives in which segment, and what can be freed.

Segments go oldest first and never out of turn: what a later one says about an earlier
one (that its messages are settled) must not be forgotten before it. A segment can go
when no message in it lives, the snapshot of definitions is newer, and all that is safe.
If only few live, or segments behind it are mostly dead, its messages are written
again at the end of the journal (*moved*), so that a journal is never much more than
twice what lives in it.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Iterator

OFFSET_BITS = 32
OFFSET_MASK = (1 << OFFSET_BITS) - 1


@final
class Segment:
    """The books of one segment.

    Hot: a settled message costs four bytes here for as long as its segment exists.
    """

    __slots__ = (
        "added",
        "cursor",
        "defined_at",
        "gone",
        "is_damaged",
        "is_sealed",
        "last_lsn",
        "live",
        "number",
        "previous_crc",
        "revision",
        "settled_by",
        "size",
    )

    def __init__(self, number: int, previous_crc: int = 0) -> None:
        self.number = number
        self.previous_crc = previous_crc  # of number and epoch of the last record
        self.size = 0  # bytes
        self.last_lsn = 0  # when it is sealed
        self.added = 0  # messages and copies
        self.gone = array("I")  # offsets of those that are settled or moved
        self.live: array[int] | None = None  # at the start; None: all that were added
        self.settled_by = 0  # last record that settled something here
        self.defined_at = 0  # last record with a definition here
        self.cursor = 0  # where to go on moving; 0: at the beginning
        self.revision = 0  # times that `gone` has become shorter
        self.is_sealed = False
        self.is_damaged = False  # never freed: somebody may want to look at it

    @property
    def live_count(self) -> int:
        """Messages and copies that live."""
        return self.added - len(self.gone)

    @property
    def live_bytes(self) -> int:
        """Bytes of what lives, if messages are of one size."""
        return self.size * self.live_count // max(1, self.added)

    def take_back(self, end: int, lsn: int, ticket: int) -> None:
        """Everything from offset `end` and record `lsn` on was not written.

        What it settled and defined elsewhere will be said by record `ticket`.
        """
        if self.settled_by >= lsn:
            self.settled_by = ticket
        if self.defined_at >= lsn:
            self.defined_at = ticket
        self.cursor = 0
        self.revision += 1
        self.gone = array("I", [offset for offset in self.gone if offset < end])


@final
class Space:
    """All segments of a journal, by number, oldest first."""

    __slots__ = ("segments", "segments_min")

    def __init__(self, segments: list[Segment], segments_min: int) -> None:
        self.segments = {each.number: each for each in segments}
        self.segments_min = segments_min

    def begin(self, number: int, previous_crc: int) -> Segment:
        """Open the books of a new segment."""
        segment = self.segments[number] = Segment(number, previous_crc)
        return segment

    def reopen(self, number: int) -> Segment:
        """Return a segment as if nothing was begun behind it."""
        for later in [each for each in self.segments if each > number]:
            del self.segments[later]
        segment = self.segments[number]
        segment.size, segment.is_sealed = 0, False
        return segment

    def removable(self, safe_lsn: int, snapshot_lsn: int) -> Iterator[int]:
        """The segments that can go once all up to `safe_lsn` is safe."""
        for segment in self.segments.values():
            if not self._is_dead(segment):
                return
            if max(segment.settled_by, segment.last_lsn) > safe_lsn:
                return
            if segment.defined_at >= max(snapshot_lsn, 1):
                return
            yield segment.number

    def wants_snapshot(self, snapshot_lsn: int) -> bool:
        """Whether nothing but old definitions keeps the oldest segment."""
        oldest = next(iter(self.segments.values()))
        return self._is_dead(oldest) and oldest.defined_at >= max(snapshot_lsn, 1)

    def movable(self) -> Segment | None:
        """The segment whose messages should be moved, if any should."""
        oldest = next(iter(self.segments.values()))
        if oldest.is_damaged or not oldest.is_sealed or not oldest.live_count:
            return None
        sealed = [each for each in self.segments.values() if each.is_sealed]
        if len(sealed) <= self.segments_min:
            return None
        size = sum(each.size for each in sealed)
        live = sum(each.live_bytes for each in sealed)
        return oldest if 2 * live <= size else None

    @property
    def size(self) -> int:
        """Bytes of all segments that are sealed."""
        return sum(each.size for each in self.segments.values())

    @staticmethod
    def _is_dead(segment: Segment) -> bool:
        return segment.is_sealed and not segment.is_damaged and not segment.live_count
