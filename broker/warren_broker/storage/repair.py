"""Repair: a damaged journal is made whole, and what is lost is written down.

Damaged segments are copied to quarantine as they are and written again with every
record that can be read; a record in each gap says what is missing there, so that the
damage is known for good but no start stumbles over it again. The damage of the last
segment is left to the next start, which does the same, and so are definitions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from warren_broker.storage import definitions, marker, superblock
from warren_broker.storage import record as records
from warren_broker.storage.ops import Message, scan_ops
from warren_broker.storage.salvage import rewrite, set_aside_copy, write_lost
from warren_broker.storage.segment import SegmentHeader, name_of, number_of
from warren_broker.storage.stream.log import StoreFacts
from warren_broker.storage.stream.repair import repair_streams
from warren_broker.storage.survey import Survey

if TYPE_CHECKING:
    from warren_broker.storage.disk import Disk
    from warren_broker.storage.stream.damage import StreamDamage
    from warren_broker.storage.walk import Damage, SegmentWalk


@attrs.frozen
class RepairReport:
    """What was found and what was done."""

    repaired: tuple[Damage | StreamDamage, ...]
    left: tuple[Damage, ...]  # for the next start, or beyond repair
    set_aside: tuple[str, ...]  # the files as they were, in quarantine
    records_kept: int
    records_lost: int
    messages_kept: int  # that were ever written; many may be settled
    stream_records_kept: int
    stream_records_lost: int


def repair(disk: Disk) -> RepairReport:
    """Repair a data directory that no broker uses.

    Raises `StoreInUseError`, `StoreVersionError`, `ForeignDirectoryError`,
    `StoreDamagedError`, `OSError`.
    """
    disk.lock()
    try:
        return _Repair(disk, Survey(disk, bytes(16))).run()
    finally:
        disk.unlock()


class _Repair:
    """One run over all segments."""

    def __init__(self, disk: Disk, survey: Survey) -> None:
        self._disk = disk
        self._survey = survey
        self._store_id = survey.superblock.store_id
        self._facts = StoreFacts(self._store_id, survey.superblock.epoch)
        self._records = 0
        self._messages = 0

    def run(self) -> RepairReport:
        walks = {}
        for number, walk in self._survey.walks():
            self._count(walk)
            walks[number] = walk
        set_aside = []
        repaired: list[Damage] = []
        for number, walk in walks.items():
            if walk.has_new_damage and _can_be_sealed(walk):
                set_aside.append(set_aside_copy(self._disk, name_of(number)))
                epoch = self._survey.epoch
                rewrite(self._disk, number, walk, self._store_id, epoch)
                repaired += walk.damage
        found = [each for each in self._survey.damage if not each.is_old]
        repaired += [each for each in found if self._replace_missing(each, walks)]
        damaged = {each.name for each in found} & self._survey.names
        if definitions.NAME in damaged:
            set_aside.append(set_aside_copy(self._disk, definitions.NAME))
        streams = repair_streams(self._disk, self._facts)
        set_aside += streams.set_aside
        left = tuple(each for each in found if each not in repaired)
        if repaired:
            self._forget_clean_stop()
        if not left:
            marker.remove(self._disk)
        return RepairReport(
            repaired=(*(one for one in repaired if not one.is_old), *streams.damage),
            left=left,
            set_aside=tuple(set_aside),
            records_kept=self._records,
            records_lost=sum(each.records_lost for each in found),
            messages_kept=self._messages,
            stream_records_kept=streams.records_kept,
            stream_records_lost=sum(each.records_lost for each in streams.damage),
        )

    def _count(self, walk: SegmentWalk) -> None:
        for found in walk.records():
            if found.header.kind == records.OPS:
                self._records += 1
                ops = [op for _, op in scan_ops(found.body)]
                self._messages += sum(isinstance(op, Message) for op in ops)

    def _forget_clean_stop(self) -> None:
        """A message may be back that was delivered: the next start must say so."""
        block = self._survey.superblock
        if block.is_clean:
            generation = block.generation + 1
            block = block._replace(generation=generation, is_clean=False)
            superblock.write(self._disk, block)

    def _replace_missing(self, damage: Damage, walks: dict[int, SegmentWalk]) -> bool:
        """Put a segment that says what is lost where one is missing."""
        number = number_of(damage.name)
        if number is None or number in walks or not damage.records_lost:
            return False
        if number > max(walks, default=0):
            return False
        before = walks.get(number - 1)
        tail = before.tail if before is not None else (0, 0)
        header = SegmentHeader(
            number=number,
            base_lsn=damage.first_lsn,
            epoch=max(1, tail[1]),
            store_id=self._store_id,
            previous_crc=records.place_crc(*tail, self._survey.seed),
        )
        write_lost(self._disk, header, damage.last_lsn)
        return True


def _can_be_sealed(walk: SegmentWalk) -> bool:
    """Whether a segment is not the last one, and it is known where it ended."""
    if not walk.is_followed or walk.is_empty:
        return False
    return walk.is_sealed or walk.pieces[-1].is_gap
