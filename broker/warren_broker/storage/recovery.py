"""Recovery: from the files that are there to what lives, and to a journal that goes on.

Every start of a broker is a recovery. It can be interrupted anywhere and begun again
with the same result: nothing is removed that is needed, a segment is replaced only by
one that is safe, and the superblock of the new epoch is written last. What was
accepted of the last segment is written once more (rule R8), since after a failed sync
the system may show bytes that the disk has not: to a new file, or in place on a disk
that is full, on which a broker must start all the same.
"""

from __future__ import annotations

import gc
import uuid
from array import array
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import attrs

from warren_broker.storage import definitions, marker, reserve, superblock
from warren_broker.storage import record as records
from warren_broker.storage.disk import JOURNAL, is_full
from warren_broker.storage.replay import Replay, Stored, live_offsets
from warren_broker.storage.reserve import make_reserve
from warren_broker.storage.salvage import (
    rewrite,
    rewrite_in_place,
    set_aside,
    set_aside_copy,
    write_lost,
)
from warren_broker.storage.segment import SegmentHeader, name_of
from warren_broker.storage.settings import RESERVE_SIZE
from warren_broker.storage.space import OFFSET_BITS, Segment
from warren_broker.storage.start import Start
from warren_broker.storage.survey import LEFTOVERS, Survey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from warren_broker.storage.disk import Disk
    from warren_broker.storage.superblock import Superblock
    from warren_broker.storage.walk import Damage, SegmentWalk

PROGRESS_BYTES: Final = 16 << 20

_T = TypeVar("_T")


class Progress(NamedTuple):
    """How far a recovery is."""

    bytes_read: int
    bytes_total: int
    records: int


@attrs.frozen
class Recovered:
    """What lives, and how it was found.

    With `damage` a broker should not serve as if nothing had happened: records that
    were confirmed are lost, or definitions are. `messages` and `definitions` are all
    that can be read; a settlement that is lost brings its message back. `noted` is all
    damage that starts have found since the last repair, a line each.
    """

    snapshot: bytes | None  # CBOR of all definitions, as they once were
    definitions: tuple[bytes, ...]  # CBOR of each that came after, in order
    messages: dict[int, list[Stored]]  # by queue, in order of sequence
    is_new: bool  # the directory was empty
    was_clean: bool  # the broker before was stopped, not killed
    damage: tuple[Damage, ...]
    noted: tuple[str, ...]
    set_aside: tuple[str, ...]  # files in quarantine since this start
    start: Start  # for the journal


def recover(
    disk: Disk,
    on_progress: Callable[[Progress], None] | None = None,
    *,
    reserve_size: int = RESERVE_SIZE,
    store_id: bytes | None = None,
) -> Recovered:
    """Lock the data directory and find out what lives. Streams: see `Replay`.

    `store_id` is for a store that is new, 16 bytes nobody can guess. On any error the
    directory is unlocked again. Raises `StoreInUseError`, `StoreVersionError`,
    `ForeignDirectoryError` and `StoreDamagedError` (nothing was changed), `OpsError`,
    `OSError`.
    """
    disk.lock()
    try:
        with _without_collector():
            survey = Survey(disk, store_id or uuid.uuid4().bytes)
            recovery = _Recovery(disk, survey, on_progress or (lambda progress: None))
            return recovery.run(reserve_size)
    except BaseException:
        disk.unlock()
        raise


