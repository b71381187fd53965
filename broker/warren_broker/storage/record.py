"""Records: what the journal is made of, one for each group commit.

A record holds everything that happened between two writes, so that nothing that
happened together is ever torn apart. See docs/FORMAT.md for the bytes.

Each checksum starts from the *seed* of the store, which nobody outside knows. So a
message that contains the bytes of a record is never taken for one, nor is a record of
another store. The checksum of the header keeps a wrong length from being believed;
the one of the body covers number and epoch, so that a whole record in a wrong place is
not believed either.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple
from zlib import crc32

MAGIC: Final = 0xC95A
VERSION: Final = 1

OPS: Final = 1  # the body is operations
SEAL: Final = 2  # the last one of a segment that is whole; empty
LOST: Final = 3  # what was between two records was damaged and has been set aside
KINDS: Final = frozenset({OPS, SEAL, LOST})

# magic, version, kind, size of the body, lsn, epoch, synced lsn; then their checksum
_HEADER: Final = struct.Struct(">HBBIQIQ")
_CRC: Final = struct.Struct(">I")
_PLACE: Final = struct.Struct(">QI")  # lsn and epoch, as the body's checksum has them
_RANGE: Final = struct.Struct(">QQ")

HEADER_SIZE: Final = _HEADER.size + _CRC.size
OVERHEAD: Final = HEADER_SIZE + _CRC.size
MAGIC_BYTES: Final = struct.pack(">HB", MAGIC, VERSION)
BODY_SIZE_MAX: Final = 0xFFFF_FFFF


class RecordHeader(NamedTuple):
    """The first 32 bytes of a record, decoded."""

    kind: int
    size: int  # of the body, bytes
    lsn: int  # number of the record in this store, from 1, without gaps
    epoch: int  # start of the broker that wrote it
    synced: int  # all records up to this number were safe when it was composed

    @property
    def whole_size(self) -> int:
        """Bytes from the header's first to the checksum's last."""
        return OVERHEAD + self.size


def seed_of(store_id: bytes) -> int:
    """Where the checksums of a store begin."""
    return crc32(store_id)


def encode_header(header: RecordHeader, seed: int) -> bytes:
    """Return the 32 bytes before a body."""
    kind, size, lsn, epoch, synced = header
    data = _HEADER.pack(MAGIC, VERSION, kind, size, lsn, epoch, synced)
    return data + _CRC.pack(crc32(data, seed))


def decode_header(data: bytes, offset: int, seed: int) -> RecordHeader | None:
    """Return the header at `offset`; None if there is none, or not a whole one."""
    end = offset + _HEADER.size
    if len(data) < end + _CRC.size:
        return None
    magic, version, *fields = _HEADER.unpack_from(data, offset)
    if magic != MAGIC or version != VERSION or fields[0] not in KINDS:
        return None
    if _CRC.unpack_from(data, end)[0] != crc32(data[offset:end], seed):
        return None
    return RecordHeader(*fields)


def place_crc(lsn: int, epoch: int, seed: int) -> int:
    """Where the checksum of a body begins."""
    return crc32(_PLACE.pack(lsn, epoch), seed)


def body_crc(header: RecordHeader, body: bytes, seed: int) -> int:
    """The checksum that belongs behind `body`."""
    return crc32(body, place_crc(header.lsn, header.epoch, seed))


def is_body_whole(header: RecordHeader, body: bytes, crc: bytes, seed: int) -> bool:
    """Whether a body and the four bytes behind it are what was written."""
    if len(body) != header.size:
        return False
    return crc == encode_crc(body_crc(header, body, seed))


def encode_crc(crc: int) -> bytes:
    """The last four bytes of a record."""
    return _CRC.pack(crc)


def encode_record(header: RecordHeader, body: bytes, seed: int) -> bytes:
    """Return a whole record; `header.size` must be that of the body."""
    crc = encode_crc(body_crc(header, body, seed))
    return encode_header(header, seed) + body + crc


def encode_lost(first: int, last: int, epoch: int, seed: int) -> bytes:
    """Return the record that stands for the damaged ones from `first` to `last`."""
    body = _RANGE.pack(first, last)
    return encode_record(RecordHeader(LOST, len(body), last, epoch, last), body, seed)


def decode_lost(body: bytes) -> tuple[int, int]:
    """Return first and last number of the records that were lost."""
    first, last = _RANGE.unpack(body)
    return first, last
