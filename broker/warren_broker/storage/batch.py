"""A batch: what is to be done to the disk, as plain bytes and file names.

It is made in a turn and run in another thread, once. The order is the promise: the
record is written and synced before the snapshot that is newer, the snapshot before
the superblock that names it, the superblock before the segments go that it gives up.
"""

from __future__ import annotations

import errno
import os
from functools import partial
from typing import TYPE_CHECKING, Final, final
from zlib import crc32

from warren_broker.storage import definitions, reserve, superblock
from warren_broker.storage.disk import JOURNAL, is_full
from warren_broker.storage.record import (
    RecordHeader,
    encode_crc,
    encode_header,
    place_crc,
)
from warren_broker.storage.runway import write_runway

if TYPE_CHECKING:
    from collections.abc import Callable

    from warren_broker.storage.collector import Moved
    from warren_broker.storage.definitions import Snapshot
    from warren_broker.storage.disk import Disk
    from warren_broker.storage.superblock import Superblock

_JOIN_MAX: Final = 1 << 14  # mean size of chunks, in bytes, below which they are joined


@final
class Batch:
    """One group commit. Filled by the journal; `run` is called in another thread."""

    __slots__ = (
        "added_before",
        "before",
        "behind",
        "boundary",
        "brings",
        "chunks",
        "cuts",
        "end",
        "first_lsn",
        "header",
        "is_undone",
        "is_upkeep_done",
        "lsn",
        "makes_file",
        "moves",
        "name",
        "position",
        "releases_reserve",
        "removals",
        "runway_size",
        "seed",
        "snapshot",
        "spares",
        "superblock",
        "syncs",
        "syncs_directory",
    )

    def __init__(self, name: str, boundary: int, lsn: int, seed: int) -> None:
        self.name = name  # of the segment
        self.boundary = boundary  # where this batch begins in it
        self.end = boundary  # and ends
        self.lsn = lsn  # of the last record in it, or written before it
        self.first_lsn = lsn + 1
        self.added_before = 0  # messages in the segment before this batch
        self.brings = 0  # messages and copies that are new
        self.spares = 0  # bytes of room that are not for them
        self.moves: list[Moved] = []  # what it writes again
        self.position = 0  # where it begins, with the number of the segment
        self.seed = seed
        self.makes_file = False
        self.before: list[bytes] = []  # encoded already
        self.header: RecordHeader | None = None  # the record: this and
        self.chunks: list[bytes] = []
        self.behind: list[bytes] = []  # encoded already
        self.runway_size = 0  # zeros to be written behind all that
        self.cuts = False  # the file is longer than it will have to be
        self.syncs = False
        self.syncs_directory = False
        self.snapshot: Snapshot | None = None
        self.superblock: Superblock | None = None
        self.removals: list[str] = []
        self.releases_reserve = False
        # How it went, for the journal alone.
        self.is_undone = False
        self.is_upkeep_done = False

    @property
    def is_sealed(self) -> bool:
        """Whether a seal is behind it, and nothing else in this segment."""
        return bool(self.behind)

    def run(self, disk: Disk) -> None:
        """Do it all. Raises `OSError`: `is_undone` then tells that nothing was done."""
        if self.releases_reserve:
            disk.remove(reserve.NAME)
        if self.header is not None:
            self._write(disk, self.header)
        if self.syncs:
            self._sync(disk)
        try:
            self._keep_up(disk)
        except OSError as error:
            # All that was to be written is safe; the rest can be done another time.
            if not is_full(error):
                raise

    def _write(self, disk: Disk, header: RecordHeader) -> None:
        if self.brings and self.spares > 0:
            self._spare_room(disk, header.size)
        chunks = [*self.before, encode_header(header, self.seed)]
        chunks += compose_body(header, self.chunks, self.seed)
        try:
            disk.write(self.name, self.boundary, chunks + self.behind)
        except OSError as error:
            if is_full(error):
                self._undo(disk)
            raise
        write_runway(disk, self.name, self)

    def _spare_room(self, disk: Disk, size: int) -> None:
        """Leave room for the reserve, or acks would find none: no segment would go."""
        if disk.free_bytes() < self.spares + size:
            self.is_undone = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.name)

    def _undo(self, disk: Disk) -> None:
        """Leave the file as it was, for another try.

        Safely so: the whole record may be there, and its messages are to be refused.
        """
        if self.makes_file:
            disk.remove(self.name)
            disk.sync_directory(JOURNAL)
        else:
            disk.truncate(self.name, self.boundary)
            disk.sync(self.name)
        self.is_undone = True

    def _sync(self, disk: Disk) -> None:
        disk.sync(self.name)
        if self.syncs_directory:
            disk.sync_directory(JOURNAL)

    def _keep_up(self, disk: Disk) -> None:
        if self.snapshot is not None:
            self.with_room(disk, partial(_write_snapshot, disk, self.snapshot))
        if self.superblock is not None:
            superblock.write(disk, self.superblock)
        if self.removals:
            for name in self.removals:
                disk.remove(name)
            disk.sync_directory(JOURNAL)
        self.is_upkeep_done = True

    def with_room(self, disk: Disk, action: Callable[[], None]) -> None:
        """Do what goes with the record, on a full disk without the reserve.

        The record itself may have found room in a file that is there. Raises `OSError`.
        """
        try:
            action()
        except OSError as error:
            if not is_full(error):
                raise
            disk.remove(reserve.NAME)
            self.releases_reserve = True
            action()


def _write_snapshot(disk: Disk, snapshot: Snapshot) -> None:
    """It lets segments go."""
    try:
        definitions.write(disk, snapshot)
    except OSError:
        disk.remove(definitions.TEMPORARY)
        raise


def compose_body(header: RecordHeader, chunks: list[bytes], seed: int) -> list[bytes]:
    """Return body and checksum; many small chunks as one, large ones uncopied."""
    crc = place_crc(header.lsn, header.epoch, seed)
    if header.size <= _JOIN_MAX * len(chunks):
        chunks = [b"".join(chunks)]
    for chunk in chunks:
        crc = crc32(chunk, crc)
    return [*chunks, encode_crc(crc)]
