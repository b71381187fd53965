"""Opening: from the files that are there to streams that go on.

Every start is a recovery. It can be interrupted anywhere and begun again with the same
result. What was accepted of the end of a stream and may not be safe is written once
more, in place and with the same bytes (rule R8): after a failed sync the system may
show what the disk has not. A torn end is cut off; nothing else is taken away.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple, final

from warren_broker.storage.disk import STREAMS, read_carefully, size_if_there
from warren_broker.storage.salvage import set_aside
from warren_broker.storage.stream import chunk as chunks
from warren_broker.storage.stream import index as indexes
from warren_broker.storage.stream.books import OpenedStream, Segment
from warren_broker.storage.stream.index import ENTRY_SIZE, Index, IndexEntry
from warren_broker.storage.stream.segment import (
    COMPACTING,
    INDEX,
    SEGMENT,
    SegmentFile,
    name_of,
    parse_name,
)
from warren_broker.storage.stream.walk import SegmentWalk

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from warren_broker.storage.disk import Disk
    from warren_broker.storage.stream.damage import StreamDamage

_BLOCK: Final = 1 << 20


class Opened(NamedTuple):
    """All streams of a data directory, and what was found on the way."""

    streams: dict[int, OpenedStream]
    damage: list[StreamDamage]
    set_aside: list[str]  # files in quarantine since this start


def open_streams(disk: Disk, store_id: bytes, wanted: Container[int] | None) -> Opened:
    """Make the files of all streams fit to go on with.

    The files of streams that are not `wanted` were to be removed, and now are; with
    None all are wanted. Raises `OSError`; then it may be tried again.
    """
    opened = Opened({}, [], [])
    firsts = _tidy(disk, wanted, opened)
    for number, each in sorted(firsts.items()):
        opening = _Opening(disk, store_id, number, opened)
        opened.streams[number] = opening.run(sorted(each))
    if firsts:
        disk.sync_directory(STREAMS)  # what can be seen is not safe for that
    return opened


def _tidy(
    disk: Disk, wanted: Container[int] | None, opened: Opened
) -> dict[int, set[int]]:
    """Away with leftovers; return the first offsets of all segments by stream."""
    found, others = {}, []
    for name in disk.names():
        if name.startswith(f"{STREAMS}/"):
            parsed = parse_name(name)
            if parsed is None:
                opened.set_aside.append(set_aside(disk, name))
            elif parsed.suffix == COMPACTING or (
                wanted is not None and parsed.number not in wanted
            ):
                others.append(name)
            else:
                found[name] = parsed
    firsts: dict[int, set[int]] = {}
    for name, parsed in found.items():
        if parsed.suffix == SEGMENT:
            firsts.setdefault(parsed.number, set()).add(parsed.first)
        elif name_of(parsed.number, parsed.first) not in found:
            others.append(name)
    for name in others:
        disk.remove(name)
    if others:
        disk.sync_directory(STREAMS)
    return firsts


@final
class _Opening:
    """The opening of one stream."""

    def __init__(
        self, disk: Disk, store_id: bytes, number: int, opened: Opened
    ) -> None:
        self._disk = disk
        self._store_id = store_id
        self._number = number
        self._opened = opened

    def run(self, firsts: list[int]) -> OpenedStream:
        attested = 0
        while firsts:
            opened = self._open_last(firsts[-1], attested, is_only=len(firsts) == 1)
            if opened is not None:
                before = [self._open_sealed(*pair) for pair in pairwise(firsts)]
                opened.segments[:0] = before
                return opened
            first = firsts.pop()
            if self._drop(first, is_only=not firsts):
                attested = first  # it was begun when all before it was safe
        return OpenedStream.new(self._number, attested)

    def _drop(self, first: int, *, is_only: bool) -> bool:
        """Away with a segment in which nothing was ever safe (rule R4).

        Return whether it is one at all: another file's name says nothing. The only one
        stays, empty: a stream has a file.
        """
        name = name_of(self._number, first)
        with self._opened_file(first) as file:
            header = file.header()
            is_named_so = header is not None and header.first == first
            is_ours = is_named_so or file.is_blank()
        self._disk.remove(name_of(self._number, first, INDEX))
        if is_ours and is_only:
            self._disk.truncate(name, 0)
        elif is_ours:
            self._disk.remove(name)
        else:
            self._opened.set_aside.append(set_aside(self._disk, name))
        self._disk.sync_directory(STREAMS)
        return is_ours

    def _open_sealed(self, first: int, following: int) -> Segment:
        with self._opened_file(first) as file:
            seed = self._index_seed(file)
            last = self._last_entry(first, seed)
            if last is None or (last.position, last.offset) != (file.size, following):
                entries = self._entries(first, file, seed)
                walk = self._walk(first, file, entries, following)
                last = walk.state._replace(position=file.size, offset=following)
                self._write_index(first, [*entries, *walk.entries, last], seed)
            return self._books(first, file, last)

    def _open_last(
        self, first: int, attested: int, *, is_only: bool
    ) -> OpenedStream | None:
        """Open the active segment; None if nothing was ever safe in it.

        The only one stays: a stream has a file, or it is damaged.
        """
        disk, name = self._disk, name_of(self._number, first)
        with self._opened_file(first) as file:
            seed = self._index_seed(file)
            entries = self._entries(first, file, seed)
            walk = self._walk(first, file, entries, attested)
            doubtful = walk.doubtful_from
            is_empty = doubtful == 0 and walk.state.offset == first
            if is_empty and not (is_only and file.header() is not None):
                return None
            segment = self._books(first, file, walk.state)
            end = segment.size = walk.state.position
            if doubtful is not None:
                self._write_again(name, file, doubtful, end)
            if end < file.size:
                disk.truncate(name, end)
            if doubtful is not None or end < file.size:
                disk.sync(name)
        index = Index([*entries, *walk.entries])
        has_index = self._write_index(first, index.entries, seed)
        return OpenedStream(
            self._number,
            [segment],
            index,
            walk.state.tracking,
            walk.producers,
            has_index=has_index,
        )

    def _write_again(self, name: str, file: SegmentFile, start: int, end: int) -> None:
        """The same bytes in the same place: a crash meanwhile changes nothing."""
        for position in range(start, end, _BLOCK):
            data = file.bytes_at(position, min(_BLOCK, end - position))
            self._disk.write(name, position, [data])

    # --- reading

    def _walk(
        self, first: int, file: SegmentFile, entries: list[IndexEntry], attested: int
    ) -> SegmentWalk:
        """Read from where the index is right; entries behind that are taken away."""
        if entries:
            attested = max(attested, entries[-1].offset)
        while entries and not indexes.is_confirmed(entries[-1], file):
            entries.pop()
        known = entries[-1] if entries else None
        walk = SegmentWalk(name_of(self._number, first), file, first, known, attested)
        walk.run()
        self._opened.damage.extend(walk.damage)
        return walk

    def _opened_file(self, first: int) -> _ClosingFile:
        return _ClosingFile(self._disk, self._store_id, self._number, first)

    def _index_seed(self, file: SegmentFile) -> int:
        header = file.header()
        return indexes.seed_of(file.seed, header.revision if header else 0)

    def _books(self, first: int, file: SegmentFile, state: IndexEntry) -> Segment:
        header = file.header()
        segment = Segment(first)
        segment.end, segment.size = state.offset, file.size
        segment.records, segment.timestamp_ms = state.records, state.timestamp_ms
        segment.revision = header.revision if header else 0
        return segment

    # --- the index

    def _entries(self, first: int, file: SegmentFile, seed: int) -> list[IndexEntry]:
        entries = indexes.decode(self._index_bytes(first), seed)
        return [each for each in entries if each.offset >= first]

    def _last_entry(self, first: int, seed: int) -> IndexEntry | None:
        name = name_of(self._number, first, INDEX)
        size = size_if_there(self._disk, name)
        if size < ENTRY_SIZE or size % ENTRY_SIZE:
            return None
        data = read_carefully(self._disk, name, size - ENTRY_SIZE, ENTRY_SIZE)
        entries = indexes.decode(data, seed)
        return entries[-1] if entries else None

    def _write_index(self, first: int, entries: list[IndexEntry], seed: int) -> bool:
        """Make the index so, if it is not; return whether there was room for it."""
        data = b"".join(indexes.encode(entry, seed) for entry in entries)
        if data == self._index_bytes(first):
            return True
        name = name_of(self._number, first, INDEX)
        return indexes.write(self._disk, name, entries, seed)

    def _index_bytes(self, first: int) -> bytes:
        name = name_of(self._number, first, INDEX)
        size = size_if_there(self._disk, name)
        return read_carefully(self._disk, name, 0, size) if size else b""


@final
class _ClosingFile:
    """A segment that is open for a while."""

    def __init__(self, disk: Disk, store_id: bytes, number: int, first: int) -> None:
        self._file = disk.open(name_of(number, first))
        self._seed = chunks.seed_of(store_id, number, first)

    def __enter__(self) -> SegmentFile:
        return SegmentFile(self._file, self._seed, self._file.size())

    def __exit__(self, *_: object) -> None:
        self._file.close()


def numbers_in(disk: Disk) -> Iterator[int]:
    """Yield the numbers of the streams that have files."""
    found = map(parse_name, disk.names())
    yield from sorted(
        {each.number for each in found if each and each.suffix == SEGMENT}
    )
