"""A survey of a data directory: what is there, and what it says about the journal.

It reads and changes nothing; recovery and repair both begin with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from warren.errors import WarrenError
from warren_broker.storage import definitions, marker, reserve, superblock
from warren_broker.storage import record as records
from warren_broker.storage import segment as segments
from warren_broker.storage.disk import LOCK, QUARANTINE, STREAMS
from warren_broker.storage.salvage import COPYING, TEMPORARY
from warren_broker.storage.segment import SegmentReader, name_of, number_of
from warren_broker.storage.superblock import Superblock
from warren_broker.storage.walk import Damage, SegmentWalk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.storage.disk import Disk
    from warren_broker.storage.segment import SegmentHeader

# What a crash may leave half written; all of it is somewhere else as well.
LEFTOVERS: Final = (definitions.TEMPORARY, marker.TEMPORARY, TEMPORARY, COPYING)

_KNOWN: Final = {
    LOCK,
    reserve.NAME,
    definitions.NAME,
    marker.NAME,
    *superblock.SLOTS,
    *LEFTOVERS,
}
_EPOCH_MAX: Final = 0xFFFF_FFFF


class ForeignDirectoryError(WarrenError):
    """There are files, but no journal: somebody else's. Nothing was changed."""


class StoreDamagedError(WarrenError):
    """So much is damaged that nothing can be read. Nothing was changed."""


