"""Segments: the files a stream consists of, and how they are read.

A segment is its header and then chunk after chunk. It is read through a window, so that
memory is bounded by the largest chunk and not by the file.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final, NamedTuple, final
from zlib import crc32

from warren_broker.storage.disk import STREAMS
from warren_broker.storage.stream import chunk as chunks

if TYPE_CHECKING:
    from warren_broker.storage.disk import OpenFile
    from warren_broker.storage.stream.chunk import Chunk, ChunkHeader

MAGIC: Final = b"WARRENST"
VERSION: Final = 1
SEGMENT: Final = ".segment"
INDEX: Final = ".index"
COMPACTING: Final = ".compacting"
NUMBER_MAX: Final = 0xFFFF_FFFF
OFFSET_MAX: Final = (1 << 63) - 1

# magic, version, nothing, epoch, store, stream, revision, first offset, nothing
_HEADER: Final = struct.Struct(">8sHHI16sIIQ12x")
_CRC: Final = struct.Struct(">I")
HEADER_SIZE: Final = _HEADER.size + _CRC.size

_NAME: Final = re.compile(rf"{STREAMS}/(\d+)-(\d{{20}})(\.[a-z]+)")
_BLOCK: Final = 1 << 18  # bytes held at a time, unless a chunk is larger
_STARTS: Final = re.compile(
    b"|".join(re.escape(bytes((chunks.MAGIC, kind))) for kind in sorted(chunks.KINDS))
)


class SegmentHeader(NamedTuple):
    """The first 64 bytes of a segment, decoded."""

    epoch: int  # start of the broker that made it
    store_id: bytes  # 16 bytes
    number: int  # of the stream
    revision: int  # how many times it was compacted
    first: int  # offset


class FileName(NamedTuple):
    """What the name of a file says."""

    number: int
    first: int
    suffix: str


def name_of(number: int, first: int, suffix: str = SEGMENT) -> str:
    """The file that holds a segment of a stream, or something beside it."""
    return f"{STREAMS}/{number}-{first:020}{suffix}"


def parse_name(name: str) -> FileName | None:
    """What a name says, None if it is not one of those `name_of` gives."""
    match = _NAME.fullmatch(name)
    if match is None or match[3] not in (SEGMENT, INDEX, COMPACTING):
        return None
    found = FileName(int(match[1]), int(match[2]), match[3])
    is_sane = 0 < found.number <= NUMBER_MAX and found.first <= OFFSET_MAX
    return found if is_sane and name_of(*found) == name else None


def encode_header(header: SegmentHeader) -> bytes:
    """Return the 64 bytes a segment begins with."""
    data = _HEADER.pack(MAGIC, VERSION, 0, *header)
    return data + _CRC.pack(crc32(data))


def decode_header(data: bytes) -> SegmentHeader | None:
    """Return the header; None if it is short, damaged or of another version."""
    if len(data) < HEADER_SIZE:
        return None
    if _CRC.unpack_from(data, _HEADER.size)[0] != crc32(data[: _HEADER.size]):
        return None
    magic, version, _, *fields = _HEADER.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        return None
    return SegmentHeader(*fields)


class Found(NamedTuple):
    """A whole chunk, and where it is."""

    position: int
    chunk: Chunk

    @property
    def end_position(self) -> int:
        """Where the next chunk begins."""
        return self.position + self.chunk.header.whole_size


@final
class SegmentFile:
    """Reads the chunks of one segment up to `size`. All methods may raise `OSError`."""

    __slots__ = ("_block", "_block_start", "_file", "seed", "size")

    def __init__(self, file: OpenFile, seed: int, size: int) -> None:
        self.seed = seed
        self.size = size
        self._file = file
        self._block = b""
        self._block_start = 0

    def header(self) -> SegmentHeader | None:
        """The segment's own header, if it is whole."""
        return decode_header(self._take(0, HEADER_SIZE))

    def header_at(self, position: int) -> ChunkHeader | None:
        """The header of the chunk at `position`; None unless all of it can be there."""
        offset = self._hold(position, chunks.HEADER_SIZE)
        header = chunks.decode_header(self._block, offset, self.seed)
        if header is None or position + header.whole_size > self.size:
            return None
        return header

    def chunk_at(self, position: int) -> Found | None:
        """The chunk at `position`; None unless it is whole."""
        header = self.header_at(position)
        if header is None:
            return None
        offset = self._hold(position, header.whole_size)
        chunk = chunks.decode(self._block, offset, header, self.seed)
        return None if chunk is None else Found(position, chunk)

    def end_of(self, position: int, header: ChunkHeader) -> int:
        """The offset behind a chunk, without a look at its data."""
        if header.kind != chunks.COMPACTED:
            return header.first + header.records
        trailer = position + chunks.HEADER_SIZE + header.size
        return int.from_bytes(self._take(trailer, 8), "big")

    def find(self, position: int, first: int) -> Found | None:
        """The next whole chunk at or after `position` whose offset is `first` or more.

        However it is aligned: what was damaged may have any size.
        """
        while position < self.size:
            offset = self._hold(position, chunks.HEADER_SIZE)
            block, start = self._block, position - offset
            for match in _STARTS.finditer(block, offset):
                header = chunks.decode_header(block, match.start(), self.seed)
                if header is not None and header.first >= first:
                    found = self.chunk_at(start + match.start())
                    if found is not None:
                        return found
            position = max(position + 1, start + len(block) - chunks.HEADER_SIZE + 1)
        return None

    def is_blank(self) -> bool:
        """Whether there is no byte but zero from beginning to end."""
        position = 0
        while block := self._take(position, _BLOCK):
            if block.count(0) != len(block):
                return False
            position += len(block)
        return True

    def bytes_at(self, position: int, size: int) -> bytes:
        """Bytes of the file, fewer at its end."""
        return self._take(position, size)

    def _take(self, position: int, size: int) -> bytes:
        offset = self._hold(position, size)
        return self._block[offset : offset + size]

    def _hold(self, position: int, size: int) -> int:
        """Have those bytes in the window; return where they begin in it."""
        offset = position - self._block_start
        if offset < 0 or offset + size > len(self._block):
            wanted = min(max(size, _BLOCK), max(0, self.size - position))
            self._block = _read(self._file, position, wanted) if wanted else b""
            self._block_start = position
            offset = 0
        return offset


def _read(file: OpenFile, position: int, size: int) -> bytes:
    """Read; once more if the first try fails. Raises `OSError`."""
    try:
        return file.read(position, size)
    except OSError:
        return file.read(position, size)
