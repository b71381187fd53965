"""A walk through one segment: what can be used, and what is torn or damaged.

Rules R2 and R3. Where a record is missing, somebody may *attest* that it was safe: the
superblock, the next segment (which is begun only when this one is safe), or a later
record, that says what was safe when it was composed. What was attested and cannot be
read is damage: it is reported and kept. What nobody attests was never confirmed: there
the segment is cut. Damage of the very last record that was synced, before anything
attests it, cannot be told from a torn one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, final

from warren_broker.storage import record as records
from warren_broker.storage.segment import HEADER_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.storage.segment import Found, SegmentHeader, SegmentReader


class Damage(NamedTuple):
    """Something that was safe and cannot be read any more."""

    name: str  # of the file
    offset: int
    size: int  # bytes that cannot be read; 0: they are not there
    first_lsn: int
    last_lsn: int  # smaller than the first: no record is lost
    text: str  # what is the matter
    is_old: bool = False  # it was set aside by an earlier start or repair

    @property
    def records_lost(self) -> int:
        """How many records are gone."""
        return max(0, self.last_lsn - self.first_lsn + 1)

    def __str__(self) -> str:
        lost = f", {self.records_lost} records are lost" if self.records_lost else ""
        return f"{self.name} at byte {self.offset}: {self.text}{lost}"


class Piece(NamedTuple):
    """Bytes of a segment that are whole records; or a gap, if there are none."""

    offset: int
    end: int
    first_lsn: int
    last_lsn: int
    epoch: int = 0  # of the last record before it, 0 if there is none

    @property
    def is_gap(self) -> bool:
        """Whether records are lost here."""
        return self.offset == self.end


@final
class SegmentWalk:
    """One reading of a segment. When `records()` has ended, the rest tells how it went.

    `expected_lsn` is the number of the first record, `attested_lsn` the last one that
    is known to have been safe; `epoch_max` is the last start of the broker.
    `is_followed`: there is a later segment, so all of this one was safe.
    """

    __slots__ = (
        "_attested_lsn",
        "_epoch_max",
        "_reader",
        "damage",
        "end",
        "epoch",
        "expected_lsn",
        "first_epoch",
        "header",
        "is_followed",
        "is_sealed",
        "pieces",
        "previous_crc",
        "tail",
    )

    def __init__(
        self,
        reader: SegmentReader,
        header: SegmentHeader | None,
        expected_lsn: int,
        attested_lsn: int,
        epoch_max: int,
        *,
        is_followed: bool,
        previous_crc: int = 0,
    ) -> None:
        self._reader = reader
        self._attested_lsn = attested_lsn
        self._epoch_max = epoch_max
        self.is_followed = is_followed
        self.header = header
        self.previous_crc = header.previous_crc if header else previous_crc
        self.expected_lsn = expected_lsn
        self.epoch = self.first_epoch = header.epoch if header else 0
        self.end = HEADER_SIZE if header else 0  # what follows is of no use
        self.is_sealed = False
        self.pieces: list[Piece] = []
        self.damage: list[Damage] = []
        self.tail = (0, 0)  # lsn and epoch of the last record

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in this segment, and nothing missing."""
        return not self.pieces

    def records(self) -> Iterator[Found]:
        """Yield every record that can be used, in order. Raises `OSError`."""
        if self.header is None:
            self._skip_to(self._next_usable(0), "the segment's header is damaged")
        while not self.is_sealed:
            found = self._reader.record_at(self.end)
            if found is not None and self._follows(found):
                self._keep(found)
                yield found
                continue
            later = self._next_usable(self.end + 1)
            if not self._skip_to(later, "records are damaged"):
                break
        is_missing = self.expected_lsn <= self._attested_lsn or self.is_followed
        if is_missing and not self.is_sealed:
            self._note(self._reader.size, self._attested_lsn, "the end is missing")

    @property
    def has_new_damage(self) -> bool:
        """Whether there is damage that nobody has set aside yet."""
        return not all(each.is_old for each in self.damage)

    def _follows(self, found: Found) -> bool:
        """Whether a record is the next one; those of earlier epochs are stale bytes."""
        return found.first_lsn == self.expected_lsn and self._is_of_now(found)

    def _is_of_now(self, found: Found) -> bool:
        return self.epoch <= found.header.epoch <= self._epoch_max

    def _keep(self, found: Found) -> None:
        header = found.header
        first = found.first_lsn
        last = self.pieces[-1] if self.pieces else None
        if last is not None and last.end == found.offset and not last.is_gap:
            self.pieces[-1] = last._replace(end=found.end, last_lsn=header.lsn)
        else:
            piece = Piece(found.offset, found.end, first, header.lsn)
            self.pieces.append(piece)
        if header.kind == records.LOST:
            text = "records were lost before and have been set aside"
            size = header.whole_size
            place = self._reader.name, found.offset, size
            self.damage.append(Damage(*place, first, header.lsn, text, is_old=True))
        self.is_sealed = header.kind == records.SEAL
        self.end = found.end
        self.epoch = header.epoch
        self.first_epoch = self.first_epoch or header.epoch
        self.expected_lsn = header.lsn + 1
        self.tail = header.lsn, header.epoch

    def _next_usable(self, offset: int) -> Found | None:
        """The first record from `offset` on that may belong behind what was read."""
        found = self._reader.find(offset)
        while found is not None:
            if found.first_lsn >= self.expected_lsn and self._is_of_now(found):
                return found
            found = self._reader.find(found.offset + 1)
        return None

    def _skip_to(self, later: Found | None, text: str) -> bool:
        """Go on at `later` if what is before it was safe; False: the segment ends."""
        if later is None or not self._is_attested(later):
            return False
        self._note(later.offset, later.first_lsn - 1, text)
        self.end = later.offset
        self.expected_lsn = later.first_lsn
        return True

    def _is_attested(self, later: Found) -> bool:
        if self._attested_lsn >= self.expected_lsn or self.is_followed:
            return True
        found: Found | None = later
        while found is not None:
            if found.header.synced >= self.expected_lsn:
                return True
            found = self._next_usable(found.end)
        return False

    def _note(self, end: int, last_lsn: int, text: str) -> None:
        """Write down that everything from here to `end` is lost."""
        start, first = self.end, self.expected_lsn
        size = max(0, end - start)
        damage = Damage(self._reader.name, start, size, first, last_lsn, text)
        self.damage.append(damage)
        if damage.records_lost:
            self.pieces.append(Piece(start, start, first, last_lsn, self.epoch))
            self.expected_lsn = last_lsn + 1
