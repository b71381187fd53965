"""MemoryLog: the records of a stream of a broker that keeps nothing on disk.

It does all that a log does, in segments, so that retention and compaction are what
they are elsewhere. What is appended is safe when the turn is over.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final, final

from warren_broker.core.deadlines import DeadlineOwner
from warren_broker.core.stream.keys import compact_key, is_tombstone
from warren_broker.core.stream.log import Log
from warren_broker.core.stream.record import Page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.core.broker import Broker
    from warren_broker.core.stream.log import LogOwner, Retention
    from warren_broker.core.stream.record import Record

PAGE_RECORDS: Final = 256
SLICE: Final = 5000
"""Records that compaction looks at in one turn."""


@final
class _Segment:
    """Records that go together: those from `first` to before `end` that are left."""

    __slots__ = ("end", "first", "offsets", "records", "size_bytes")

    def __init__(self, first: int) -> None:
        self.first = self.end = first
        self.records: list[Record] = []
        self.offsets: list[int] = []
        self.size_bytes = 0

    def add(self, record: Record) -> None:
        self.records.append(record)
        self.offsets.append(record.offset)
        self.size_bytes += record.message.size_bytes
        self.end = record.offset + 1

    def keep(self, records: list[Record]) -> None:
        """Only these are left; it tells about the same offsets."""
        self.records = records
        self.offsets = [record.offset for record in records]
        self.size_bytes = sum(record.message.size_bytes for record in records)


@final
class MemoryLog(Log, DeadlineOwner):
    """A log that is gone with the process."""

    __slots__ = (
        "_broker",
        "_compaction",
        "_owner",
        "_segment_bytes",
        "_segments",
        "_times",
        "_wants",
    )

    def __init__(self, broker: Broker, owner: LogOwner, *, segment_bytes: int) -> None:
        self._broker = broker
        self._owner = owner
        self._segment_bytes = segment_bytes
        self._segments = [_Segment(0)]
        self._wants: dict[int, None] = {}
        self._times: list[int] = []
        self._compaction: Iterator[bool] | None = None
        self.first = self.end = self.count = self.newest_ms = 0
        self.producers = {}
        self.is_watched = False

    def append(self, record: Record, producer: tuple[str, int] | None) -> None:
        active = self._segments[-1]
        if active.size_bytes >= self._segment_bytes:
            active = _Segment(record.offset)
            self._segments.append(active)
        if active.end == self.end:
            self._broker.deadlines.set(self, self._broker.now)
        active.add(record)

    def size_segments(self, segment_bytes: int) -> None:
        self._segment_bytes = segment_bytes

    def want(self, offset: int) -> None:
        self._wants[offset] = None
        self._broker.deadlines.set(self, self._broker.now)

    def want_time(self, timestamp_ms: int) -> None:
        self._times.append(timestamp_ms)
        self._broker.deadlines.set(self, self._broker.now)

    def retain(self, retention: Retention, now_ms: int) -> None:
        segments = self._segments
        size_bytes = sum(segment.size_bytes for segment in segments)
        count = sum(len(segment.records) for segment in segments)
        gone = 0
        while segments[gone].end <= self.end and segments[gone] is not segments[-1]:
            oldest = segments[gone]
            if not _exceeds(retention, oldest, size_bytes, count, now_ms):
                break
            size_bytes -= oldest.size_bytes
            count -= len(oldest.records)
            self.count -= len(oldest.records)
            gone += 1
        if gone:
            del segments[:gone]
            self.first = segments[0].first
            self._owner.on_trimmed()

    def compact(self, tombstones_before_ms: int) -> None:
        if self._compaction is None:
            self._compaction = self._compact(tombstones_before_ms)
            self._broker.deadlines.set(self, self._broker.now)

    def delete(self) -> None:
        self._broker.deadlines.cancel(self)
        self._segments = [_Segment(self.end)]
        self._wants.clear()
        self._times.clear()
        self._compaction = None
        del self._owner  # the two would be a cycle

    # Answers, in a turn of their own

    def on_deadline(self, now: float) -> None:
        """Make safe what was appended, and answer what was asked."""
        active = self._segments[-1]
        if active.end > self.end:
            self.count += active.end - self.end  # appended offsets have no holes
            self.end = active.end
            self._owner.on_safe()
        wants, self._wants = self._wants, {}
        for offset in wants:
            if self.first <= offset < self.end:
                self._owner.on_page(self._page(offset))
        times, self._times = self._times, []
        for timestamp_ms in times:
            self._owner.on_time_found(timestamp_ms, self._at_time(timestamp_ms))
        if self._compaction is not None:
            if next(self._compaction, True):
                self._compaction = None
            else:
                self._broker.deadlines.set(self, now)

    def _page(self, offset: int) -> Page:
        index = bisect_left(self._segments, offset + 1, key=_first) - 1
        segment = self._segments[index]
        start = bisect_left(segment.offsets, offset)
        records = segment.records[start : start + PAGE_RECORDS]
        is_last = start + PAGE_RECORDS >= len(segment.records)
        end = segment.end if is_last else records[-1].offset + 1
        return Page(offset, min(end, self.end), records)

    def _at_time(self, timestamp_ms: int) -> int:
        for segment in self._segments:
            records = segment.records
            if records and records[-1].timestamp_ms >= timestamp_ms:
                index = bisect_left(records, timestamp_ms, key=_time)
                return min(records[index].offset, self.end)
        return self.end

    def _compact(self, tombstones_before_ms: int) -> Iterator[bool]:
        """Do it a slice a turn; what is appended meanwhile is for the next time."""
        newest: dict[str, int] = {}
        segments = list(self._segments)
        for segment in segments:
            for start in range(0, len(segment.records), SLICE):
                for record in segment.records[start : start + SLICE]:
                    newest[compact_key(record.message)] = record.offset
                yield False
        for segment in segments[:-1]:
            left: list[Record] = []
            for start in range(0, len(segment.records), SLICE):
                for record in segment.records[start : start + SLICE]:
                    is_newest = newest[compact_key(record.message)] == record.offset
                    if is_newest and not _is_dead(record, tombstones_before_ms):
                        left.append(record)
                yield False
            if segment.first >= self.first:  # it is still there
                self.count -= len(segment.records) - len(left)
                segment.keep(left)
        yield True


def _time(record: Record) -> int:
    return record.timestamp_ms


def _first(segment: _Segment) -> int:
    return segment.first


def _is_dead(record: Record, before_ms: int) -> bool:
    return is_tombstone(record.message) and record.timestamp_ms < before_ms


def _exceeds(
    retention: Retention, oldest: _Segment, size_bytes: int, count: int, now_ms: int
) -> bool:
    """Whether so much is too much, or `oldest` too old."""
    limits = ((retention.max_bytes, size_bytes), (retention.max_records, count))
    if any(limit is not None and kept > limit for limit, kept in limits):
        return True
    if retention.max_age_ms is None:
        return False
    newest_ms = oldest.records[-1].timestamp_ms if oldest.records else 0
    return newest_ms < now_ms - retention.max_age_ms
