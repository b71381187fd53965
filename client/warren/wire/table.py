"""Field tables: keys with values of many types, nested.

::

    table = size u32, fields         field = key shortstr, value
    array = size u32, values         value = tag, what the tag says

Types are those of RabbitMQ, which differ from the specification's (section 4.2.5.5) in
`s`, a 16-bit number here, and in `l` and `L`, both signed. All are decoded. Only those
that every client library reads alike are encoded: ``t I l d S T F A D V x``.

Peers decide how deep and how long a table is, so decoding is a loop with limits and not
a recursion. Whatever can be decoded can be encoded again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from struct import Struct
from struct import error as StructError
from typing import TYPE_CHECKING, Final, TypeAlias, final

from warren.errors import FrameError, SyntaxError_

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

FieldValue: TypeAlias = (
    "bool | int | float | str | bytes | Decimal | datetime"
    " | list[FieldValue] | dict[str, FieldValue] | None"
)
Table: TypeAlias = dict[str, FieldValue]

DEPTH_MAX: Final = 32
"""Tables and arrays within each other, the outermost counted."""

FIELDS_MAX: Final = 8192
"""Values in a table, those of the tables and arrays in it counted."""

KEY_SIZE_MAX: Final = 255
"""Bytes of a key."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_SECONDS_END: Final = 253_402_300_800  # the first second of the year 10000
_SIZE: Final = Struct(">I")
_DECIMAL: Final = Struct(">Bi")
_TIMESTAMP: Final = Struct(">Q")


@final
class ByteArray(bytes):
    """Bytes of type `x`; plain bytes travel as `S`, a long string."""

    __slots__ = ()


@final
class Timestamp(int):
    """Seconds since 1970 that a `datetime` cannot hold; encoded as `T`."""


@final
class LongInt(int):
    """A number that is encoded as `l`, 64 bits, however small it is."""


def decode_table(
    data: bytes, offset: int = 0, *, fields_max: int = FIELDS_MAX
) -> tuple[Table, int]:
    """Return the table at `offset` and the offset after it.

    The last of equal keys wins. Raises `FrameError` if a length reaches past its end or
    a key is not UTF-8, and `SyntaxError_` for an unknown type or too much depth or too
    many fields.
    """
    root: Table = {}
    container: Table | list[FieldValue] = root
    around: list[tuple[Table | list[FieldValue], int]] = []
    offset, end = _span(data, offset, len(data))
    fields = 0
    key = ""
    while True:
        if offset == end:
            if not around:
                return root, end
            container, end = around.pop()
            continue
        fields += 1
        if fields > fields_max:
            raise SyntaxError_(f"field table has more than {fields_max} fields")
        if isinstance(container, dict):
            key, offset = _read_key(data, offset, end)
        tag = data[offset]
        read = _READERS.get(tag)
        if read is None:
            raise SyntaxError_(f"unknown type {chr(tag)!a} in field table")
        value, offset = read(data, offset + 1, end)
        if isinstance(container, dict):
            container[key] = value
        else:
            container.append(value)
        if isinstance(value, dict | list):
            around.append((container, end))
            if len(around) >= DEPTH_MAX:
                raise SyntaxError_(f"field table is nested deeper than {DEPTH_MAX}")
            container = value
            end = offset + _SIZE.unpack_from(data, offset - _SIZE.size)[0]


def without_fields(fields: bytes, names: Container[str]) -> bytes:
    """Return the fields of a table, as they are, but for those with one of `names`.

    Raises what `decode_table` raises, for the outermost table.
    """
    kept: list[bytes] = []
    offset, end = 0, len(fields)
    while offset < end:
        key, start = _read_key(fields, offset, end)
        read = _READERS.get(fields[start])
        if read is None:
            raise SyntaxError_(f"unknown type {chr(fields[start])!a} in field table")
        value, stop = read(fields, start + 1, end)
        if isinstance(value, dict | list):
            stop = _span(fields, start + 1, end)[1]
        if key not in names:
            kept.append(fields[offset:stop])
        offset = stop
    return b"".join(kept)


