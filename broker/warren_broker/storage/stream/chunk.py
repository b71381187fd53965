"""Chunks: what a segment consists of, records that became safe together.

The first 45 bytes are those of RabbitMQ's stream protocol. Nobody outside knows the
*seed* of a segment, from which the checksums of header and trailer begin; so a message
that contains the bytes of a chunk is never taken for one. The header's checksum keeps a
wrong size from being believed; the trailer's covers the header as well, and with it the
place of the chunk and the checksum of its data.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple, final
from zlib import crc32

import cbor2

if TYPE_CHECKING:
    from collections.abc import Mapping

MAGIC: Final = 0x50
RECORDS: Final = 0
TRACKING: Final = 2  # the data is CBOR: all producers, by id their last numbers
COMPACTED: Final = 0x80  # some of the records it had; each with its place
KINDS: Final = frozenset({RECORDS, TRACKING, COMPACTED})

# magic, kind, entries, records, timestamp, epoch, first offset, checksum of the data,
# size of the data, size of the trailer, size of a filter (none)
_HEADER: Final = struct.Struct(">BBHIqQQIIIB")
_CHECK_SIZE: Final = 3
_SAFE: Final = struct.Struct(">Q")
_CRC: Final = struct.Struct(">I")
HEADER_SIZE: Final = _HEADER.size + _CHECK_SIZE
TRAILER_SIZE: Final = _SAFE.size + _CRC.size  # without producers
ENTRIES_MAX: Final = 0xFFFF

_JOIN_MAX: Final = 1 << 14  # mean size of pieces, in bytes, below which they are joined


class ChunkHeader(NamedTuple):
    """The first 48 bytes of a chunk, decoded."""

    kind: int
    records: int
    timestamp_ms: int  # of all its records
    epoch: int  # start of the broker that wrote it
    first: int  # offset
    crc: int  # of the data
    size: int  # of the data, bytes
    trailer_size: int

    @property
    def whole_size(self) -> int:
        """Bytes from the header's first to the trailer's last."""
        return HEADER_SIZE + self.size + self.trailer_size


class Chunk(NamedTuple):
    """A chunk whose checksums are right."""

    header: ChunkHeader
    data: bytes
    safe: int  # all records before this offset were safe when it was composed
    producers: bytes  # CBOR of those in it, by id their last numbers; empty: none

    @property
    def end(self) -> int:
        """The offset after the last one it tells about."""
        # What is compacted was safe as a whole.
        is_compacted = self.header.kind == COMPACTED
        return self.safe if is_compacted else self.header.first + self.header.records


@final
class Draft:
    """A chunk that is being collected. Its data is never copied here."""

    __slots__ = ("count", "kind", "pieces", "producers", "size", "timestamp_ms")

    def __init__(self, timestamp_ms: int, kind: int = RECORDS) -> None:
        self.kind: int = kind
        self.timestamp_ms: int = timestamp_ms
        self.count: int = 0  # records
        self.size: int = 0  # bytes of data
        self.pieces: list[bytes] = []
        self.producers: dict[str, int] = {}  # that have a record in it


def seed_of(store_id: bytes, number: int, first: int) -> int:
    """Where the checksums in the segment of a stream begin."""
    return crc32(struct.pack(">QQ", number, first), crc32(store_id))


def encode_header(header: ChunkHeader, seed: int) -> bytes:
    """Return the 48 bytes before the data."""
    kind, records, *rest = header
    entries = 0 if kind == TRACKING else records
    data = _HEADER.pack(MAGIC, kind, entries, records, *rest, 0)
    return data + crc32(data, seed).to_bytes(4, "big")[1:]


def decode_header(data: bytes, offset: int, seed: int) -> ChunkHeader | None:
    """Return the header at `offset`; None if there is none, or not a whole one."""
    end = offset + _HEADER.size
    if len(data) < end + _CHECK_SIZE or data[offset] != MAGIC:
        return None
    check = crc32(data[offset:end], seed).to_bytes(4, "big")[1:]
    if data[end : end + _CHECK_SIZE] != check:
        return None
    _, kind, _, *fields, _ = _HEADER.unpack_from(data, offset)
    return ChunkHeader(kind, *fields) if kind in KINDS else None


def decode(data: bytes, offset: int, header: ChunkHeader, seed: int) -> Chunk | None:
    """Return the whole chunk at `offset`, None if it is damaged."""
    start = offset + HEADER_SIZE
    trailer, end = start + header.size, offset + header.whole_size
    if header.trailer_size < TRAILER_SIZE or len(data) < end:
        return None
    body = data[start:trailer]
    crc = crc32(data[trailer : end - _CRC.size], crc32(data[offset:start], seed))
    if crc32(body) != header.crc or _CRC.unpack_from(data, end - _CRC.size)[0] != crc:
        return None
    (safe,) = _SAFE.unpack_from(data, trailer)
    producers = data[trailer + _SAFE.size : end - _CRC.size]
    return Chunk(header, body, safe, producers)


def compose(draft: Draft, first: int, safe: int, epoch: int, seed: int) -> list[bytes]:
    """Return all bytes of a chunk; many small pieces as one, large ones uncopied."""
    pieces = draft.pieces
    if draft.size <= _JOIN_MAX * len(pieces):
        pieces = [b"".join(pieces)]
    crc = 0
    for piece in pieces:
        crc = crc32(piece, crc)
    tail = _SAFE.pack(safe) + encode_producers(draft.producers)
    header = encode_header(
        ChunkHeader(
            kind=draft.kind,
            records=draft.count,
            timestamp_ms=draft.timestamp_ms,
            epoch=epoch,
            first=first,
            crc=crc,
            size=draft.size,
            trailer_size=len(tail) + _CRC.size,
        ),
        seed,
    )
    tail += _CRC.pack(crc32(tail, crc32(header, seed)))
    return [header, *pieces, tail]


def size_of(draft: Draft) -> int:
    """How many bytes `compose` will return."""
    return (
        HEADER_SIZE + draft.size + TRAILER_SIZE + len(encode_producers(draft.producers))
    )


def tracking(producers: Mapping[str, int], timestamp_ms: int) -> Draft:
    """A chunk that tells the last numbers of `producers`, the most recent one last."""
    draft = Draft(timestamp_ms, TRACKING)
    draft.pieces = [encode_producers(producers)]
    draft.size = len(draft.pieces[0])
    return draft


def encode_producers(producers: Mapping[str, int]) -> bytes:
    """Return CBOR, in the order given; nothing if there are none."""
    return cbor2.dumps(dict(producers)) if producers else b""


def decode_producers(cbor: bytes) -> dict[str, int]:
    """Return what `encode_producers` was given."""
    producers: dict[str, int] = cbor2.loads(cbor) if cbor else {}
    return producers
