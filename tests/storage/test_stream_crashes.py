"""Every crash of many histories of a stream, and the bugs that this must not miss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulated_disk import SimulatedDisk
from tests.storage.explorer import Violation
from tests.storage.stream_damage import check_damage, check_index
from tests.storage.stream_explorer import StreamExplorer
from warren_broker.storage.disk import STREAMS, Disk
from warren_broker.storage.stream import chunk as chunks
from warren_broker.storage.stream import compaction, reading, writing
from warren_broker.storage.stream import index as indexes
from warren_broker.storage.stream.batch import Part, Removal, StreamBatch
from warren_broker.storage.stream.chunk import Draft
from warren_broker.storage.stream.index import IndexEntry
from warren_broker.storage.stream.log import StreamLog
from warren_broker.storage.stream.opening import _Opening
from warren_broker.storage.stream.walk import SegmentWalk

if TYPE_CHECKING:
    from collections.abc import Callable

    from warren_broker.core.stream.log import Retention
    from warren_broker.storage.stream.chunk import ChunkHeader

    Patch = pytest.MonkeyPatch
    Check = Callable[[], None]

STEPS = 10


@pytest.mark.parametrize("seed", range(6))
def test_no_crash_breaks_a_promise_of_streams(seed: int) -> None:
    explorer = StreamExplorer(seed)
    explorer.run(STEPS)
    assert explorer.states > 100


def test_no_crash_breaks_a_promise_of_retention_or_of_a_full_disk() -> None:
    _retention()
    _full()


@pytest.mark.parametrize("seed", range(12))
def test_damage_hides_what_is_damaged_and_nothing_else(seed: int) -> None:
    check_damage(seed)


@pytest.mark.parametrize("seed", range(12))
def test_nothing_depends_on_an_index(seed: int) -> None:
    check_index(seed)


# --- the tests of the tests


class _Quiet:
    """A disk that leaves some calls out."""

    def __init__(self, disk: Disk, *methods: str) -> None:
        self._disk, self._methods = disk, methods

    def __getattr__(self, name: str) -> object:
        if name in self._methods:
            return lambda *args: None
        return getattr(self._disk, name)


def _leave_out(patch: Patch, owner: type, method: str, *calls: str) -> None:
    """`method` of `owner`, whose first argument is a disk, does not call those."""
    right = getattr(owner, method)
    patch.setattr(
        owner,
        method,
        lambda self, disk, *rest: right(self, _Quiet(disk, *calls), *rest),
    )


def no_sync_before_the_end_moves(patch: Patch) -> None:
    _leave_out(patch, StreamBatch, "_write", "sync")


def directory_not_synced_at_a_roll(patch: Patch) -> None:
    _leave_out(patch, StreamBatch, "_write", "sync_directory")


def next_segment_before_this_one_is_safe(patch: Patch) -> None:
    write = StreamBatch._write

    def run(self: StreamBatch, disk: Disk, part: Part) -> None:
        write(self, _Quiet(disk, "sync"), part)  # type: ignore[arg-type]
        if part is self.parts[-1]:
            for each in self.parts:
                disk.sync(self._name(each))
            disk.sync_directory(STREAMS)

    patch.setattr(StreamBatch, "_write", run)


def segments_removed_in_any_order(patch: Patch) -> None:
    _leave_out(patch, Removal, "run", "sync_directory")


def full_disk_leaves_half_a_chunk(patch: Patch) -> None:
    def undo(self: StreamBatch, disk: Disk, parts: list[Part]) -> None:
        self.is_undone = True

    patch.setattr(StreamBatch, "_undo", undo)


def index_says_what_is_not_safe(patch: Patch) -> None:
    write = StreamBatch._write

    def early(self: StreamBatch, disk: Disk, part: Part) -> None:
        part.entries.append(part.state)
        self._extend_index(disk, part)
        part.entries.clear()
        write(self, disk, part)

    patch.setattr(StreamBatch, "_write", early)


def end_taken_from_the_index(patch: Patch) -> None:
    patch.setattr(SegmentWalk, "run", lambda self: None)


def torn_tail_left(patch: Patch) -> None:
    right = _Opening._open_last

    def careless(self: _Opening, *rest: int, **more: bool) -> object:
        disk, self._disk = self._disk, _Quiet(self._disk, "truncate")  # type: ignore[assignment]
        try:
            return right(self, *rest, **more)
        finally:
            self._disk = disk

    patch.setattr(_Opening, "_open_last", careless)


def tail_not_written_again(patch: Patch) -> None:
    patch.setattr(_Opening, "_write_again", lambda self, *rest: None)


def checksum_ignored(patch: Patch) -> None:
    def decode(data: bytes, offset: int, header: ChunkHeader, seed: int) -> object:
        start = offset + chunks.HEADER_SIZE
        trailer, end = start + header.size, offset + header.whole_size
        safe = int.from_bytes(data[trailer : trailer + 8], "big")
        body, rest = data[start:trailer], data[trailer + 8 : end - 4]
        return chunks.Chunk(header, body, safe, rest)

    patch.setattr(chunks, "decode", decode)


def retention_of_the_active_segment(patch: Patch) -> None:
    right = StreamLog.retain

    def greedy(self: StreamLog, retention: Retention, now_ms: int) -> bool:
        gone = right(self, retention, now_ms)
        if gone:
            self._upkeep.append(Removal(self.number, [self._segments[-1].first]))
        return gone

    patch.setattr(StreamLog, "retain", greedy)


def compaction_drops_the_newest(patch: Patch) -> None:
    right = compaction._Keys.find_older

    def wrong(self: compaction._Keys, digest: bytes, at: int) -> int | None:
        older = right(self, digest, at)
        return None if older is None else at

    patch.setattr(compaction._Keys, "find_older", wrong)


def compacted_segment_not_synced(patch: Patch) -> None:
    right = writing.SegmentWriter.finish

    def careless(self: writing.SegmentWriter) -> object:
        self._disk = _Quiet(self._disk, "sync")  # type: ignore[assignment]
        return right(self)

    patch.setattr(writing.SegmentWriter, "finish", careless)


class _Backwards(list):  # type: ignore[type-arg]
    """A list that goes the other way."""

    def __iter__(self) -> object:  # type: ignore[override]
        return list.__reversed__(self)


def tombstone_gone_before_what_it_deleted(patch: Patch) -> None:
    right = compaction.Compaction.__init__

    def wrong(self: compaction.Compaction, *rest: object) -> None:
        right(self, *rest)  # type: ignore[arg-type]
        self._places = _Backwards(self._places)

    patch.setattr(compaction.Compaction, "__init__", wrong)


def chunk_behind_the_runway(patch: Patch) -> None:
    def append(
        self: SimulatedDisk, name: str, offset: int, chunks: list[bytes]
    ) -> None:
        self.append(name, chunks)

    patch.setattr(SimulatedDisk, "write", append)


def runway_left_in_a_sealed_segment(patch: Patch) -> None:
    _leave_out(patch, StreamBatch, "_write", "truncate")


def producers_forgotten_at_a_roll(patch: Patch) -> None:
    patch.setattr(StreamLog, "_tracking", lambda self, *rest: Draft(0, chunks.TRACKING))


def witness_ignored(patch: Patch) -> None:
    patch.setattr(SegmentWalk, "_find_attested", lambda self: None)


def damage_ends_a_segment(patch: Patch) -> None:
    def skip(*args: object) -> tuple[int, int]:
        raise reading.UnreadableError(0, 1 << 62, "damaged")

    patch.setattr(reading, "_skip", skip)


def index_trusted(patch: Patch) -> None:
    def decode(data: bytes, seed: int) -> list[IndexEntry]:
        whole = range(0, len(data) - indexes.ENTRY_SIZE + 1, indexes.ENTRY_SIZE)
        unpack = indexes._ENTRY.unpack_from
        return [IndexEntry._make(unpack(data, start)) for start in whole]

    patch.setattr(indexes, "decode", decode)
    patch.setattr(indexes, "is_confirmed", lambda entry, file: True)


def _explore() -> None:
    for seed in range(6):
        StreamExplorer(seed).run(STEPS)


def _retention() -> None:
    for seed in range(3):
        StreamExplorer(seed).run_retention()


def _full() -> None:
    for seed in range(3):
        StreamExplorer(seed).run_full()


def _damage() -> None:
    for seed in range(12):
        check_damage(seed)


def _index() -> None:
    for seed in range(12):
        check_index(seed)


PLANTS: list[tuple[Callable[[Patch], None], Check]] = [
    (no_sync_before_the_end_moves, _explore),
    (directory_not_synced_at_a_roll, _explore),
    (next_segment_before_this_one_is_safe, _explore),
    (segments_removed_in_any_order, _retention),
    (full_disk_leaves_half_a_chunk, _full),
    (index_says_what_is_not_safe, _explore),
    (end_taken_from_the_index, _explore),
    (torn_tail_left, _explore),
    (tail_not_written_again, _explore),
    (checksum_ignored, _explore),
    (retention_of_the_active_segment, _retention),
    (compaction_drops_the_newest, _explore),
    (compacted_segment_not_synced, _explore),
    (tombstone_gone_before_what_it_deleted, _explore),
    (chunk_behind_the_runway, _explore),
    (runway_left_in_a_sealed_segment, _explore),
    (producers_forgotten_at_a_roll, _explore),
    (witness_ignored, _damage),
    (damage_ends_a_segment, _damage),
    (checksum_ignored, _damage),
    (index_trusted, _index),
]


@pytest.mark.parametrize(("plant", "check"), PLANTS)
def test_the_explorer_of_streams_catches(
    plant: Callable[[Patch], None], check: Check, monkeypatch: Patch
) -> None:
    plant(monkeypatch)
    with pytest.raises(Violation):
        check()