def encode_table(table: Mapping[str, FieldValue]) -> bytes:
    """Return the table with its size before it.

    Raises ValueError for a number, key or depth that the format cannot hold, and
    TypeError for a value that is not a `FieldValue`.
    """
    return _encode_fields(table, 1)


def decode_timestamp(seconds: int) -> datetime | Timestamp:
    """Return the time, or the number itself if it is after the year 9999."""
    if seconds < _SECONDS_END:
        return _EPOCH + timedelta(seconds=seconds)
    return Timestamp(seconds)


def encode_timestamp(value: datetime | int) -> bytes:
    """Return seconds since 1970 as u64, fractions cut off; a naive time is UTC.

    Raises ValueError for a time before 1970 or a number that does not fit.
    """
    if isinstance(value, int):
        seconds = value
    else:
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        seconds = (aware - _EPOCH) // _SECOND
    try:
        return _TIMESTAMP.pack(seconds)
    except StructError:
        raise ValueError(f"timestamp {value} is not within 64 bits") from None


# Decoding


def _span(data: bytes, offset: int, end: int) -> tuple[int, int]:
    """Read a size; return where what it measures begins and ends."""
    start = offset + _SIZE.size
    if start > end:
        raise FrameError("field table is truncated")
    stop: int = start + _SIZE.unpack_from(data, offset)[0]
    if stop > end:
        raise FrameError("length in field table reaches past its end")
    return start, stop


def _read_key(data: bytes, offset: int, end: int) -> tuple[str, int]:
    """Return a key, and the offset of its value's tag, which is within `end`."""
    start = offset + 1
    stop = start + data[offset]
    if stop >= end:
        raise FrameError("key in field table reaches past its end")
    try:
        return data[start:stop].decode(), stop
    except UnicodeDecodeError:
        raise FrameError("Malformed UTF-8 in shortstr") from None


def _read_longstr(data: bytes, offset: int, end: int) -> tuple[FieldValue, int]:
    start, stop = _span(data, offset, end)
    raw = data[start:stop]
    try:
        return raw.decode(), stop
    except UnicodeDecodeError:
        return raw, stop


def _read_byte_array(data: bytes, offset: int, end: int) -> tuple[FieldValue, int]:
    start, stop = _span(data, offset, end)
    return ByteArray(data[start:stop]), stop


def _read_decimal(data: bytes, offset: int, end: int) -> tuple[FieldValue, int]:
    stop = _stop(offset, _DECIMAL.size, end)
    scale, number = _DECIMAL.unpack_from(data, offset)
    return Decimal(number).scaleb(-scale), stop


def _read_timestamp(data: bytes, offset: int, end: int) -> tuple[FieldValue, int]:
    stop = _stop(offset, _TIMESTAMP.size, end)
    return decode_timestamp(_TIMESTAMP.unpack_from(data, offset)[0]), stop


def _read_void(_: bytes, offset: int, __: int) -> tuple[FieldValue, int]:
    return None, offset


def _open_table(data: bytes, offset: int, end: int) -> tuple[FieldValue, int]:
    """Return an empty table and where its fields begin."""
    return {}, _span(data, offset, end)[0]


def _open_array(data: bytes, offset: int, end: int) -> tuple[FieldValue, int]:
    """Return an empty array and where its values begin."""
    return [], _span(data, offset, end)[0]


@final
class _Number:
    """A number of one layout."""

    __slots__ = ("_layout",)

    def __init__(self, layout: str) -> None:
        self._layout: Struct = Struct(layout)

    def read(self, data: bytes, offset: int, end: int) -> tuple[FieldValue, int]:
        stop = _stop(offset, self._layout.size, end)
        number: float = self._layout.unpack_from(data, offset)[0]
        return number, stop


def _stop(offset: int, size: int, end: int) -> int:
    if offset + size > end:
        raise FrameError("value in field table reaches past its end")
    return offset + size


