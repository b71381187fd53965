"""The superblock: what is known without reading the journal.

It is kept in two files that are written in turn, each in place: a write that is torn
leaves the other one whole. The one with the larger generation counts.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from warren.errors import WarrenError
from warren_broker.storage.disk import read_carefully

if TYPE_CHECKING:
    from warren_broker.storage.disk import Disk

MAGIC: Final = b"WARRENSB"
VERSION: Final = 1
SLOTS: Final = ("superblock.a", "superblock.b")
SIZE: Final = 512

CLEAN: Final = 1

# magic, version, flags, epoch, store, generation, durable lsn, first live segment,
# its first lsn, lsn of the definitions
_FIELDS: Final = struct.Struct(">8sHHI16sQQQQQ")
_CRC: Final = struct.Struct(">I")
_CRC_OFFSET: Final = SIZE - _CRC.size


class StoreVersionError(WarrenError):
    """The data directory was written by a version of another format."""


class Superblock(NamedTuple):
    """What one slot says."""

    store_id: bytes  # 16 bytes, given once
    epoch: int  # starts of the broker on this store
    generation: int  # writes of the superblock
    durable_lsn: int  # all records up to this one are safe
    first_live: int  # segments before this one are void, if they are still there
    first_lsn: int  # the record that one begins with
    definitions_lsn: int  # of the snapshot there is, 0: none; it may be newer
    is_clean: bool  # the broker stopped, and wrote nothing since


def encode(block: Superblock) -> bytes:
    """Return the 512 bytes of a slot."""
    store_id, epoch, generation, *numbers, is_clean = block
    flags = CLEAN if is_clean else 0
    fields = _FIELDS.pack(MAGIC, VERSION, flags, epoch, store_id, generation, *numbers)
    data = fields.ljust(_CRC_OFFSET, b"\0")
    return data + _CRC.pack(crc32(data))


def decode(data: bytes) -> Superblock | None:
    """Return what a slot says, None if it is short or damaged.

    Raises `StoreVersionError` for a whole slot of another format.
    """
    if len(data) < SIZE or not data.startswith(MAGIC):
        return None
    if _CRC.unpack_from(data, _CRC_OFFSET)[0] != crc32(data[:_CRC_OFFSET]):
        return None
    _, version, flags, epoch, store_id, *numbers = _FIELDS.unpack_from(data)
    generation, durable_lsn, first_live, first_lsn, definitions_lsn = numbers
    if version != VERSION:
        raise StoreVersionError(
            f"the data directory has format {version}, this broker has {VERSION}"
        )
    return Superblock(
        store_id=store_id,
        epoch=epoch,
        generation=generation,
        durable_lsn=durable_lsn,
        first_live=first_live,
        first_lsn=first_lsn,
        definitions_lsn=definitions_lsn,
        is_clean=bool(flags & CLEAN),
    )


def slot_of(block: Superblock) -> str:
    """The file a superblock is written to."""
    return SLOTS[block.generation % len(SLOTS)]


def read_slots(disk: Disk, names: frozenset[str]) -> list[Superblock | None]:
    """What the slots that exist say, None for each that is damaged."""
    there = [slot for slot in SLOTS if slot in names]
    return [decode(read_carefully(disk, slot, 0, SIZE)) for slot in there]


def write(disk: Disk, block: Superblock) -> None:
    """Write and sync a superblock over the older one."""
    disk.write(slot_of(block), 0, [encode(block)])
    disk.sync(slot_of(block))
