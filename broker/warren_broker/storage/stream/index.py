"""Index: where in a segment which offset is, roughly.

Each entry is a statement about all that comes before a position, and is written when
that is safe: the offset that begins there, how many records are before it and when the
last of them was appended. The last entry of a segment that is complete is at its end.
An entry counts only if the segment confirms it: an index saves reading, and nothing
depends on it.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple, final
from zlib import crc32

from warren_broker.storage.disk import is_full
from warren_broker.storage.stream import segment as segments

if TYPE_CHECKING:
    from collections.abc import Iterable

    from warren_broker.storage.disk import Disk
    from warren_broker.storage.stream.segment import SegmentFile

STEP_BYTES: Final = 64 << 10
_STEPS_MIN: Final = 10  # entries are further apart in large segments: 1/1024 of them

# offset, position, records, tracking, timestamp
_ENTRY: Final = struct.Struct(">QQQQq")
_CRC: Final = struct.Struct(">I")
ENTRY_SIZE: Final = _ENTRY.size + _CRC.size


class IndexEntry(NamedTuple):
    """What is true of everything before a position."""

    offset: int  # of what begins there
    position: int
    records: int  # in the segment before it
    tracking: int  # position from which all producers can be known; 0: there are none
    timestamp_ms: int  # of the last record before it, in this segment or earlier


def seed_of(segment_seed: int, revision: int) -> int:
    """Where the checksums begin: an index of other bytes is none."""
    return crc32(struct.pack(">I", revision), segment_seed)


def encode(entry: IndexEntry, seed: int) -> bytes:
    """Return the 44 bytes of an entry."""
    data = _ENTRY.pack(*entry)
    return data + _CRC.pack(crc32(data, seed))


def decode(data: bytes, seed: int) -> list[IndexEntry]:
    """Return the entries up to the first one that is not whole or out of order."""
    entries: list[IndexEntry] = []
    last = IndexEntry(0, segments.HEADER_SIZE, 0, 0, 0)
    for start in range(0, len(data) - ENTRY_SIZE + 1, ENTRY_SIZE):
        middle = start + _ENTRY.size
        raw = data[start:middle]
        if _CRC.unpack_from(data, middle)[0] != crc32(raw, seed):
            break
        entry = IndexEntry._make(_ENTRY.unpack(raw))
        if entry.offset < last.offset or entry.position < last.position:
            break
        entries.append(entry)
        last = entry
    return entries


def write(disk: Disk, name: str, entries: Iterable[IndexEntry], seed: int) -> bool:
    """Make an index of these entries alone; return whether there was room for it.

    Where there was not there is none. Raises `OSError`.
    """
    disk.remove(name)
    try:
        disk.append(name, [encode(entry, seed) for entry in entries])
        disk.let_go(name)
    except OSError as error:
        if not is_full(error):
            raise
        disk.remove(name)
        return False
    return True


def is_due(entry_position: int, position: int) -> bool:
    """Whether there should be an entry at `position`, the last one being elsewhere."""
    return position - entry_position >= max(STEP_BYTES, position >> _STEPS_MIN)


def is_confirmed(entry: IndexEntry, file: SegmentFile) -> bool:
    """Whether the segment has what the entry says, where it says."""
    if entry.position == file.size:
        return True
    header = file.header_at(entry.position)
    return header is not None and header.first == entry.offset


@final
class Index:
    """The entries of one segment, in memory."""

    __slots__ = ("entries",)

    def __init__(self, entries: list[IndexEntry]) -> None:
        self.entries = entries

    def before_offset(self, offset: int) -> IndexEntry | None:
        """The last entry that is not behind `offset`."""
        at = bisect_right(self.entries, offset, key=lambda entry: entry.offset)
        return self.entries[at - 1] if at else None

    def before_time(self, timestamp_ms: int) -> IndexEntry | None:
        """The last entry before which all records are older."""
        at = bisect_left(self.entries, timestamp_ms, key=lambda each: each.timestamp_ms)
        return self.entries[at - 1] if at else None
