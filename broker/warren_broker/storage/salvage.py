"""Salvage: a segment is written again with what is whole in it.

Nothing that cannot be read is deleted: the segment as it was is copied to quarantine
before. The new file takes the old one's name only when it is safe, so a crash at any
moment leaves the one or the other, and the same is done again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from zlib import crc32

from warren_broker.storage import record as records
from warren_broker.storage import segment as segments
from warren_broker.storage.disk import JOURNAL, QUARANTINE, read_carefully
from warren_broker.storage.record import RecordHeader
from warren_broker.storage.segment import SegmentHeader, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warren_broker.storage.disk import Disk
    from warren_broker.storage.walk import Piece, SegmentWalk

TEMPORARY: Final = f"{JOURNAL}/rewritten.tmp"
COPYING: Final = f"{QUARANTINE}/copying.tmp"

_BLOCK: Final = 1 << 20


def rewrite(
    disk: Disk, number: int, walk: SegmentWalk, store_id: bytes, epoch: int
) -> int:
    """Write a segment again with what `walk` could use, sealed; return its size.

    Where records are lost a record says so. A segment that others follow is sealed
    with the last number it had. Raises `OSError`.
    """
    name, seed = name_of(number), records.seed_of(store_id)
    pieces, sealed_at, seal_epoch = list(walk.pieces), walk.expected_lsn, epoch
    first, first_epoch = pieces[0].first_lsn, walk.first_epoch or epoch
    if walk.is_followed and not walk.is_sealed:
        sealed_at, seal_epoch = sealed_at - 1, walk.epoch or first_epoch
        pieces[-1] = pieces[-1]._replace(last_lsn=sealed_at - 1)
    header = SegmentHeader(number, first, first_epoch, store_id, walk.previous_crc)
    disk.remove(TEMPORARY)
    disk.append(TEMPORARY, [segments.encode_header(header)])
    for piece in pieces:
        # Epochs never fall within a segment, so a gap has that of its surroundings.
        lost_epoch = piece.epoch or first_epoch
        for data in _bytes_of(disk, name, piece, lost_epoch, seed):
            disk.append(TEMPORARY, [data])
    if not walk.is_sealed:
        disk.append(TEMPORARY, [_seal(sealed_at, seal_epoch, store_id)])
    return _take_name(disk, name)


def rewrite_in_place(
    disk: Disk, number: int, walk: SegmentWalk, store_id: bytes, epoch: int
) -> int:
    """The same for the last segment, undamaged, where there is no room for two of it.

    The same bytes come to the same place, so it does not matter where that ends; only
    when they are safe it is sealed. It may have its name of a start that was killed.
    """
    name, offset = name_of(number), 0
    disk.remove(TEMPORARY)
    for data in _blocks(disk, name, 0, walk.end):
        disk.write(name, offset, [data])
        offset += len(data)
    disk.truncate(name, offset)
    disk.sync(name)
    if not walk.is_sealed:
        disk.append(name, [_seal(walk.expected_lsn, epoch, store_id)])
        disk.sync(name)
    disk.sync_directory(JOURNAL)
    return disk.size(name)


def _seal(lsn: int, epoch: int, store_id: bytes) -> bytes:
    header = RecordHeader(records.SEAL, 0, lsn, epoch, 0)
    return records.encode_record(header, b"", records.seed_of(store_id))


def write_lost(disk: Disk, header: SegmentHeader, last_lsn: int) -> int:
    """Write a segment that stands for records that are lost; return its size.

    They are those from the header's `base_lsn` on. The last number goes to its SEAL.
    Raises `OSError`.
    """
    seed, first, epoch = records.seed_of(header.store_id), header.base_lsn, header.epoch
    chunks = [segments.encode_header(header)]
    if first < last_lsn:
        chunks.append(records.encode_lost(first, last_lsn - 1, epoch, seed))
    disk.remove(TEMPORARY)
    disk.append(TEMPORARY, [*chunks, _seal(last_lsn, epoch, header.store_id)])
    return _take_name(disk, name_of(header.number))


def _bytes_of(
    disk: Disk, name: str, piece: Piece, epoch: int, seed: int
) -> Iterator[bytes]:
    if not piece.is_gap:
        yield from _blocks(disk, name, piece.offset, piece.end)
    elif piece.first_lsn <= piece.last_lsn:
        yield records.encode_lost(piece.first_lsn, piece.last_lsn, epoch, seed)


def _take_name(disk: Disk, name: str) -> int:
    """Let what was written take its place, when it is safe; return its size."""
    disk.sync(TEMPORARY)
    disk.rename(TEMPORARY, name)
    disk.sync_directory(JOURNAL)
    return disk.size(name)


def _blocks(disk: Disk, name: str, offset: int, end: int) -> Iterator[bytes]:
    while offset < end:
        data = read_carefully(disk, name, offset, min(_BLOCK, end - offset))
        if not data:
            return
        yield data
        offset += len(data)


def set_aside_copy(disk: Disk, name: str) -> str:
    """Copy a file to quarantine, unless it is there already; return the new name."""
    size = disk.size(name)
    checksum = _checksum(disk, name, size)
    names = disk.names()
    for taken in names:
        is_like = taken.startswith(_quarantine_name(name)) and disk.size(taken) == size
        if is_like and _checksum(disk, taken, size) == checksum:
            return taken
    target = _free_name(names, name)
    disk.remove(COPYING)
    disk.append(COPYING, [])
    for data in _blocks(disk, name, 0, size):
        disk.append(COPYING, [data])
    disk.sync(COPYING)
    disk.rename(COPYING, target)
    disk.sync_directory(QUARANTINE)
    return target


def set_aside(disk: Disk, name: str) -> str:
    """Move a file to quarantine; return the new name."""
    target = _free_name(disk.names(), name)
    disk.rename(name, target)
    disk.sync_directory(QUARANTINE)
    disk.sync_directory(name.rpartition("/")[0])
    return target


def _checksum(disk: Disk, name: str, size: int) -> int:
    crc = 0
    for data in _blocks(disk, name, 0, size):
        crc = crc32(data, crc)
    return crc


def _quarantine_name(name: str) -> str:
    return f"{QUARANTINE}/{name.replace('/', '.')}"


def _free_name(names: list[str], name: str) -> str:
    target, count = _quarantine_name(name), 0
    while target in names:
        count += 1
        target = f"{_quarantine_name(name)}.{count}"
    return target