_READERS: Final[dict[int, Callable[[bytes, int, int], tuple[FieldValue, int]]]] = {
    ord("t"): _Number(">?").read,
    ord("b"): _Number(">b").read,
    ord("B"): _Number(">B").read,
    ord("s"): _Number(">h").read,
    ord("u"): _Number(">H").read,
    ord("I"): _Number(">i").read,
    ord("i"): _Number(">I").read,
    ord("l"): _Number(">q").read,
    ord("L"): _Number(">q").read,
    ord("f"): _Number(">f").read,
    ord("d"): _Number(">d").read,
    ord("D"): _read_decimal,
    ord("T"): _read_timestamp,
    ord("S"): _read_longstr,
    ord("x"): _read_byte_array,
    ord("V"): _read_void,
    ord("F"): _open_table,
    ord("A"): _open_array,
}
"""Tag -> what reads the value after it, within `end`, and tells the offset after it."""


# Encoding


def _encode_fields(table: Mapping[str, FieldValue], depth: int) -> bytes:
    parts: list[bytes] = []
    for key, value in table.items():
        name = key.encode()
        if len(name) > KEY_SIZE_MAX:
            raise ValueError(f"key of {len(name)} bytes in field table: {key[:32]!r}")
        parts += (bytes((len(name),)), name, _encode_value(value, depth))
    return _sized(b"".join(parts))


def _encode_value(value: FieldValue, depth: int) -> bytes:
    if isinstance(value, str):
        raw = value.encode()
        return _LONGSTR.pack(b"S", len(raw)) + raw
    if isinstance(value, int):
        return _encode_int(value)
    if isinstance(value, (dict, list)):
        return _encode_container(value, depth + 1)
    return _encode_other(value)


def _encode_container(value: Table | list[FieldValue], depth: int) -> bytes:
    if depth > DEPTH_MAX:
        raise ValueError(f"field table is nested deeper than {DEPTH_MAX}")
    if isinstance(value, dict):
        return b"F" + _encode_fields(value, depth)
    return b"A" + _sized(b"".join([_encode_value(each, depth) for each in value]))


def _encode_int(value: int) -> bytes:
    if isinstance(value, bool):
        return b"t\x01" if value else b"t\x00"
    if isinstance(value, Timestamp):
        return b"T" + encode_timestamp(value)
    if -(2**31) <= value < 2**31 and not isinstance(value, LongInt):
        return _INT.pack(b"I", value)
    if -(2**63) <= value < 2**63:
        return _LONG.pack(b"l", value)
    raise ValueError(f"integer of {value.bit_length()} bits in field table")


def _encode_other(value: float | bytes | Decimal | datetime | None) -> bytes:
    if value is None:
        return b"V"
    if isinstance(value, float):
        return _DOUBLE.pack(b"d", value)
    if isinstance(value, bytes):
        return (b"x" if isinstance(value, ByteArray) else b"S") + _sized(value)
    if isinstance(value, datetime):
        return b"T" + encode_timestamp(value)
    if isinstance(value, Decimal):
        return b"D" + _encode_decimal(value)
    raise TypeError(f"a field table cannot hold a {type(value).__name__}")


def _encode_decimal(value: Decimal) -> bytes:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(f"{value} in field table")
    try:
        # Ten zeros are too many for 32 bits already, unless it is zero itself.
        number = int("".join(map(str, digits))) * 10 ** min(max(exponent, 0), 10)
        return _DECIMAL.pack(max(-exponent, 0), -number if sign else number)
    except StructError:
        raise ValueError(f"decimal {value} needs more than 32 bits") from None


def _sized(raw: bytes) -> bytes:
    return _SIZE.pack(len(raw)) + raw


_LONGSTR: Final = Struct(">cI")
_INT: Final = Struct(">ci")
_LONG: Final = Struct(">cq")
_DOUBLE: Final = Struct(">cd")
