"""Splicing fields into the headers of a content header, as bytes.

A record gets another offset each time it is delivered, and nothing else of its header
changes: so what stands before and behind the offset is made once a header, and no table
is decoded. The plain twin is to decode the header, add the fields, and encode it.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from warren.errors import AMQPError
from warren.wire.properties import (
    FLAG_CONTENT_ENCODING,
    FLAG_CONTENT_TYPE,
    FLAG_HEADERS,
    FLAGS_OFFSET,
    PROPERTIES_OFFSET,
)
from warren.wire.table import LongInt, encode_table, without_fields
from warren_broker.core.stream.cursor import DELIVERY_COUNT, GAP, SNAPSHOT
from warren_broker.core.stream.subscription import PARTITION

if TYPE_CHECKING:
    from collections.abc import Mapping

_FLAGS: Final = Struct(">H")
_SIZE: Final = Struct(">I")

OFFSET: Final = Struct(">q")
"""What comes between the two parts: a field value of 64 bits."""
_NAME: Final = b"x-stream-offset"
_OFFSET_FIELD: Final = bytes((len(_NAME),)) + _NAME + b"l"
_OWN: Final = frozenset({_NAME.decode(), GAP, SNAPSHOT, DELIVERY_COUNT, PARTITION})
_RAW_OWN: Final = tuple(name.encode() for name in _OWN)


def encode_fields(marks: Mapping[str, object]) -> bytes:
    """Return `marks` as the fields of a table; whole numbers have 64 bits."""
    wide = {
        name: LongInt(value) if type(value) is int else value
        for name, value in marks.items()
    }
    return encode_table(wide)[_SIZE.size :]  # type: ignore[arg-type]


def splice(payload: bytes, fields: bytes) -> tuple[bytes, bytes]:
    """Return a content header with `fields` and `x-stream-offset`, in two parts.

    Between them goes the offset. What the broker tells of a delivery is told by nobody
    else: fields of these names are left out, be they the publisher's own or those of a
    delivery that was published again.
    """
    (flags,) = _FLAGS.unpack_from(payload, FLAGS_OFFSET)
    start = PROPERTIES_OFFSET
    if flags & FLAG_CONTENT_TYPE:
        start += 1 + payload[start]
    if flags & FLAG_CONTENT_ENCODING:
        start += 1 + payload[start]
    stop, table = start, b""
    if flags & FLAG_HEADERS:
        stop = start + _SIZE.size + _SIZE.unpack_from(payload, start)[0]
        table = _without_own(payload[start + _SIZE.size : stop])
    size = len(table) + len(fields) + len(_OFFSET_FIELD) + OFFSET.size
    before = b"".join(
        (
            payload[:FLAGS_OFFSET],
            _FLAGS.pack(flags | FLAG_HEADERS),
            payload[PROPERTIES_OFFSET:start],
            _SIZE.pack(size),
            table,
            fields,
            _OFFSET_FIELD,
        )
    )
    return before, payload[stop:]


def _without_own(table: bytes) -> bytes:
    """Return the fields of a table without those that the broker adds."""
    if not any(name in table for name in _RAW_OWN):
        return table
    try:
        return without_fields(table, _OWN)
    except AMQPError:  # nobody can read it, and no peer has to
        return table
