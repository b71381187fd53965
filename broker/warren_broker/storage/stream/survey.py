"""A survey of streams: all that can be read of them, and what cannot. Changes nothing.

Every byte is read, whatever an index says. That is what export and repair begin with.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, final

from warren_broker.storage.disk import read_carefully, size_if_there
from warren_broker.storage.stream import chunk as chunks
from warren_broker.storage.stream import index as indexes
from warren_broker.storage.stream.segment import (
    INDEX,
    OFFSET_MAX,
    SEGMENT,
    SegmentFile,
    name_of,
    parse_name,
)
from warren_broker.storage.stream.walk import SegmentWalk
from warren_broker.storage.stream.writing import SegmentWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.storage.disk import Disk
    from warren_broker.storage.stream.chunk import Chunk
    from warren_broker.storage.stream.damage import StreamDamage
    from warren_broker.storage.stream.log import StoreFacts


@final
class StreamSurvey:
    """The streams of one data directory.

    Attributes:
        firsts: by number, the first offsets of the segments.
        damage: what could not be read so far.
    """

    def __init__(self, disk: Disk, store_id: bytes) -> None:
        self._disk = disk
        self._store_id = store_id
        self.damage: list[StreamDamage] = []
        self.firsts: dict[int, list[int]] = {}
        for parsed in map(parse_name, disk.names()):
            if parsed is not None and parsed.suffix == SEGMENT:
                self.firsts.setdefault(parsed.number, []).append(parsed.first)

    def segments(self, number: int) -> Iterator[SegmentSurvey]:
        """Yield the segments of a stream in order, to be read one after the other."""
        for first, following in pairwise([*sorted(self.firsts[number]), OFFSET_MAX]):
            segment = SegmentSurvey(
                self._disk, self._store_id, number, first, following
            )
            yield segment
            self.damage += segment.walk.damage
            segment.close()


@final
class SegmentSurvey:
    """One segment.

    Attributes:
        is_last: no other one is behind it.
        revision: how many times it was written anew.
    """

    def __init__(
        self, disk: Disk, store_id: bytes, number: int, first: int, following: int
    ) -> None:
        self.first = first
        self.name = name_of(number, first)
        self.is_last = following == OFFSET_MAX
        self._opened = disk.open(self.name)
        seed = chunks.seed_of(store_id, number, first)
        file = SegmentFile(self._opened, seed, self._opened.size())
        header = file.header()
        self.revision = header.revision if header else 0
        attested = following
        if self.is_last:
            name = name_of(number, first, INDEX)
            size = size_if_there(disk, name)
            data = read_carefully(disk, name, 0, size) if size else b""
            known = indexes.decode(data, indexes.seed_of(seed, self.revision))
            attested = known[-1].offset if known else 0
        self.walk = SegmentWalk(self.name, file, first, None, attested)

    def chunks(self) -> Iterator[Chunk]:
        """Yield what can be read."""
        for found in self.walk.chunks():
            yield found.chunk

    def close(self) -> None:
        """Let go of the file."""
        self._opened.close()


def copy_chunk(writer: SegmentWriter, chunk: Chunk) -> None:
    """Write a chunk again, and before it that there is nothing, if so it is."""
    writer.skip(chunk.header.first)
    draft = chunks.Draft(chunk.header.timestamp_ms, chunk.header.kind)
    draft.pieces, draft.size = [chunk.data], chunk.header.size
    draft.count = chunk.header.records
    draft.producers = chunks.decode_producers(chunk.producers)
    writer.add(draft, chunk.end)


def rewrite_segment(
    disk: Disk, facts: StoreFacts, number: int, segment: SegmentSurvey
) -> None:
    """Write a segment anew with all that can be read. Raises `OSError`."""
    writer = SegmentWriter(disk, facts, number, segment.first, segment.revision + 1)
    for chunk in segment.chunks():
        copy_chunk(writer, chunk)
    writer.skip(segment.walk.state.offset)
    writer.finish().run(disk)
