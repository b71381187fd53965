"""A batch of one stream: what is to be done to its files, as plain bytes and names.

It is made in a turn and run in another thread, once. The order is the promise: a
segment is synced before the next one is begun, and a file's name before that of a newer
one, so that what is missing is always at the end; the index says only what is safe.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, final

from warren_broker.storage.disk import STREAMS, is_full
from warren_broker.storage.runway import write_runway
from warren_broker.storage.stream import chunk as chunks
from warren_broker.storage.stream import index as indexes
from warren_broker.storage.stream import segment as segments
from warren_broker.storage.stream.chunk import size_of
from warren_broker.storage.stream.index import IndexEntry
from warren_broker.storage.stream.segment import (
    COMPACTING,
    INDEX,
    SegmentHeader,
    name_of,
    parse_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol

    from warren_broker.storage.disk import Disk
    from warren_broker.storage.stream.books import Segment
    from warren_broker.storage.stream.chunk import Draft

    class Upkeep(Protocol):
        """Something that is done behind what was written."""

        def run(self, disk: Disk) -> None:
            """Do it. Raises `OSError`."""


@final
class Part:
    """What goes to one segment."""

    __slots__ = (
        "cuts",
        "drafts",
        "entries",
        "indexed",
        "is_new",
        "is_sealed",
        "replaces_index",
        "runway_size",
        "segment",
        "size_max",
        "start",
        "state",
        "unwritten",
    )

    def __init__(self, segment: Segment, start: IndexEntry, size_max: int) -> None:
        self.segment = segment
        self.size_max = size_max  # bytes, unless one chunk is larger
        self.start = start  # the state of the segment before
        self.state = start  # and after
        self.is_new = segment.size == 0
        self.is_sealed = False  # the next part is behind it, or nothing is
        self.runway_size = 0  # zeros to be written behind it
        self.cuts = False  # the file is longer than it will have to be
        self.drafts: list[tuple[int, Draft]] = []  # and their first offsets
        self.entries: list[IndexEntry] = []  # for the index, once all is safe
        self.unwritten: list[IndexEntry] = []  # come before those
        self.replaces_index = True  # these are all there are
        self.indexed = 0  # position of the last one

    @property
    def boundary(self) -> int:
        """Where it begins in the file."""
        return 0 if self.is_new else self.start.position

    @property
    def end(self) -> int:
        """Where it ends in the file."""
        return self.state.position

    def add(self, draft: Draft) -> None:
        """Put a chunk at the end."""
        state = self.state
        self.drafts.append((state.offset, draft))
        known = state.tracking
        if draft.kind == chunks.TRACKING:
            known = state.position
        elif draft.producers:
            known = known or segments.HEADER_SIZE
        time_ms = draft.timestamp_ms if draft.count else 0
        self.state = IndexEntry(
            offset=state.offset + draft.count,
            position=state.position + size_of(draft),
            records=state.records + draft.count,
            tracking=known,
            timestamp_ms=max(state.timestamp_ms, time_ms),
        )

    def add_entry(self) -> None:
        """Let the index tell where it has come to."""
        self.entries.append(self.state)
        self.indexed = self.state.position


@final
class StreamBatch:
    """One group commit of one stream. Filled by the log; `run` elsewhere.

    Attributes:
        is_undone: after an error, that nothing was done.
        is_index_short: there was no room for what was new in the index.
        lacks_file: after an error, that the stream has none, see `make_file`.
    """

    __slots__ = (
        "_epoch",
        "_number",
        "_safe",
        "_store_id",
        "done",
        "drafts",
        "end",
        "is_index_short",
        "is_last",
        "is_undone",
        "lacks_file",
        "parts",
        "size",
        "spares",
        "syncs",
        "syncs_directory",
        "upkeep",
    )

    def __init__(self, number: int, store_id: bytes, epoch: int, safe: int) -> None:
        self._number = number
        self._store_id = store_id
        self._epoch = epoch
        self._safe = safe
        self.parts: list[Part] = []
        self.drafts: list[Draft] = []  # the records among those of all parts
        self.size = 0  # bytes of them
        self.spares = 0  # bytes of room that are not for them
        self.end = 0  # the offset behind them
        self.syncs = True
        self.syncs_directory = False  # a name is not safe yet
        self.is_last = False  # of a clean stop: the index will be wanted
        self.upkeep: list[Upkeep] = []  # to be done behind it
        self.done: list[Upkeep] = []  # of that
        self.is_undone = False
        self.is_index_short = False
        self.lacks_file = False

    def run(self, disk: Disk) -> None:
        """Do it all. Raises `OSError`: `is_undone` then tells that nothing was done."""
        written = 0
        try:
            if self.drafts and self.spares:
                self._spare_room(disk)
            for part in self.parts:
                written += 1
                self._write(disk, part)
        except OSError as error:
            if is_full(error):
                self._undo(disk, self.parts[:written])
            raise
        for part in self.parts:
            if self.syncs or part.is_sealed:
                self._extend_index(disk, part)
        try:
            while self.upkeep:
                self.upkeep[0].run(disk)
                self.done.append(self.upkeep.pop(0))
        except OSError as error:
            if not is_full(error):
                raise

    def make_file(self, disk: Disk) -> None:
        """Leave the first file of the stream empty until there is room.

        For a stream that is defined has a file. Raises `OSError`.
        """
        name = self._name(self.parts[0])
        disk.write(name, 0, [])
        disk.truncate(name, 0)
        disk.sync(name)
        disk.sync_directory(STREAMS)
        self.lacks_file = False

    def _spare_room(self, disk: Disk) -> None:
        """Leave room for the reserve, or the journal would find none for acks."""
        if disk.free_bytes() < self.spares + self.size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        for part in self.parts:
            part.runway_size = 0

    def _write(self, disk: Disk, part: Part) -> None:
        segment = part.segment
        name, seed = self._name(part), self._seed(part)
        pieces: list[bytes] = []
        if part.is_new:
            header = SegmentHeader(
                self._epoch, self._store_id, self._number, 0, segment.first
            )
            pieces.append(segments.encode_header(header))
        for first, draft in part.drafts:
            pieces += chunks.compose(draft, first, self._safe, self._epoch, seed)
        if pieces:
            disk.write(name, part.boundary, pieces)
        write_runway(disk, name, part)
        if part.is_sealed or self.syncs:
            disk.sync(name)
            if part.is_new or self.syncs_directory:
                disk.sync_directory(STREAMS)

    def _undo(self, disk: Disk, parts: list[Part]) -> None:
        """Leave the files as they were, for another try; the newest one first."""
        first = self.parts[0]
        for part in reversed(parts):
            if not part.is_new:
                disk.truncate(self._name(part), part.start.position)
                disk.sync(self._name(part))
            elif part is not first:
                disk.remove(self._name(part))
                disk.sync_directory(STREAMS)
        if first.is_new:
            self.lacks_file = True
            try:
                self.make_file(disk)
            except OSError as error:
                if not is_full(error):
                    raise
        self._let_go(disk)
        self.is_undone = True

    def _let_go(self, disk: Disk) -> None:
        """What is to be let go of makes room for the next try, if all else is safe."""
        if self._safe == self.parts[0].start.offset:
            while self.upkeep and isinstance(self.upkeep[0], Removal):
                self.upkeep[0].run(disk)
                del self.upkeep[0]

    def _extend_index(self, disk: Disk, part: Part) -> None:
        """An index that has no room is no reason to fail: it is written later."""
        entries = part.unwritten + part.entries
        if not entries:
            return
        name = self._name(part, INDEX)
        seed = indexes.seed_of(self._seed(part), part.segment.revision)
        data = b"".join(indexes.encode(entry, seed) for entry in entries)
        try:
            if part.replaces_index:
                disk.remove(name)
            disk.append(name, [data])
            if self.is_last:
                disk.sync(name)
                disk.sync_directory(STREAMS)
            disk.let_go(name)
        except OSError as error:
            if not is_full(error):
                raise
            self.is_index_short = True

    def _name(self, part: Part, suffix: str = segments.SEGMENT) -> str:
        return name_of(self._number, part.segment.first, suffix)

    def _seed(self, part: Part) -> int:
        return chunks.seed_of(self._store_id, self._number, part.segment.first)


@final
class Removal:
    """The oldest segments go, each for good before the next one."""

    __slots__ = ("_firsts", "_number")

    def __init__(self, number: int, firsts: Iterable[int]) -> None:
        self._number = number
        self._firsts = sorted(firsts)

    def run(self, disk: Disk) -> None:
        """Do it. Raises `OSError`."""
        for first in self._firsts:
            disk.remove(name_of(self._number, first, INDEX))
            disk.remove(name_of(self._number, first))
            disk.sync_directory(STREAMS)


@final
class Replacement:
    """A segment makes place for what compaction has written and synced."""

    __slots__ = ("_entries", "_number", "_seed", "first", "records", "size")

    def __init__(
        self,
        number: int,
        first: int,
        size: int,
        records: int,
        entries: list[IndexEntry],
        seed: int,
    ) -> None:
        """`entries` of the new index, whose checksums begin from `seed`."""
        self._number = number
        self._entries = entries
        self._seed = seed
        self.first = first
        self.size = size  # bytes of the new file
        self.records = records

    def run(self, disk: Disk) -> None:
        """Do it. Raises `OSError`."""
        index = name_of(self._number, self.first, INDEX)
        disk.remove(index)
        disk.rename(
            name_of(self._number, self.first, COMPACTING),
            name_of(self._number, self.first),
        )
        disk.sync_directory(STREAMS)
        indexes.write(disk, index, self._entries, self._seed)


def delete_streams(disk: Disk, numbers: Iterable[int]) -> None:
    """Remove every file of some streams. Raises `OSError`; then it may be tried again.

    If it is not, a start does the rest.
    """
    begins = {f"{STREAMS}/{number}" for number in numbers}
    for name in disk.names():  # there may be very many of others
        if name.partition("-")[0] in begins and parse_name(name) is not None:
            disk.remove(name)
    disk.sync_directory(STREAMS)
