"""Reading: records of a segment by offset or time, in chunks, while others write.

A reader opens a segment once. What it has open stays readable, whatever becomes of the
name; what was compacted meanwhile is opened again. Only what is safe is looked at.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple, final

from warren.errors import WarrenError
from warren_broker.storage.disk import read_carefully, size_if_there
from warren_broker.storage.stream import chunk as chunks
from warren_broker.storage.stream import entry as entries
from warren_broker.storage.stream import index as indexes
from warren_broker.storage.stream.books import beginning_of
from warren_broker.storage.stream.index import Index
from warren_broker.storage.stream.segment import INDEX, SegmentFile, name_of

if TYPE_CHECKING:
    from warren_broker.storage.disk import Disk, OpenFile
    from warren_broker.storage.stream.chunk import Chunk
    from warren_broker.storage.stream.log import Place

PAGE_BYTES: Final = 256 << 10
"""A page ends before the chunk that would pass it, unless it is the first."""
FIRST_PAGE_BYTES: Final = 32 << 10
"""The same for a page that does not follow another one: nobody waits long for it. Of a
chunk that passes it only a part is taken."""
_OPEN_MAX: Final = 32  # segments
_HINTS_MAX: Final = 256  # ends of pages, in one segment


class UnreadableError(WarrenError):
    """Records are damaged, from one offset to before another one."""

    def __init__(self, start: int, end: int, reason: str) -> None:
        super().__init__(f"offsets {start} to {end - 1}: {reason}")
        self.start = start
        self.end = end
        self.reason = reason


class Pages(NamedTuple):
    """Chunks as they were read together."""

    start: int  # the first offset they tell about
    end: int  # the one after the last
    chunks: list[Chunk]
    size: int  # bytes


@final
class StreamReader:
    """Reads all streams of a data directory, in a thread of its own."""

    def __init__(self, disk: Disk, store_id: bytes) -> None:
        self._disk = disk
        self._store_id = store_id
        self._open: OrderedDict[tuple[int, int], SegmentReader] = OrderedDict()

    def page(self, number: int, place: Place, offset: int) -> Pages:
        """Read from the chunk with `offset` on.

        Raises `UnreadableError`; `FileNotFoundError` if the segment is gone; `OSError`.
        """
        return self._segment(number, place).page(place, offset)

    def offset_at(self, number: int, place: Place, timestamp_ms: int) -> int:
        """The first offset whose record is not older; raises what `page` raises."""
        return self._segment(number, place).offset_at(place, timestamp_ms)

    def forget(self, number: int) -> None:
        """Close what is open of a stream."""
        for key in [key for key in self._open if key[0] == number]:
            self._open.pop(key).close()

    def close(self) -> None:
        """Close everything."""
        for number, _ in list(self._open):
            self.forget(number)

    def _segment(self, number: int, place: Place) -> SegmentReader:
        key = number, place.first
        reader = self._open.pop(key, None)
        if reader is not None and reader.revision < place.revision:
            reader.close()
            reader = None
        if reader is None:
            reader = self._opened(number, place.first)
        self._open[key] = reader
        while len(self._open) > _OPEN_MAX:
            self._open.popitem(last=False)[1].close()
        return reader

    def _opened(self, number: int, first: int) -> SegmentReader:
        try:
            return SegmentReader(self._disk, self._store_id, number, first)
        except OSError:
            if not self._open:
                raise
        self.close()  # there may be no descriptors left
        return SegmentReader(self._disk, self._store_id, number, first)


@final
class SegmentReader:
    """Reads one segment."""

    def __init__(self, disk: Disk, store_id: bytes, number: int, first: int) -> None:
        self._file: OpenFile = disk.open(name_of(number, first))
        seed = chunks.seed_of(store_id, number, first)
        header = SegmentFile(self._file, seed, self._file.size()).header()
        self.revision = header.revision if header else 0
        self._disk = disk
        self._seed = seed
        self._first = first
        self._index_name = name_of(number, first, INDEX)
        self._index: Index | None = None
        # A position and the offset there, by the offset that is wanted next.
        self._hints: OrderedDict[int, tuple[int, int]] = OrderedDict()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def page(self, place: Place, offset: int) -> Pages:
        """See `StreamReader.page`."""
        file = self._limited(place)
        is_first = offset not in self._hints
        size_max = FIRST_PAGE_BYTES if is_first else PAGE_BYTES
        position, at = self._start(file, place, offset)
        found: list[Chunk] = []
        start, size = offset, 0
        while position < file.size:
            header = file.header_at(position)
            if header is not None and header.first == at:
                if found and size + header.whole_size > size_max:
                    break
                end = at + header.records
                if header.kind == chunks.RECORDS and end <= offset:
                    position, at = position + header.whole_size, end
                    continue
                whole = file.chunk_at(position)
                if whole is not None:
                    if whole.chunk.end > max(at, offset):
                        start = start if found else at
                        found.append(whole.chunk)
                        size += header.whole_size
                    position, at = whole.end_position, whole.chunk.end
                    continue
            if found:
                break
            position, at = _skip(file, place, position, at, offset)
        if not found:
            raise UnreadableError(offset, max(place.end, offset + 1), "nothing there")
        if is_first and size > FIRST_PAGE_BYTES:  # of one chunk
            return self._first_page(found[0], position, offset)
        self._hint(at, position, at)
        return Pages(start, at, found, size)

    def _first_page(self, chunk: Chunk, behind: int, offset: int) -> Pages:
        """Take what is needed of a large chunk; it is read again for what follows."""
        part = _part_of(chunk, offset)
        if part.end < chunk.end:
            header = chunk.header
            self._hint(part.end, behind - header.whole_size, header.first)
        else:
            self._hint(part.end, behind, part.end)
        return Pages(offset, part.end, [part], part.header.size)

    def offset_at(self, place: Place, timestamp_ms: int) -> int:
        """See `StreamReader.offset_at`; at most the end of the segment."""
        file = self._limited(place)
        entry = place.start or self._indexed(file).before_time(timestamp_ms)
        if entry is None or not indexes.is_confirmed(entry, file):
            entry = beginning_of(self._first)
        position, at = entry.position, entry.offset
        while position < file.size:
            header = file.header_at(position)
            if header is None or header.first < at:
                found = file.find(position, at)
                if found is None:
                    break
                position, at = found.position, found.chunk.header.first
                continue
            if header.records and header.timestamp_ms >= timestamp_ms:
                return at
            at = file.end_of(position, header)
            position += header.whole_size
        return place.end

    def _start(self, file: SegmentFile, place: Place, offset: int) -> tuple[int, int]:
        """A position, and the offset there, from which `offset` is not far."""
        hint = self._hints.get(offset)
        if hint is not None:
            return hint
        entry = place.start or self._indexed(file).before_offset(offset)
        if entry is None or not indexes.is_confirmed(entry, file):
            entry = beginning_of(self._first)
        return entry.position, entry.offset

    def _hint(self, wanted: int, position: int, offset: int) -> None:
        self._hints[wanted] = position, offset
        if len(self._hints) > _HINTS_MAX:
            self._hints.popitem(last=False)

    def _indexed(self, file: SegmentFile) -> Index:
        """The index as its file has it. Only for a segment that is sealed."""
        if self._index is None:
            size = size_if_there(self._disk, self._index_name)
            name, seed = self._index_name, indexes.seed_of(file.seed, self.revision)
            data = read_carefully(self._disk, name, 0, size) if size else b""
            self._index = Index(indexes.decode(data, seed))
        return self._index

    def _limited(self, place: Place) -> SegmentFile:
        """The file as far as it is safe: an older segment has no end that moves."""
        is_same = self.revision == place.revision
        return SegmentFile(
            self._file, self._seed, place.size if is_same else self._file.size()
        )


def _skip(
    file: SegmentFile, place: Place, position: int, at: int, offset: int
) -> tuple[int, int]:
    """There is no chunk for `at`: go to the next one, if that is early enough."""
    found = file.find(position, at)
    end = found.chunk.header.first if found else place.end
    if found is None or offset < end:
        raise UnreadableError(offset, max(end, offset + 1), "damaged on the disk")
    return found.position, end


def _part_of(chunk: Chunk, offset: int) -> Chunk:
    """The records of a chunk from `offset` on, as many as a first page has."""
    header = chunk.header
    is_compacted = header.kind == chunks.COMPACTED
    first, begin, stop, end, count = offset, 0, len(chunk.data), chunk.end, 0
    for delta, position, _ in entries.spans(chunk.data, has_deltas=is_compacted):
        at = header.first + delta
        start = position - is_compacted * entries.DELTA.size
        if at < offset:
            continue
        if not count:
            begin = start
        elif start - begin > FIRST_PAGE_BYTES:
            stop, end = start, at
            break
        count += 1
    else:
        begin = begin if count else stop
    if is_compacted:
        first = header.first  # the places count from there
    header = header._replace(first=first, records=count, size=stop - begin)
    return chunk._replace(header=header, data=chunk.data[begin:stop], safe=end)
