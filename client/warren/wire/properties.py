"""Basic properties, and the content header that carries them.

::

    content header = class u16, weight u16 (0), body size u64, flags u16, properties

A flag says that its property is present; properties follow in the order of their flags,
from the highest bit (specification, section 4.2.6.1). The lowest bit would announce
more flags, which the basic class does not have.

Three ways: `decode_header` and `encode_header` go through `Properties`, and
`scan_header` finds what a broker must know and skips the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from struct import error as StructError
from typing import TYPE_CHECKING, Final, final

from warren.wire.constants import BASIC_CLASS, FRAME_HEADER
from warren.wire.faults import (
    header_of_other_class,
    malformed_header,
    malformed_string,
    unexpected_frame,
)
from warren.wire.fields import FieldCodec, Wire, codecs_for
from warren.wire.table import decode_timestamp, encode_timestamp

if TYPE_CHECKING:
    from datetime import datetime

    from warren.errors import AMQPError
    from warren.wire.table import Table

FLAG_CONTENT_TYPE: Final = 0x8000
FLAG_CONTENT_ENCODING: Final = 0x4000
FLAG_HEADERS: Final = 0x2000
FLAG_DELIVERY_MODE: Final = 0x1000
FLAG_PRIORITY: Final = 0x0800
FLAG_CORRELATION_ID: Final = 0x0400
FLAG_REPLY_TO: Final = 0x0200
FLAG_EXPIRATION: Final = 0x0100
FLAG_MESSAGE_ID: Final = 0x0080
FLAG_TIMESTAMP: Final = 0x0040
FLAG_TYPE: Final = 0x0020
FLAG_USER_ID: Final = 0x0010
FLAG_APP_ID: Final = 0x0008
FLAG_CLUSTER_ID: Final = 0x0004

FLAGS_OFFSET: Final = 12
"""Where the flags stand in a content header."""

PROPERTIES_OFFSET: Final = 14
"""Where the properties begin in a content header."""

_PREFIX: Final = Struct(">IQH")
_CLASS_AND_WEIGHT: Final = BASIC_CLASS << 16
_SIZE: Final = Struct(">I")
_TIMESTAMP: Final = Struct(">Q")
_FLAGS_RESERVED: Final = 0x0003
_FLAGS_AFTER_REPLY_TO: Final = FLAG_REPLY_TO - 1 & ~_FLAGS_RESERVED


@final
@dataclass(slots=True, kw_only=True)
class Properties:
    """The properties of a message; None is absent.

    `delivery_mode` is 2 for a persistent message. `timestamp` is decoded to a number
    only if it is after the year 9999. `cluster_id` is the specification's reserved one.
    """

    content_type: str | None = None
    content_encoding: str | None = None
    headers: Table | None = None
    delivery_mode: int | None = None
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: datetime | int | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    cluster_id: str | None = None


@final
class HeaderScan:
    """What a broker must know of a content header.

    `headers` is the span of the raw table in the payload, its size included.
    `delivery_mode` and `priority` are 0 if absent.
    """

    __slots__ = (
        "body_size",
        "delivery_mode",
        "expiration",
        "flags",
        "headers",
        "priority",
        "reply_to",
        "user_id",
    )

    def __init__(self, body_size: int, flags: int) -> None:
        self.body_size: int = body_size
        self.flags: int = flags
        self.headers: tuple[int, int] | None = None
        self.delivery_mode: int = 0
        self.priority: int = 0
        self.reply_to: str | None = None
        self.expiration: str | None = None
        self.user_id: str | None = None


def scan_header(payload: bytes) -> HeaderScan:  # noqa: C901 - one test a property
    """Return what a broker must know, without decoding the rest.

    Hot: called once a message. Raises `FrameError` if the properties do not fit the
    payload exactly, and `UnexpectedFrame` for another class or a weight.
    """
    try:
        start, body_size, flags = _PREFIX.unpack_from(payload)
        if start != _CLASS_AND_WEIGHT:
            raise _wrong_start(payload)
        scan = HeaderScan(body_size, flags)
        offset = PROPERTIES_OFFSET
        if flags & FLAG_CONTENT_TYPE:
            offset += payload[offset] + 1
        if flags & FLAG_CONTENT_ENCODING:
            offset += payload[offset] + 1
        if flags & FLAG_HEADERS:
            stop = offset + 4 + _SIZE.unpack_from(payload, offset)[0]
            scan.headers = (offset, stop)
            offset = stop
        if flags & FLAG_DELIVERY_MODE:
            scan.delivery_mode = payload[offset]
            offset += 1
        if flags & FLAG_PRIORITY:
            scan.priority = payload[offset]
            offset += 1
        if flags & FLAG_CORRELATION_ID:
            offset += payload[offset] + 1
        if flags & FLAG_REPLY_TO:
            stop = offset + 1 + payload[offset]
            scan.reply_to = payload[offset + 1 : stop].decode()
            offset = stop
        if flags & _FLAGS_AFTER_REPLY_TO:
            offset = _scan_rest(scan, payload, offset)
    except (IndexError, StructError):
        raise malformed_header(payload) from None
    except UnicodeDecodeError:
        raise malformed_string() from None
    if offset != len(payload) or flags & _FLAGS_RESERVED:
        raise malformed_header(payload)
    return scan


def _scan_rest(scan: HeaderScan, payload: bytes, offset: int) -> int:
    """Go on after `reply_to`; return the offset after the last property."""
    flags = scan.flags
    if flags & FLAG_EXPIRATION:
        stop = offset + 1 + payload[offset]
        scan.expiration = payload[offset + 1 : stop].decode()
        offset = stop
    if flags & FLAG_MESSAGE_ID:
        offset += payload[offset] + 1
    if flags & FLAG_TIMESTAMP:
        offset += _TIMESTAMP.size
    if flags & FLAG_TYPE:
        offset += payload[offset] + 1
    if flags & FLAG_USER_ID:
        stop = offset + 1 + payload[offset]
        scan.user_id = payload[offset + 1 : stop].decode()
        offset = stop
    if flags & FLAG_APP_ID:
        offset += payload[offset] + 1
    if flags & FLAG_CLUSTER_ID:
        offset += payload[offset] + 1
    return offset


def decode_header(payload: bytes) -> tuple[int, Properties]:
    """Return the size of the body, in bytes, and the properties.

    Raises as `scan_header` does, `FrameError` also for any string that is not UTF-8,
    and what `decode_table` raises.
    """
    values: dict[str, object] = {}
    try:
        start, body_size, flags = _PREFIX.unpack_from(payload)
        if start != _CLASS_AND_WEIGHT:
            raise _wrong_start(payload)
        offset = PROPERTIES_OFFSET
        for flag, codec in _CODECS:
            if flags & flag:
                offset = codec.read(payload, offset, values)
    except (IndexError, StructError):
        raise malformed_header(payload) from None
    if offset != len(payload) or flags & _FLAGS_RESERVED:
        raise malformed_header(payload)
    properties = Properties()
    for name, value in values.items():
        setattr(properties, name, value)
    return body_size, properties


def header_body_size(payload: bytes) -> int:
    """Return the size of the body, in bytes, of a header that is not decoded yet.

    Raises as `scan_header` does for what stands before the properties.
    """
    try:
        start, body_size, _ = _PREFIX.unpack_from(payload)
    except StructError:
        raise malformed_header(payload) from None
    if start != _CLASS_AND_WEIGHT:
        raise _wrong_start(payload)
    size: int = body_size
    return size


def encode_header(properties: Properties, body_size: int) -> bytes:
    """Return the payload of a content header frame.

    Raises ValueError for a property that its wire type cannot hold.
    """
    flags = 0
    parts: list[bytes] = []
    try:
        for flag, codec in _CODECS:
            if getattr(properties, codec.name) is not None:
                flags |= flag
                parts.append(codec.write(properties))
    except StructError as error:
        raise ValueError(f"properties: {error}") from None
    return _PREFIX.pack(_CLASS_AND_WEIGHT, body_size, flags) + b"".join(parts)


def _wrong_start(payload: bytes) -> AMQPError:
    class_id = payload[0] << 8 | payload[1]
    if class_id != BASIC_CLASS:
        return header_of_other_class(class_id)
    return unexpected_frame(FRAME_HEADER, payload)


@final
class _TimestampCodec(FieldCodec):
    """Seconds since 1970 in eight bytes."""

    __slots__ = ()

    def read(self, payload: bytes, offset: int, values: dict[str, object]) -> int:
        values[self.name] = decode_timestamp(_TIMESTAMP.unpack_from(payload, offset)[0])
        return offset + _TIMESTAMP.size

    def write(self, owner: object) -> bytes:
        return encode_timestamp(getattr(owner, self.name))


_WIRES: Final[dict[str, Wire]] = {
    "headers": Wire.TABLE,
    "delivery_mode": Wire.OCTET,
    "priority": Wire.OCTET,
}


def _codec_for(name: str) -> FieldCodec:
    if name == "timestamp":
        return _TimestampCodec(name)
    return codecs_for({name: _WIRES.get(name, Wire.SHORTSTR)})[0]


_CODECS: Final[tuple[tuple[int, FieldCodec], ...]] = tuple(
    (FLAG_CONTENT_TYPE >> position, _codec_for(name))
    for position, name in enumerate(Properties.__slots__)
)
"""The properties with their flags, in wire order, which is that of `Properties`."""
