"""StreamLog: the records of one stream, and which file has what.

A turn appends; `take_batch` closes the chunks and hands out what is to be written;
somebody runs the batch in another thread and tells `on_written`. One batch is under way
at a time, and the next one collects meanwhile. Below `end` everything is safe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, final

import attrs

from warren_broker.storage.outcome import Outcome
from warren_broker.storage.runway import Runway
from warren_broker.storage.stream import chunk as chunks
from warren_broker.storage.stream.batch import Part, Removal, Replacement, StreamBatch
from warren_broker.storage.stream.books import OpenedStream, Segment, beginning_of
from warren_broker.storage.stream.chunk import Draft, size_of, tracking
from warren_broker.storage.stream.entry import FILTERED, HEAD, MARK, OVERHEAD, SIZE_SIZE
from warren_broker.storage.stream.index import IndexEntry, is_due
from warren_broker.storage.stream.producers import note_producers
from warren_broker.storage.stream.segment import HEADER_SIZE

if TYPE_CHECKING:
    from warren_broker.core.stream.log import Retention
    from warren_broker.storage.stream.batch import Upkeep

SEGMENT_BYTES: Final = 64 << 20
CHUNK_BYTES: Final = 256 << 10
"""A chunk ends with the record that passes it, so that pages are small."""
_TRACKING_PARTS: Final = 2
"""A segment is at least so many times as large as what it tells of producers."""


@attrs.frozen
class StoreFacts:
    """What all streams of a data directory have in common."""

    store_id: bytes  # 16 bytes
    epoch: int  # of this start
    runway_size: int = 0  # bytes of zeros at most, ahead of small chunks


class Place(NamedTuple):
    """Where in the files a reader should begin. What is behind it may change."""

    first: int  # offset, of the segment
    end: int  # offset, of what is safe in it
    revision: int  # of the segment
    size: int  # bytes that are safe in it
    start: IndexEntry | None  # at or before what is wanted; None: ask the index


@final
class StreamLog:
    """Composes chunks and knows the files. Begun by what `open_streams` returns.

    Nothing here touches the disk or fails: all errors come by `on_written`.

    Attributes:
        first: the oldest offset that is still there.
        end: the offset after the last record that is safe.
        count: records from `first` to `end`.
        synced: all before it would survive a power cut.
        producers: last sequence numbers of what is before `end`.
        waiting_bytes: of what is not safe yet.
    """

    __slots__ = (
        "_bytes",
        "_chunk_bytes",
        "_draft",
        "_drafts",
        "_facts",
        "_index",
        "_indexed",
        "_is_tracked",
        "_runway",
        "_segment_bytes",
        "_segments",
        "_size_min",
        "_state",
        "_syncs_directory",
        "_under_way",
        "_upkeep",
        "count",
        "end",
        "first",
        "number",
        "producers",
        "synced",
        "waiting_bytes",
    )

    def __init__(
        self, opened: OpenedStream, facts: StoreFacts, segment_bytes: int
    ) -> None:
        self.number = opened.number
        self.producers = opened.producers
        self.waiting_bytes = 0
        self._facts = facts
        self._segments = opened.segments
        self._size_min = 0  # of the active segment: what it tells of producers is much
        self.size_segments(segment_bytes)
        active = self._segments[-1]
        self._state = IndexEntry(  # of the active segment
            active.end,
            active.size or HEADER_SIZE,
            active.records,
            opened.tracking,
            active.timestamp_ms,
        )
        self._index = opened.index
        # So many of them are in its file.
        self._indexed = len(self._index.entries) if opened.has_index else 0
        self._is_tracked = not self.producers
        self.first = self._segments[0].first
        self.end = self.synced = active.end
        self._bytes = sum(each.size for each in self._segments)
        self.count = sum(each.records for each in self._segments)
        self._runway = Runway(facts.runway_size, is_modest=True)
        self._syncs_directory = False
        self._draft: Draft | None = None
        self._drafts: list[Draft] = []
        self._under_way: StreamBatch | None = None
        self._upkeep: list[Upkeep] = []

    def size_segments(self, segment_bytes: int) -> None:
        """End segments at so many bytes from now on, the active one as well."""
        self._segment_bytes = segment_bytes
        self._chunk_bytes = min(CHUNK_BYTES, segment_bytes // 4)

    # --- appending

    def append(
        self,
        timestamp_ms: int,
        filter_: bytes | None,
        route: bytes,
        header: bytes,
        body: bytes,
        producer: tuple[str, int] | None = None,
    ) -> None:
        """Collect a record. Hot: once a record."""
        draft = self._draft
        if (
            draft is None
            or draft.timestamp_ms != timestamp_ms
            or draft.size >= self._chunk_bytes
            or draft.count == chunks.ENTRIES_MAX
        ):
            draft = self._draft = Draft(timestamp_ms)
            self._drafts.append(draft)
        b, c = len(route), len(header)
        size = OVERHEAD + b + c + len(body)
        if filter_ is None:
            draft.pieces += (HEAD.pack(size, MARK, 0, b, c), route, header, body)
        else:
            a = len(filter_)
            size += a
            head = HEAD.pack(size, FILTERED, a, b, c)
            draft.pieces += (head, filter_, route, header, body)
        size += SIZE_SIZE
        draft.size += size
        draft.count += 1
        self.waiting_bytes += size
        if producer is not None:
            draft.producers.pop(producer[0], None)
            draft.producers[producer[0]] = producer[1]

    @property
    def is_dirty(self) -> bool:
        """Whether something waits for `take_batch`."""
        has_file = bool(self._segments[-1].size)
        return bool(self._drafts or self._upkeep) or not has_file

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return self._bytes

    @property
    def newest_ms(self) -> int:
        """The time of the last record that is safe, 0 if there is none."""
        return max(each.timestamp_ms for each in self._segments)

    @property
    def _is_indexed(self) -> bool:
        """Whether the index of the active segment says all of it."""
        entries = self._index.entries
        is_written = self._indexed == len(entries)
        return is_written and bool(entries) and entries[-1] == self._state

    # --- batches

    def take_batch(self, *, syncs: bool, is_last: bool = False) -> StreamBatch | None:
        """Close the chunks and return what is to be written.

        `syncs`: all of it shall survive a power cut. `is_last`: of a clean stop, after
        which nothing may be appended. None if there is nothing, or a batch is under
        way.
        """
        syncs = syncs or is_last or bool(self._upkeep)  # what is left must be safe
        is_unsynced = syncs and (self.synced < self.end or self._syncs_directory)
        is_wanted = self.is_dirty or is_unsynced or (is_last and not self._is_indexed)
        if self._under_way is not None or not is_wanted:
            return None
        facts = self._facts
        batch = StreamBatch(self.number, facts.store_id, facts.epoch, self.synced)
        batch.drafts, self._drafts, self._draft = self._drafts, [], None
        batch.upkeep, self._upkeep = self._upkeep, []
        batch.syncs = syncs
        batch.is_last = is_last
        batch.syncs_directory = self._syncs_directory
        batch.size = self.waiting_bytes
        is_short = is_last and not self._is_indexed
        if batch.drafts or is_unsynced or is_short or not self._segments[-1].size:
            self._plan(batch, is_last=is_last)
        batch.end = batch.parts[-1].state.offset if batch.parts else self.end
        self._under_way = batch
        return batch

    def on_written(self, batch: StreamBatch, error: OSError | None) -> Outcome:
        """`batch.run` has returned, or raised `error`.

        Without room everything is kept for the next try. After anything else the state
        of the disk is unknown, and only another start can tell.
        """
        self._under_way = None
        if error is None:
            self._on_safe(batch)
            return Outcome.WRITTEN
        if batch.is_undone:
            self._runway.on_undone(batch.parts[0])
            self._drafts = batch.drafts + self._drafts
            self._upkeep = batch.upkeep + self._upkeep
            return Outcome.FULL
        return Outcome.FAILED

    def _plan(self, batch: StreamBatch, *, is_last: bool) -> None:
        """Decide which chunk goes where."""
        part = self._part(self._segments[-1], self._state)
        batch.parts.append(part)
        part.unwritten = self._index.entries[self._indexed :]
        part.replaces_index = not self._indexed
        if self._index.entries:
            part.indexed = self._index.entries[-1].position
        for count, draft in enumerate(batch.drafts):
            is_begun = part.state.offset > part.segment.first
            end = part.state.position + size_of(draft)
            if is_begun and end > part.size_max:
                part.is_sealed = True
                part.add_entry()
                part = self._plan_segment(batch, part, count)
            part.add(draft)
            if is_due(part.indexed, part.state.position):
                part.add_entry()
        if is_last:
            if not self._is_tracked or any(each.producers for each in batch.drafts):
                part.add(self._tracking(batch, len(batch.drafts)))
            part.add_entry()
            part.is_sealed = True
        for each in batch.parts:
            self._runway.prepare(each)

    def _plan_segment(self, batch: StreamBatch, before: Part, count: int) -> Part:
        """Begin a segment behind `count` chunks of the batch."""
        offset = before.state.offset
        known = self._tracking(batch, count)
        self._size_min = _TRACKING_PARTS * known.size
        part = self._part(Segment(offset), beginning_of(offset))
        batch.parts.append(part)
        if known.size:
            part.add(known)
        return part

    def _part(self, segment: Segment, start: IndexEntry) -> Part:
        return Part(segment, start, max(self._segment_bytes, self._size_min))

    def _tracking(self, batch: StreamBatch, count: int) -> Draft:
        """All producers, when `count` chunks of the batch are counted in."""
        known = dict(self.producers)
        for each in batch.drafts[:count]:
            note_producers(known, each.producers)
        return tracking(known, 0)

    def _on_safe(self, batch: StreamBatch) -> None:
        for part in batch.parts:
            self._keep_books(part)
            self._runway.on_safe(part)
        for draft in batch.drafts:
            if draft.producers:
                note_producers(self.producers, draft.producers)
                self._is_tracked = False
        if batch.parts:
            last = batch.parts[-1]
            self._state = last.state
            self._syncs_directory = not batch.syncs and (
                last.is_new or self._syncs_directory
            )
            if batch.is_index_short:
                self._indexed = 0
            elif batch.syncs:
                self._indexed = len(self._index.entries)
        self.end = batch.end
        if batch.syncs:
            self.synced = batch.end
        self.waiting_bytes -= batch.size
        self._upkeep = batch.upkeep + self._upkeep  # that found no room
        for each in batch.done:
            if isinstance(each, Replacement):
                self._on_replaced(each)

    def _keep_books(self, part: Part) -> None:
        segment, state = part.segment, part.state
        if segment is not self._segments[-1]:
            self._segments.append(segment)
            self._index.entries, self._indexed = [], 0
        self._index.entries += part.entries
        self._bytes += state.position - segment.size
        self.count += state.records - segment.records
        segment.end, segment.size = state.offset, state.position
        segment.records, segment.timestamp_ms = state.records, state.timestamp_ms

    # --- reading

    def place_of(self, offset: int) -> Place:
        """Where to look for `offset`, which is below `end`, in the present files."""
        low, high = 0, len(self._segments) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self._segments[middle].first <= offset:
                low = middle
            else:
                high = middle - 1
        segment, start = self._segments[low], None
        if segment is self._segments[-1]:
            start = self._index.before_offset(offset) or beginning_of(segment.first)
        return self._place(segment, start)

    def place_of_time(self, timestamp_ms: int) -> Place | None:
        """Where to look for the first record that is not older; None: all are."""
        for segment in self._segments:
            if segment.timestamp_ms >= timestamp_ms and segment.end > segment.first:
                start = None
                if segment is self._segments[-1]:
                    start = self._index.before_time(timestamp_ms)
                    start = start or beginning_of(segment.first)
                return self._place(segment, start)
        return None

    def _place(self, segment: Segment, start: IndexEntry | None) -> Place:
        return Place(segment.first, segment.end, segment.revision, segment.size, start)

    # --- letting go

    def retain(self, retention: Retention, now_ms: int) -> bool:
        """Let whole sealed segments go; return whether `first` has grown."""
        gone = []
        while len(self._segments) > 1 and self._exceeds(retention, now_ms):
            segment = self._segments.pop(0)
            self._bytes -= segment.size
            self.count -= segment.records
            gone.append(segment.first)
        if gone:
            self.first = self._segments[0].first
            self._upkeep.append(Removal(self.number, gone))
        return bool(gone)

    def _exceeds(self, retention: Retention, now_ms: int) -> bool:
        """Whether what is there is too much, or its oldest segment too old."""
        limit_bytes, limit_records = retention.max_bytes, retention.max_records
        if limit_bytes is not None and self._bytes > limit_bytes:
            return True
        if limit_records is not None and self.count > limit_records:
            return True
        # One that is damaged as a whole has no time of its own.
        oldest, following = self._segments[:2]
        age_ms = now_ms - (oldest.timestamp_ms or following.timestamp_ms)
        return retention.max_age_ms is not None and age_ms > retention.max_age_ms

    def sealed(self) -> list[Place]:
        """All segments but the active one, oldest first."""
        return [self._place(each, None) for each in self._segments[:-1]]

    def replace(self, replacement: Replacement) -> bool:
        """Let what was compacted take its place, if the segment is still there."""
        is_there = any(each.first == replacement.first for each in self._segments)
        if is_there:
            self._upkeep.append(replacement)
        return is_there

    def _on_replaced(self, replacement: Replacement) -> None:
        for segment in self._segments:
            if segment.first == replacement.first:
                self._bytes += replacement.size - segment.size
                self.count += replacement.records - segment.records
                segment.size, segment.records = replacement.size, replacement.records
                segment.revision += 1
