"""Every crash of many histories, and the bugs that this must not miss."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import pytest

from tests.simulated_disk import SimulatedDisk
from tests.storage.explorer import Explorer, Violation
from tests.storage.support import settings
from warren_broker.storage import definitions, salvage, superblock
from warren_broker.storage import record as records
from warren_broker.storage.batch import Batch
from warren_broker.storage.collector import Collector
from warren_broker.storage.disk import JOURNAL, Disk
from warren_broker.storage.journal import Journal
from warren_broker.storage.lookup import Lookup
from warren_broker.storage.outcome import Outcome, Written
from warren_broker.storage.recovery import _Recovery
from warren_broker.storage.space import Space
from warren_broker.storage.superblock import SLOTS, Superblock
from warren_broker.storage.survey import Survey
from warren_broker.storage.walk import SegmentWalk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from warren_broker.storage.lookup import Content

    Places = Iterable[tuple[int, int]]
    Plant = Callable[[pytest.MonkeyPatch], None]

STEPS = 40


@pytest.mark.parametrize("seed", range(5))
def test_no_crash_breaks_a_promise(seed: int) -> None:
    explorer = Explorer(seed)
    explorer.run(STEPS)
    assert explorer.states > 700


@pytest.mark.parametrize("mode", ["interval:5", "os"])
def test_without_a_sync_a_power_cut_takes_the_newest_alone(mode: str) -> None:
    Explorer(11, settings(mode)).run(25)


# --- the tests of the tests


def no_directory_sync_after_a_new_segment(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Batch, "_sync", lambda self, disk: disk.sync(self.name))


def commit_before_sync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Batch, "_sync", lambda self, disk: None)


def sync_of_the_wrong_file(patch: pytest.MonkeyPatch) -> None:
    def sync(self: Batch, disk: Disk) -> None:
        disk.sync(SLOTS[0])
        disk.sync_directory(JOURNAL)

    patch.setattr(Batch, "_sync", sync)


def sync_again_after_an_error(patch: pytest.MonkeyPatch) -> None:
    sync = Batch._sync

    def twice(self: Batch, disk: Disk) -> None:
        try:
            sync(self, disk)
        except OSError:
            sync(self, disk)

    patch.setattr(Batch, "_sync", twice)


def go_on_after_an_error(patch: pytest.MonkeyPatch) -> None:
    on_written = Journal.on_written

    def go_on(self: Journal, batch: Batch, error: OSError | None) -> Written:
        written = on_written(self, batch, error)
        if written.outcome is Outcome.FAILED:
            self.failed = None
        return written

    patch.setattr(Journal, "on_written", go_on)


def rename_of_a_segment_that_is_not_synced(patch: pytest.MonkeyPatch) -> None:
    def take_name(disk: Disk, name: str) -> int:
        disk.rename(salvage.TEMPORARY, name)
        disk.sync_directory(JOURNAL)
        return disk.size(name)

    patch.setattr(salvage, "_take_name", take_name)


def definitions_that_are_not_synced(patch: pytest.MonkeyPatch) -> None:
    def write(disk: Disk, snapshot: definitions.Snapshot) -> None:
        disk.append(definitions.TEMPORARY, [definitions.encode(snapshot)])
        disk.rename(definitions.TEMPORARY, definitions.NAME)
        disk.sync_directory("")

    patch.setattr(definitions, "write", write)


def definitions_without_directory_sync(patch: pytest.MonkeyPatch) -> None:
    def write(disk: Disk, snapshot: definitions.Snapshot) -> None:
        disk.append(definitions.TEMPORARY, [definitions.encode(snapshot)])
        disk.sync(definitions.TEMPORARY)
        disk.rename(definitions.TEMPORARY, definitions.NAME)

    patch.setattr(definitions, "write", write)


def definitions_before_their_record(patch: pytest.MonkeyPatch) -> None:
    run = Batch.run

    def early(self: Batch, disk: Disk) -> None:
        if self.snapshot is not None:
            definitions.write(disk, self.snapshot)
        run(self, disk)

    patch.setattr(Batch, "run", early)


def checksum_not_compared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(records, "is_body_whole", lambda header, body, crc, seed: True)


def checksum_without_place(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(records, "place_crc", lambda lsn, epoch, seed: seed)


def stale_epoch_accepted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SegmentWalk, "_is_of_now", lambda self, found: True)


def cut_off_by_one(patch: pytest.MonkeyPatch) -> None:
    blocks = salvage._blocks
    patch.setattr(
        salvage,
        "_blocks",
        lambda disk, name, offset, end: blocks(disk, name, offset, end - 1),
    )


def segment_removed_too_early(patch: pytest.MonkeyPatch) -> None:
    run = Batch.run

    def early(self: Batch, disk: Disk) -> None:
        for name in self.removals:
            disk.remove(name)
        run(self, disk)

    patch.setattr(Batch, "run", early)


def removed_segment_replayed(patch: pytest.MonkeyPatch) -> None:
    read = superblock.read_slots

    def forgetful(disk: Disk, names: frozenset[str]) -> list[Superblock | None]:
        return [each and each._replace(first_live=1) for each in read(disk, names)]

    patch.setattr(superblock, "read_slots", forgetful)


def superblock_in_one_place(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(superblock, "slot_of", lambda block: SLOTS[0])


def superblock_checksum_not_compared(patch: pytest.MonkeyPatch) -> None:
    class Equal(int):
        __eq__ = lambda self, other: True  # noqa: E731
        __ne__ = lambda self, other: False  # noqa: E731
        __hash__ = int.__hash__

    patch.setattr(superblock, "crc32", lambda data: Equal(zlib.crc32(data)))


def record_behind_the_runway(patch: pytest.MonkeyPatch) -> None:
    write = SimulatedDisk.write

    def append(
        self: SimulatedDisk, name: str, offset: int, chunks: list[bytes]
    ) -> None:
        is_there = name in self.current.names and name not in SLOTS
        write(self, name, self.size(name) if is_there else offset, chunks)

    patch.setattr(SimulatedDisk, "write", append)


def full_disk_forgets_what_was_settled(patch: pytest.MonkeyPatch) -> None:
    take_apart = Journal._take_apart

    def forgetful(self: Journal, batch: Batch) -> object:
        refused = take_apart(self, batch)
        self._begin_record(self._segment, self._record_start, self._fillers)
        return refused

    patch.setattr(Journal, "_take_apart", forgetful)


def tail_not_written_again(patch: pytest.MonkeyPatch) -> None:
    def pretend(self: _Recovery, walk: SegmentWalk) -> None:
        segment = self._segments[-1]
        segment.is_sealed = False

    patch.setattr(_Recovery, "_finish_last", pretend)


def superblock_promises_too_much(patch: pytest.MonkeyPatch) -> None:
    run = Batch.run

    def early(self: Batch, disk: Disk) -> None:
        if self.superblock is not None:
            superblock.write(disk, self.superblock)
        run(self, disk)

    patch.setattr(Batch, "run", early)


def witness_of_definitions_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Survey, "attested_lsn", property(lambda self: 1 << 20))


def looked_for_where_it_was(patch: pytest.MonkeyPatch) -> None:
    def given(
        self: Collector, queue: int, places: Places, *, is_run: bool
    ) -> list[int]:
        return [position for _, position in places]

    patch.setattr(Collector, "whereabouts", given)


def looked_for_before_it_is_written(patch: pytest.MonkeyPatch) -> None:
    def latest(
        self: Collector, queue: int, places: Places, *, is_run: bool
    ) -> list[int]:
        return [self.position_of(queue, *place) for place in places]

    patch.setattr(Collector, "whereabouts", latest)


def not_looked_for_elsewhere(patch: pytest.MonkeyPatch) -> None:
    def read(self: Lookup, queue: int, places: Places) -> list[Content]:
        return self._read(queue, [*places], is_run=False)

    patch.setattr(Lookup, "read", read)


def segment_removed_under_what_lives(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Space, "_is_dead", staticmethod(lambda segment: segment.is_sealed))


LOOKUP_PLANTS: list[Plant] = [
    looked_for_where_it_was,
    looked_for_before_it_is_written,
    not_looked_for_elsewhere,
    segment_removed_under_what_lives,
]
PLANTS: list[Plant] = [
    no_directory_sync_after_a_new_segment,
    commit_before_sync,
    sync_of_the_wrong_file,
    sync_again_after_an_error,
    go_on_after_an_error,
    rename_of_a_segment_that_is_not_synced,
    definitions_that_are_not_synced,
    definitions_without_directory_sync,
    definitions_before_their_record,
    checksum_not_compared,
    checksum_without_place,
    stale_epoch_accepted,
    cut_off_by_one,
    segment_removed_too_early,
    removed_segment_replayed,
    superblock_in_one_place,
    superblock_checksum_not_compared,
    record_behind_the_runway,
    full_disk_forgets_what_was_settled,
    tail_not_written_again,
    superblock_promises_too_much,
    witness_of_definitions_ignored,
]


@pytest.mark.parametrize("plant", PLANTS)
def test_the_explorer_catches(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(Violation):
        _explore(8)


def test_what_is_written_can_be_read_again_at_any_moment() -> None:
    _look_up(5)


@pytest.mark.parametrize("plant", LOOKUP_PLANTS)
def test_looking_up_catches(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(Violation):
        _look_up(10)


def _look_up(seeds: int) -> None:
    for seed in range(100, 100 + seeds):
        Explorer(seed, crashes=False).run(4 * STEPS)


def _explore(seeds: int) -> None:
    for seed in range(seeds):
        Explorer(seed).run(STEPS)
