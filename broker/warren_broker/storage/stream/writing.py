"""Writing: a whole segment at once, from chunks that are known to be safe.

It gets a name that no segment has until all of it is synced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from warren_broker.storage.stream import chunk as chunks
from warren_broker.storage.stream import index as indexes
from warren_broker.storage.stream import segment as segments
from warren_broker.storage.stream.batch import Replacement
from warren_broker.storage.stream.books import beginning_of
from warren_broker.storage.stream.chunk import Draft, size_of
from warren_broker.storage.stream.index import IndexEntry
from warren_broker.storage.stream.segment import COMPACTING, SegmentHeader, name_of

if TYPE_CHECKING:
    from warren_broker.storage.disk import Disk
    from warren_broker.storage.stream.log import StoreFacts


@final
class SegmentWriter:
    """Writes chunk after chunk. All methods may raise `OSError`.

    Attributes:
        first: the first offset of the segment.
        state: of what has been written.
    """

    def __init__(
        self, disk: Disk, facts: StoreFacts, number: int, first: int, revision: int
    ) -> None:
        """`revision`: how many times the segment was written anew."""
        self._disk = disk
        self._facts = facts
        self._number = number
        self._revision = revision
        self._name = name_of(number, first, COMPACTING)
        self._seed = chunks.seed_of(facts.store_id, number, first)
        self._indexed = 0
        self._entries: list[IndexEntry] = []
        self.first = first
        self.state = beginning_of(first)
        header = SegmentHeader(facts.epoch, facts.store_id, number, revision, first)
        disk.remove(self._name)
        disk.append(self._name, [segments.encode_header(header)])

    def add(self, draft: Draft, end: int) -> None:
        """Write a chunk from where the last one ended to before the offset `end`."""
        state = self.state
        pieces = chunks.compose(draft, state.offset, end, self._facts.epoch, self._seed)
        self._disk.append(self._name, pieces)
        is_tracking = draft.kind == chunks.TRACKING
        self.state = IndexEntry(
            offset=end,
            position=state.position + size_of(draft),
            records=state.records + draft.count,
            tracking=state.position if is_tracking else state.tracking,
            timestamp_ms=draft.timestamp_ms if draft.count else state.timestamp_ms,
        )
        if indexes.is_due(self._indexed, self.state.position):
            self._indexed = self.state.position
            self._entries.append(self.state)

    def skip(self, end: int) -> None:
        """Tell that there are no records before the offset `end`."""
        if self.state.offset < end:
            self.add(Draft(self.state.timestamp_ms, chunks.COMPACTED), end)

    def discard(self) -> None:
        """It is not wanted."""
        self._disk.remove(self._name)

    def finish(self) -> Replacement:
        """Make it safe, and return how it gets its name."""
        self._disk.sync(self._name)
        return Replacement(
            self._number,
            self.first,
            self.state.position,
            self.state.records,
            [*self._entries, self.state],
            indexes.seed_of(self._seed, self._revision),
        )
