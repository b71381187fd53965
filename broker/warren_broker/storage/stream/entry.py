"""Entries: one record as bytes, without its offset and time, which its chunk tells.

    size (4) mark (1) filter (1) route (2) header (4) | filter | route | header | body

`size` is that of all behind it, below 2 GiB; filter, route and header are the sizes of
the parts. They are opaque here, but that a record without a body is a tombstone. The
highest bit of the mark tells that there is a filter value, which may be empty.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK: Final = 1  # content headers and routes are those of AMQP 0-9-1
FILTERED: Final = MARK | 0x80
HEAD: Final = struct.Struct(">IBBHI")
DELTA: Final = struct.Struct(">I")  # before each entry of a compacted chunk
SIZE_SIZE: Final = 4
OVERHEAD: Final = HEAD.size - SIZE_SIZE


class Entry(NamedTuple):
    """The parts of a record."""

    filter: bytes | None
    route: bytes
    header: bytes
    body: bytes


def decode(data: bytes, offset: int = 0) -> Entry:
    """Return the parts of the entry at `offset`. Raises ValueError for another mark."""
    size, mark, a, b, c = HEAD.unpack_from(data, offset)
    if mark not in (MARK, FILTERED):
        raise ValueError(f"a record of the unknown format {mark}")
    start = offset + HEAD.size
    end = offset + SIZE_SIZE + size
    route, header = start + a, start + a + b
    return Entry(
        data[start:route] if mark == FILTERED else None,
        data[route:header],
        data[header : header + c],
        data[header + c : end],
    )


def spans(data: bytes, *, has_deltas: bool) -> Iterator[tuple[int, int, int]]:
    """Yield how far each entry is from the first offset, where it begins and ends."""
    position = count = 0
    while position < len(data):
        if has_deltas:
            (count,) = DELTA.unpack_from(data, position)
            position += DELTA.size
        end = position + SIZE_SIZE + DELTA.unpack_from(data, position)[0]
        yield count, position, end
        position = end
        count += 1


def is_tombstone(data: bytes, offset: int) -> bool:
    """Whether the entry at `offset` has no body."""
    size, _, a, b, c = HEAD.unpack_from(data, offset)
    return bool(size == OVERHEAD + a + b + c)
