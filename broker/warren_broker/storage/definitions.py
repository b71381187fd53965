"""The snapshot of all definitions: what need not be read from old segments.

The bytes inside are CBOR and opaque here. A snapshot says exactly for how much of the
journal it stands: all records before `lsn`, and the first `defined` definitions of that
one. It is written beside the old one and then takes its name.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from warren_broker.storage.disk import read_carefully

if TYPE_CHECKING:
    from warren_broker.storage.disk import Disk

NAME: Final = "definitions.cbor"
TEMPORARY: Final = "definitions.tmp"
MAGIC: Final = b"WARRENDF"
VERSION: Final = 1

# magic, version, nothing, defined, lsn, size
_HEADER: Final = struct.Struct(">8sHHIQQ")
_CRC: Final = struct.Struct(">I")
HEADER_SIZE: Final = _HEADER.size


class Snapshot(NamedTuple):
    """All definitions as they were at one moment."""

    lsn: int
    defined: int
    cbor: bytes


def encode(snapshot: Snapshot) -> bytes:
    """Return the bytes of the file."""
    lsn, defined, cbor = snapshot
    data = _HEADER.pack(MAGIC, VERSION, 0, defined, lsn, len(cbor)) + cbor
    return data + _CRC.pack(crc32(data))


def decode(data: bytes) -> Snapshot | None:
    """Return the snapshot; None if it is short, damaged or of another version."""
    end = len(data) - _CRC.size
    if end < _HEADER.size or _CRC.unpack_from(data, end)[0] != crc32(data[:end]):
        return None
    magic, version, _, defined, lsn, size = _HEADER.unpack_from(data)
    if magic != MAGIC or version != VERSION or size != end - _HEADER.size:
        return None
    return Snapshot(lsn, defined, data[_HEADER.size : end])


def read(disk: Disk) -> Snapshot | None:
    """The snapshot there is, None if it is damaged."""
    return decode(read_carefully(disk, NAME, 0, disk.size(NAME)))


def write(disk: Disk, snapshot: Snapshot) -> None:
    """Write a snapshot so that at any moment the old or the new one is whole."""
    disk.remove(TEMPORARY)
    disk.append(TEMPORARY, [encode(snapshot)])
    disk.sync(TEMPORARY)
    disk.rename(TEMPORARY, NAME)
    disk.sync_directory("")