@contextmanager
def _without_collector() -> Iterator[None]:
    """No cycles are made here, and looking for them would take half of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Recovery:
    """One start: reads everything, then makes the files fit to go on with."""

    def __init__(
        self, disk: Disk, survey: Survey, on_progress: Callable[[Progress], None]
    ) -> None:
        self._disk = disk
        self._survey = survey
        self._on_progress = on_progress
        self._replay = Replay(survey.snapshot)
        self._segments: list[Segment] = []
        self._set_aside: list[str] = []
        self._tail = (0, 0)  # lsn and epoch of the last record
        self._records = 0
        self._bytes_before = 0

    def run(self, reserve_size: int) -> Recovered:
        survey = self._survey
        last: SegmentWalk | None = None
        total = survey.size()
        for number, walk in survey.walks():
            self._read_segment(number, walk, total)
            last = walk
        noted = self._with_room(self._note_damage)
        self._tidy()
        if last is not None:
            self._finish_last(last)
        if survey.expected_lsn <= survey.attested_lsn:
            self._replace_missing()
        block = self._write_superblock()
        has_reserve = reserve_size > 0 and make_reserve(self._disk, reserve_size)
        messages = self._replay.take_messages()
        self._keep_books(messages)
        return Recovered(
            snapshot=survey.snapshot.cbor if survey.snapshot else None,
            definitions=tuple(self._replay.definitions),
            messages=messages,
            is_new=survey.is_new,
            was_clean=survey.superblock.is_clean,
            damage=tuple(survey.damage),
            noted=noted,
            set_aside=tuple(self._set_aside),
            start=Start(
                superblock=block,
                next_lsn=survey.expected_lsn,
                number=survey.next_number,
                previous_crc=records.place_crc(*self._tail, survey.seed),
                segments=tuple(self._segments),
                has_reserve=has_reserve,
            ),
        )

    # --- reading

    def _read_segment(self, number: int, walk: SegmentWalk, total: int) -> None:
        segment = Segment(number)
        base = number << OFFSET_BITS
        done = told = self._bytes_before
        for found in walk.records():
            if found.header.kind == records.OPS:
                start = base + found.offset + records.HEADER_SIZE
                self._replay.apply(found.header.lsn, start, found.body)
            self._records += 1
            done = self._bytes_before + found.end
            if done - told >= PROGRESS_BYTES:
                told = done
                self._on_progress(Progress(done, total, self._records))
        if not walk.is_empty:
            self._tail = walk.tail
        segment.size = self._disk.size(name_of(number))
        segment.is_sealed = True  # or will be, if it is the last one
        segment.is_damaged = walk.has_new_damage
        segment.last_lsn = walk.expected_lsn - 1
        segment.defined_at = self._replay.last_defined
        self._bytes_before += segment.size
        self._on_progress(Progress(self._bytes_before, total, self._records))
        self._segments.append(segment)

    # --- changing

    def _note_damage(self) -> tuple[str, ...]:
        """Write down what nobody has set aside yet, before somebody does."""
        found = [str(each) for each in self._survey.damage if not each.is_old]
        return marker.add(self._disk, found)

    def _tidy(self) -> None:
        """Away with what is void; what is unknown goes to quarantine (rule R9)."""
        survey = self._survey
        for name in survey.unknown:
            self._set_aside.append(set_aside(self._disk, name))
        void = [name_of(number) for number in survey.void + survey.blank]
        void += sorted(survey.names.intersection(LEFTOVERS))
        for name in void:
            self._disk.remove(name)
        if void:
            self._disk.sync_directory(JOURNAL)
        damaged = {each.name for each in survey.damage} & survey.names
        if definitions.NAME in damaged:
            self._set_aside.append(set_aside_copy(self._disk, definitions.NAME))

    def _finish_last(self, walk: SegmentWalk) -> None:
        """Make the last segment safe and seal it; forget it if nothing is in it."""
        survey, segment = self._survey, self._segments[-1]
        name, block = name_of(segment.number), survey.superblock
        if walk.is_empty:
            self._segments.pop()
            survey.numbers.pop()
            if walk.header is None:
                self._set_aside.append(set_aside(self._disk, name))
            else:
                self._disk.remove(name)
                self._disk.sync_directory(JOURNAL)
            return
        if walk.has_new_damage:
            copy = self._with_room(lambda: set_aside_copy(self._disk, name))
            self._set_aside.append(copy)
        elif walk.is_sealed and block.durable_lsn >= walk.tail[0]:
            return
        segment.size = self._write_again(segment.number, walk)
        if not walk.is_sealed:
            survey.expected_lsn += 1
            self._tail = survey.expected_lsn - 1, survey.epoch + 1
        segment.last_lsn = survey.expected_lsn - 1
        segment.is_damaged = False

    def _write_again(self, number: int, walk: SegmentWalk) -> int:
        """Make what was accepted of the last segment safe; return its size."""
        survey = self._survey
        store_id, epoch = survey.superblock.store_id, survey.epoch + 1
        what = self._disk, number, walk, store_id, epoch
        if walk.has_new_damage:
            return self._with_room(lambda: rewrite(*what))
        try:
            return rewrite(*what)
        except OSError as error:
            if not is_full(error):
                raise
        return self._with_room(lambda: rewrite_in_place(*what))

    def _replace_missing(self) -> None:
        """The newest segments are missing: say so in one that takes their numbers."""
        survey = self._survey
        number, last_lsn = survey.next_number, survey.attested_lsn
        header = SegmentHeader(
            number=number,
            base_lsn=survey.expected_lsn,
            epoch=survey.epoch + 1,
            store_id=survey.superblock.store_id,
            previous_crc=records.place_crc(*self._tail, survey.seed),
        )
        segment = Segment(number)
        segment.size = self._with_room(lambda: write_lost(self._disk, header, last_lsn))
        segment.is_sealed, segment.last_lsn = True, last_lsn
        self._tail = last_lsn, header.epoch
        self._segments.append(segment)
        survey.numbers.append(number)
        survey.expected_lsn = last_lsn + 1

    def _with_room(self, action: Callable[[], _T]) -> _T:
        """Do it; if the disk is full, once more without the reserve."""
        try:
            return action()
        except OSError as error:
            if not is_full(error):
                raise
        self._disk.remove(reserve.NAME)
        return action()

    def _write_superblock(self) -> Superblock:
        """Begin the new epoch; both slots are there afterwards.

        The one that counts may not be safe, and must be before the other one is torn.
        """
        survey = self._survey
        superblock.write(self._disk, survey.superblock)
        known = survey.superblock.definitions_lsn
        found = survey.snapshot.lsn if survey.snapshot else 0
        if found > known:
            self._disk.sync_directory("")  # its name may not be safe
        block = survey.superblock._replace(
            epoch=survey.epoch + 1,
            durable_lsn=survey.expected_lsn - 1,
            definitions_lsn=max(known, found),
            is_clean=False,
        )
        for _ in range(max(1, survey.missing_slots)):
            block = block._replace(generation=block.generation + 1)
            superblock.write(self._disk, block)
        if survey.missing_slots:
            self._disk.sync_directory("")
        return block

    # --- the journal's beginning

    def _keep_books(self, messages: dict[int, list[Stored]]) -> None:
        offsets = live_offsets(messages)
        for segment in self._segments:
            segment.live = offsets.get(segment.number, array("I"))
            segment.added = len(segment.live)
