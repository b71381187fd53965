"""The journal: everything that must not be forgotten, in the order it happened.

A turn adds what happened; `take_batch` closes the record and hands out what is to be
written; somebody runs the batch in another thread and tells `on_written`. One batch is
under way at a time, and the next record collects meanwhile. `committed` is the promise:
all records up to that one are safe, in the sense of the setting `sync`.

When the disk is full, everything that is not written yet is taken apart: messages are
refused, and the owner is told which; what was settled and defined is kept, and is the
first to be written when there is room, the reserve being given up for it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, final

from warren_broker.storage import record as records
from warren_broker.storage import segment as segments
from warren_broker.storage.batch import Batch
from warren_broker.storage.collector import Collector, key_of
from warren_broker.storage.definitions import Snapshot
from warren_broker.storage.moving import Move
from warren_broker.storage.ops import Define, Message, scan_ops
from warren_broker.storage.outcome import Outcome, Refused, Written
from warren_broker.storage.record import RecordHeader
from warren_broker.storage.reserve import ReservePiece
from warren_broker.storage.runway import Runway
from warren_broker.storage.segment import SegmentHeader, name_of
from warren_broker.storage.settings import RECORD_SIZE_MAX, JournalSettings, SyncMode
from warren_broker.storage.space import OFFSET_BITS, OFFSET_MASK, Space

if TYPE_CHECKING:
    from warren_broker.storage.start import Start


@final
class Journal(Collector):
    """Composes records and knows what lives where. Begun by what `recover` returns.

    Nothing here touches the disk or fails: all errors come by `on_written`.
    """

    __slots__ = (
        "_checkpoint",
        "_directory",
        "_is_moving",
        "_reserve",
        "_runway",
        "_seed",
        "_settings",
        "_snapshot",
        "_superblock",
        "_sync",
        "_under_way",
        "closed",
        "committed",
        "failed",
        "is_full",
        "synced",
    )

    def __init__(self, start: Start, settings: JournalSettings | None = None) -> None:
        self._settings = settings or JournalSettings()
        space = Space(list(start.segments), self._settings.segments_min)
        segment = space.begin(start.number, start.previous_crc)
        super().__init__(space, segment, start.next_lsn)
        self.committed = start.next_lsn - 1  # all records up to it are safe
        self.failed: OSError | None = None  # why the journal is dead
        self.is_full = False  # the last batch had no room
        self._seed = records.seed_of(start.superblock.store_id)
        self._superblock = start.superblock  # as it is on the disk
        self.synced = self.committed  # all records up to it would survive a power cut
        self._reserve = self._settings.reserve_size if start.has_reserve else 0
        self._directory = False  # names that are not synced
        self._runway = Runway(self._settings.runway)
        self._snapshot: Snapshot | None = None
        self._sync = self._checkpoint = False  # wishes
        self._under_way: Batch | None = None
        self.closed: deque[Batch] = deque()  # records that wait for the one under way
        self._is_moving = False

    # --- wishes

    def add_snapshot(self, cbor: bytes) -> None:
        """All definitions as they are now, to be written with the next batch.

        One that cannot be written because the disk is full is dropped.
        """
        self._snapshot = Snapshot(self.ticket, self._defined, cbor)

    def request_sync(self) -> None:
        """With the settings interval and os: make what was written safe."""
        self._sync = self.synced < self.committed

    def request_checkpoint(self) -> None:
        """Let the superblock say how far all is safe; once a second after writes."""
        if self._settings.sync.mode is not SyncMode.OS:
            self._checkpoint = self._superblock.durable_lsn < self.committed

    @property
    def wants_snapshot(self) -> bool:
        """Whether a snapshot of the definitions would let an old segment go."""
        last = self._superblock.definitions_lsn
        return self._snapshot is None and self._space.wants_snapshot(last)

    @property
    def is_dirty(self) -> bool:
        """Whether something waits for `take_batch`."""
        is_waiting = self._chunks or self.closed or self.is_full or self._has_wishes
        return bool(is_waiting) or self._can_remove(self.synced)

    @property
    def waiting_bytes(self) -> int:
        """Bytes that are not safe yet: the owner brakes publishers by them."""
        waiting = [self._under_way, *self.closed]
        size = sum(each.header.size for each in waiting if each and each.header)
        return self._offset - self._body_start + size

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return self._space.size + self._record_start

    # --- batches

    def end_turn(self) -> None:
        """Close a record that is long: what a turn says is in one, and none is endless.

        It is written after the batch that is under way, and by itself.
        """
        if not self.is_full:
            self.bound_record(self._settings.segment_size)

    def bound_record(self, size: int = RECORD_SIZE_MAX) -> None:
        """Close the record if it has more than `size` bytes, even within a turn."""
        if self._offset - self._body_start > size:
            self.closed.append(self._new_batch(is_last=False))

    def take_batch(self) -> Batch | None:
        """Close the record and return what is to be written.

        None if there is nothing, if a batch is under way, or the journal has failed.
        """
        if self._under_way or self.failed or not self.is_dirty:
            return None
        return self._take(is_last=False)

    def take_last_batch(self) -> Batch | None:
        """The batch of a clean stop, after which nothing may be added.

        None if a batch is under way or to be taken before, or the journal has failed.
        """
        if self._under_way or self.closed or self.failed:
            return None
        return self._take(is_last=True)

    def on_written(self, batch: Batch, error: OSError | None) -> Written:
        """`batch.run` has returned, or raised `error`.

        After anything but "no room" the state of the disk is unknown, and asking it
        again proves nothing (a failed sync drops what it could not write): the journal
        is dead, `committed` never moves again, and only another start can tell.
        """
        self._under_way = None
        if batch.releases_reserve:
            self._reserve = 0
        if error is None:
            self._on_safe(batch)
            return Written(Outcome.WRITTEN)
        if batch.is_undone:
            self.is_full = True
            return Written(Outcome.FULL, self._take_apart(batch))
        self.failed = error
        return Written(Outcome.FAILED)

    # --- composing

    @property
    def _next_position(self) -> int:
        return self.closed[0].position if self.closed else self._record_position

    @property
    def _has_wishes(self) -> bool:
        return self._sync or self._checkpoint or self._snapshot is not None

    def _new_batch(self, *, is_last: bool) -> Batch:
        name = name_of(self._segment.number)
        written = self.ticket - 1 - self._fillers
        batch = Batch(name, self._record_start, written, self._seed)
        batch.position = self._record_position
        if self._chunks or self.is_full or (is_last and self._record_start):
            self._close_record(batch, is_last=is_last)
        return batch

    def _take(self, *, is_last: bool) -> Batch:
        batch = (
            self.closed.popleft() if self.closed else self._new_batch(is_last=is_last)
        )
        if batch.header is not None and not self.is_full:
            self._runway.prepare(batch)
            batch.spares = 0 if is_last else self.spares
        has_file = batch.header is not None or batch.boundary > 0
        batch.syncs = has_file and (
            is_last
            or self._has_wishes
            or self._settings.sync.mode is SyncMode.ALWAYS
            or bool(batch.behind)
            or self._can_remove(batch.lsn)
        )
        self._directory = self._directory or batch.makes_file
        batch.syncs_directory = batch.syncs and self._directory
        self._add_upkeep(batch, is_last=is_last)
        batch.releases_reserve = self.is_full and self._reserve > 0
        self._under_way = batch
        return batch

    def _close_record(self, batch: Batch, *, is_last: bool) -> None:
        epoch = self._superblock.epoch
        header = RecordHeader(records.OPS, 0, self.ticket, epoch, self.synced)
        batch.added_before = self._added_before
        batch.brings = self._segment.added - self._added_before - len(self._moves)
        batch.makes_file = self._record_start == 0
        if batch.makes_file:
            batch.before.append(self._segment_header(batch.first_lsn))
        for lsn in range(batch.first_lsn, self.ticket):
            filler = header._replace(lsn=lsn)
            batch.before.append(records.encode_record(filler, b"", self._seed))
        batch.header = header._replace(size=self._offset - self._body_start)
        batch.chunks = self._chunks
        batch.lsn = self.ticket
        batch.moves = self._moves
        self._moves_under_way = [*self._moves_under_way, *self._moves]
        segment, start = self._segment, self._offset + records.OVERHEAD
        start -= records.HEADER_SIZE
        batch.end = start
        if is_last or start >= self._settings.segment_size:
            batch.lsn += 1
            seal = header._replace(kind=records.SEAL, lsn=batch.lsn)
            batch.behind.append(records.encode_record(seal, b"", self._seed))
            batch.end = start + records.OVERHEAD
            segment.size, segment.is_sealed = batch.end, True
            segment.last_lsn = batch.lsn
            tail = records.place_crc(batch.lsn, epoch, self._seed)
            segment, start = self._space.begin(segment.number + 1, tail), 0
        self.ticket = batch.lsn + 1
        self._begin_record(segment, start, 0)

    def _segment_header(self, base_lsn: int) -> bytes:
        epoch, store_id = self._superblock.epoch, self._superblock.store_id
        number, crc = self._segment.number, self._segment.previous_crc
        header = SegmentHeader(number, base_lsn, epoch, store_id, crc)
        return segments.encode_header(header)

    def _add_upkeep(self, batch: Batch, *, is_last: bool) -> None:
        safe_lsn = batch.lsn if batch.syncs else self.synced
        old, snapshot = self._superblock, self._snapshot
        if snapshot is not None and snapshot.lsn > batch.lsn + (not snapshot.defined):
            snapshot = None  # something that it stands for is still to be written
        removals = self._removals(safe_lsn, snapshot)
        if not (batch.behind or self._has_wishes or removals or is_last):
            return
        if removals:
            last = self._space.segments[removals[-1]]
            old = old._replace(first_live=last.number + 1, first_lsn=last.last_lsn + 1)
        batch.snapshot = snapshot
        batch.removals = [name_of(number) for number in removals]
        batch.superblock = old._replace(
            generation=old.generation + 1,
            durable_lsn=safe_lsn,
            definitions_lsn=snapshot.lsn if snapshot else old.definitions_lsn,
            is_clean=is_last,
        )

    def _removals(self, safe_lsn: int, snapshot: Snapshot | None) -> list[int]:
        lsn = snapshot.lsn if snapshot else self._superblock.definitions_lsn
        return list(self._space.removable(safe_lsn, lsn))

    def _can_remove(self, safe_lsn: int) -> bool:
        return bool(self._removals(safe_lsn, self._snapshot))

    # --- outcomes

    def take_apart(self) -> tuple[Refused, ...]:
        """Refuse what was added while the disk is full, before that is tried again."""
        return self._take_apart(self._new_batch(is_last=False))

    def _on_safe(self, batch: Batch) -> None:
        if batch.header is not None:
            self.committed = batch.lsn
            self._written_end = self._next_position
            self._moves_under_way = [one for each in self.closed for one in each.moves]
            self.is_full = False
            self._runway.on_safe(batch)
        if batch.syncs:
            self.synced = batch.lsn
            self._directory = self._sync = False
        if batch.superblock is None:
            return
        self._checkpoint = False
        if self._snapshot is batch.snapshot:
            self._snapshot = None
        if batch.is_upkeep_done:
            for number in range(
                self._superblock.first_live, batch.superblock.first_live
            ):
                self._space.segments.pop(number, None)
            self._superblock = batch.superblock

    def _take_apart(self, batch: Batch) -> tuple[Refused, ...]:
        """Begin the record anew, where the batch began, with what is to be kept.

        Though it is empty it will be written: so it is found out when there is room.
        """
        if batch.header is not None and not (self.closed or self._chunks):
            self.ticket = batch.header.lsn
        closed, self.closed = self.closed, deque()
        kept: list[bytes] = []
        defined = 0
        messages: list[Message] = []
        batches = (batch, *closed)
        for chunks in (*(each.chunks for each in batches), self._chunks):
            for raw, op in scan_ops(b"".join(chunks)):
                if isinstance(op, Message):
                    messages.append(op)
                    continue
                kept.append(raw)
                defined += isinstance(op, Define)
        self._runway.on_undone(batch)
        moved = self._take_back_moves(self._moves_under_way + self._moves)
        self._moves_under_way = []
        segment = self._space.reopen(batch.position >> OFFSET_BITS)
        segment.added = batch.added_before
        for other in self._space.segments.values():
            end = batch.boundary if other is segment else OFFSET_MASK + 1
            other.take_back(end, batch.first_lsn, self.ticket)
        self._snapshot = None
        self._begin_record(segment, batch.boundary, self.ticket - batch.first_lsn)
        self._chunks = kept
        self._offset += sum(map(len, kept))
        self._defined = defined
        if defined:
            segment.defined_at = self.ticket
        return tuple(
            Refused(each.queue, each.sequence)
            for each in messages
            if key_of(each.queue, each.sequence) not in moved
        )

    # --- the reserve

    @property
    def spares(self) -> int:
        """Bytes of the reserve that are not there: room that nobody else may take."""
        return self._settings.reserve_size - self._reserve

    def take_reserve(self) -> ReservePiece | None:
        """The next piece of the reserve, if one is to be made and could be now."""
        if self._under_way or self.is_full or self.failed or not self.spares:
            return None
        return ReservePiece(self._reserve, self._settings.reserve_size)

    def on_reserved(self, piece: ReservePiece, error: OSError | None) -> None:
        """`piece.run` has returned, or raised `error`: then the journal is dead."""
        self._reserve = piece.end if piece.is_done else 0
        self.failed = error

    # --- moving

    def take_move(self) -> Move | None:
        """What should be read from an old segment, if anything should.

        None while another move is on its way, and on a disk that is full or broken.
        """
        segment = self._space.movable()
        if self._is_moving or self.is_full or self.failed or segment is None:
            return None
        if segment.last_lsn > self.committed:
            return None  # it is not written yet
        self._is_moving = True
        return Move(segment, self._seed)

    def on_moved(self, move: Move, error: Exception | None) -> None:
        """`move.run` has returned, or raised `error`: the segment is left alone."""
        self._is_moving = False
        segment = self._space.segments.get(move.number)
        if segment is None or segment.revision != move.revision or self.is_full:
            return
        if error is not None or not (move.found or move.end or segment.cursor):
            segment.is_damaged = True
            return
        gone = frozenset(segment.gone[move.known :])
        last: Message | None = None
        for offset, message in move.found:
            if offset not in gone:
                copy = last is not None and last[4:] == message[4:]
                self._move(segment, offset, message, copy=copy)
                last = message
        segment.cursor = move.end
