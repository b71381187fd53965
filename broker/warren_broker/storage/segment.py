"""Segments: the files a journal consists of, and how they are read.

A segment is its header and then record after record. The last record of all but the
newest is a SEAL. A segment is read through a window, so that memory is bounded by the
largest record and not by the file.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final, NamedTuple, final
from zlib import crc32

from warren_broker.storage import record as records
from warren_broker.storage.disk import JOURNAL, read_carefully

if TYPE_CHECKING:
    from warren_broker.storage.disk import Disk
    from warren_broker.storage.record import RecordHeader

MAGIC: Final = b"WARRENJ\0"
VERSION: Final = 1

# magic, version, nothing, epoch, store, number, base lsn, checksum before, nothing
_HEADER: Final = struct.Struct(">8sHHI16sQQI8x")
_CRC: Final = struct.Struct(">I")
HEADER_SIZE: Final = _HEADER.size + _CRC.size

_NAME: Final = re.compile(rf"{JOURNAL}/(\d{{8,}})\.log")
_BLOCK: Final = 1 << 22  # bytes of a segment held at a time, unless a record is larger


class SegmentHeader(NamedTuple):
    """The first 64 bytes of a segment, decoded."""

    number: int  # from 1, without gaps
    base_lsn: int  # number of its first record
    epoch: int  # start of the broker that made it
    store_id: bytes  # 16 bytes
    previous_crc: int  # of number and epoch of the last record before it


def name_of(number: int) -> str:
    """The file that holds a segment."""
    return f"{JOURNAL}/{number:08}.log"


def number_of(name: str) -> int | None:
    """The number of the segment in a file, None if it is no segment."""
    match = _NAME.fullmatch(name)
    if match is None or name_of(int(match[1])) != name:
        return None
    return int(match[1])


def encode_header(header: SegmentHeader) -> bytes:
    """Return the 64 bytes a segment begins with."""
    number, base_lsn, epoch, store_id, previous = header
    data = _HEADER.pack(MAGIC, VERSION, 0, epoch, store_id, number, base_lsn, previous)
    return data + _CRC.pack(crc32(data))


def decode_header(data: bytes) -> SegmentHeader | None:
    """Return the header; None if it is short, damaged or of another version."""
    if len(data) < HEADER_SIZE:
        return None
    if _CRC.unpack_from(data, _HEADER.size)[0] != crc32(data[: _HEADER.size]):
        return None
    magic, version, _, epoch, store_id, number, base, previous = _HEADER.unpack_from(
        data
    )
    if magic != MAGIC or version != VERSION:
        return None
    return SegmentHeader(number, base, epoch, store_id, previous)


class Found(NamedTuple):
    """A record whose checksums are right."""

    offset: int  # of its first byte in the segment
    header: RecordHeader
    body: bytes

    @property
    def end(self) -> int:
        """Where the next record begins."""
        return self.offset + self.header.whole_size

    @property
    def first_lsn(self) -> int:
        """The first record it stands for: its own number, but for LOST."""
        if self.header.kind == records.LOST:
            return records.decode_lost(self.body)[0]
        return self.header.lsn


@final
class SegmentReader:
    """Reads the records of one segment. All methods may raise `OSError`."""

    __slots__ = ("_block", "_block_offset", "_disk", "_seed", "name", "size")

    def __init__(self, disk: Disk, name: str, seed: int) -> None:
        self.name = name
        self.size = disk.size(name)
        self._disk = disk
        self._seed = seed
        self._block = b""
        self._block_offset = 0

    def header(self) -> SegmentHeader | None:
        """The segment's own header, if it is whole."""
        return decode_header(self.take(0, HEADER_SIZE))

    def record_at(self, offset: int) -> Found | None:
        """The record at `offset`; None unless it is whole."""
        head = self.take(offset, records.HEADER_SIZE)
        header = records.decode_header(head, 0, self._seed)
        if header is None or offset + header.whole_size > self.size:
            return None
        start = offset + records.HEADER_SIZE
        body = self.take(start, header.size)
        crc = self.take(start + header.size, _CRC.size)
        if not records.is_body_whole(header, body, crc, self._seed):
            return None
        return Found(offset, header, body)

    def find(self, offset: int) -> Found | None:
        """The first whole record at or after `offset`, however it is aligned."""
        keep = len(records.MAGIC_BYTES) - 1
        while offset < self.size:
            block = self.take(offset, _BLOCK)
            at = block.find(records.MAGIC_BYTES)
            while at >= 0:
                found = self.record_at(offset + at)
                if found is not None:
                    return found
                at = block.find(records.MAGIC_BYTES, at + 1)
            offset += max(1, len(block) - keep)
        return None

    def is_blank(self) -> bool:
        """Whether there is no byte but zero from beginning to end."""
        offset = 0
        while block := self.take(offset, _BLOCK):
            if block.count(0) != len(block):
                return False
            offset += len(block)
        return True

    def take(self, offset: int, size: int) -> bytes:
        """Bytes of the file, fewer at its end."""
        start = offset - self._block_offset
        if start < 0 or start + size > len(self._block):
            wanted = max(size, _BLOCK)
            self._block = read_carefully(self._disk, self.name, offset, wanted)
            self._block_offset = offset
            start = 0
        return self._block[start : start + size]