@final
class Survey:
    """The files of one data directory. `walks()` must be read to the end, once."""

    __slots__ = (
        "_disk",
        "_epoch_max",
        "_headers",
        "blank",
        "damage",
        "epoch",
        "expected_lsn",
        "is_new",
        "missing_slots",
        "names",
        "numbers",
        "seed",
        "snapshot",
        "superblock",
        "unknown",
        "void",
    )

    def __init__(self, disk: Disk, new_store_id: bytes) -> None:
        self._disk = disk
        self.names = frozenset(disk.names())
        self.damage: list[Damage] = []
        slots = superblock.read_slots(disk, self.names)
        self.missing_slots = len(superblock.SLOTS) - len(slots)
        numbers = sorted(n for n in map(number_of, self.names) if n is not None)
        self._headers = {number: self._read_header(number) for number in numbers}
        whole = [slot for slot in slots if slot is not None]
        self.is_new = not (whole or numbers)
        if whole:
            self.superblock = max(whole, key=lambda each: each.generation)
            self._epoch_max = self.superblock.epoch
        else:
            self.superblock = self._without_superblock(new_store_id)
            self._epoch_max = _EPOCH_MAX
        self.epoch = self.superblock.epoch  # the last one that was seen
        self.expected_lsn = self.superblock.first_lsn
        self.seed = records.seed_of(self.superblock.store_id)
        self.snapshot = self._read_snapshot()
        first = self.superblock.first_live
        self.void = [number for number in numbers if number < first]
        self.numbers = [number for number in numbers if number >= first]
        self.blank: list[int] = []  # rule R4: as if they were absent
        while self.numbers and self._is_blank(self.numbers[-1]):
            self.blank.append(self.numbers.pop())
        elsewhere = f"{QUARANTINE}/", f"{STREAMS}/"
        ours = _KNOWN.union(map(name_of, numbers))
        self.unknown = sorted(
            name for name in self.names - ours if not name.startswith(elsewhere)
        )
        if self.is_new and self.unknown:
            raise ForeignDirectoryError(
                f"not empty, and not a data directory: {self.unknown[0]} is there"
            )

    @property
    def attested_lsn(self) -> int:
        """All records up to this one were safe once."""
        snapshot_lsn = self.snapshot.lsn - 1 if self.snapshot else 0
        return max(self.superblock.durable_lsn, snapshot_lsn)

    @property
    def next_number(self) -> int:
        """The segment after the last one."""
        return self.numbers[-1] + 1 if self.numbers else self.superblock.first_live

    def size(self) -> int:
        """Bytes of all segments that count."""
        return sum(self._disk.size(name_of(number)) for number in self.numbers)

    def walks(self) -> Iterator[tuple[int, SegmentWalk]]:
        """Yield a walk for each segment. Its records must be read before the next.

        What is missing between two segments is noted in `damage`, and so is all that
        the walks find. Raises `OSError`.
        """
        tail, is_whole = 0, False  # of the segment before
        last = self.numbers[-1] if self.numbers else 0
        for number, following in zip(
            self.numbers, [*self.numbers[1:], 0], strict=False
        ):
            header = self._usable_header(number, tail if is_whole else None)
            attested = self.attested_lsn
            if number != last:
                attested = self._base_lsn(following) - 1
            if header is not None and header.base_lsn > self.expected_lsn:
                self._note_missing(number - 1, header.base_lsn - 1)
                self.expected_lsn = header.base_lsn
            walk = SegmentWalk(
                SegmentReader(self._disk, name_of(number), self.seed),
                header,
                self.expected_lsn,
                attested,
                self._epoch_max,
                is_followed=number != last,
                previous_crc=tail,
            )
            yield number, walk
            self.damage += walk.damage
            self.expected_lsn = walk.expected_lsn
            self.epoch = max(self.epoch, walk.epoch)
            is_whole = walk.is_sealed and not walk.damage
            tail = records.place_crc(walk.expected_lsn - 1, walk.epoch, self.seed)
        if self.expected_lsn <= self.attested_lsn:
            self._note_missing(self.next_number, self.attested_lsn)

    def _usable_header(self, number: int, tail: int | None) -> SegmentHeader | None:
        """A segment's header, if it is of this store and fits behind the one before.

        `tail` is the checksum of the record before it; with None nothing is noted.
        """
        header = self._headers[number]
        if header is None or header.store_id != self.superblock.store_id:
            return None
        if header.base_lsn < self.expected_lsn:
            return None
        if tail is not None and header.previous_crc != tail:
            return None
        return header

    def _base_lsn(self, number: int) -> int:
        """The first record of a segment; of one without header, that can be read."""
        header = self._usable_header(number, None)
        if header is not None:
            return header.base_lsn
        reader = SegmentReader(self._disk, name_of(number), self.seed)
        found = reader.find(0)
        return found.first_lsn if found else 1

    def _note_missing(self, number: int, last_lsn: int) -> None:
        first, name = self.expected_lsn, name_of(number)
        text = "a segment is missing"
        self.damage.append(Damage(name, 0, 0, first, last_lsn, text))

    def _read_header(self, number: int) -> SegmentHeader | None:
        reader = SegmentReader(self._disk, name_of(number), 0)
        header = reader.header()
        return header if header and header.number == number else None

    def _is_blank(self, number: int) -> bool:
        reader = SegmentReader(self._disk, name_of(number), self.seed)
        return reader.size < segments.HEADER_SIZE or reader.is_blank()

    def _without_superblock(self, new_store_id: bytes) -> Superblock:
        """What can be said when neither slot is whole.

        Raises `StoreDamagedError` if there are segments, and none has a header.
        """
        headers = [each for each in self._headers.values() if each is not None]
        block = Superblock(new_store_id, 0, 0, 0, 1, 1, 0, is_clean=False)
        if not headers:
            if any(not self._is_blank_file(number) for number in self._headers):
                raise StoreDamagedError("no superblock and no segment can be read")
            return block
        text = "neither superblock can be read"
        self.damage.append(Damage(superblock.SLOTS[0], 0, 0, 1, 0, text))
        first = min(headers, key=lambda each: each.number)
        return block._replace(
            store_id=first.store_id,
            epoch=max(each.epoch for each in headers),
            first_live=first.number,
            first_lsn=first.base_lsn,
        )

    def _is_blank_file(self, number: int) -> bool:
        return SegmentReader(self._disk, name_of(number), 0).is_blank()

    def _read_snapshot(self) -> definitions.Snapshot | None:
        """The snapshot of definitions; one that is damaged or too old is noted."""
        name, wanted = definitions.NAME, self.superblock.definitions_lsn
        is_there = name in self.names
        snapshot = definitions.read(self._disk) if is_there else None
        if snapshot is None and (is_there or wanted):
            text = "the definitions are damaged" if is_there else "there are none"
            self.damage.append(Damage(name, 0, 0, 1, 0, text))
        elif snapshot is not None and snapshot.lsn < wanted:
            text = "the definitions are older than they were"
            self.damage.append(Damage(name, 0, 0, 1, 0, text))
        return snapshot
