"""Books: what is known of the files of a stream without reading them."""

from __future__ import annotations

from typing import Final, final

import attrs

from warren_broker.storage.stream import segment as segments
from warren_broker.storage.stream.index import Index, IndexEntry


@final
class Segment:
    """One file, and what is safe in it."""

    __slots__ = ("end", "first", "records", "revision", "size", "timestamp_ms")

    def __init__(self, first: int) -> None:
        self.first: Final = first  # offset, as in its name
        self.end = first  # the offset after its last one
        self.size = 0  # bytes; 0: there is no file yet
        self.records = 0  # that can be in it: compaction takes some away
        self.timestamp_ms = 0  # of the last record, 0: there is none
        self.revision = 0  # how many times it was compacted


@attrs.define
class OpenedStream:
    """The files of one stream, made fit to go on with.

    The last segment is the active one, which may have no file yet.
    """

    number: int
    segments: list[Segment]
    index: Index  # of the active segment
    tracking: int  # see IndexEntry; of the active segment
    producers: dict[str, int]  # last numbers, the most recent one last
    has_index: bool = True  # there was room for its file

    @classmethod
    def new(cls, number: int, first: int = 0) -> OpenedStream:
        """A stream without any file."""
        return cls(number, [Segment(first)], Index([]), 0, {})


def beginning_of(first: int) -> IndexEntry:
    """What is true of the very beginning of a segment."""
    return IndexEntry(first, segments.HEADER_SIZE, 0, 0, 0)
