"""Operations: what a record says has happened.

Route, header and body of a message are opaque here. All lengths of a message come
before its parts, so that one `pack` writes them and one `unpack` reads them. A copy
says how far back its message is, so that the place of a copy is enough to read it.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from warren.errors import WarrenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MESSAGE: Final = 1
COPY: Final = 2
SETTLED: Final = 3
RANGE: Final = 4
DEFINE: Final = 5

# kind, queue, sequence, expires, size of route, header, body
MESSAGE_HEAD: Final = struct.Struct(">BIQQHII")
# kind, queue, sequence, expires, distance back to the message
COPY_OP: Final = struct.Struct(">BIQQI")
# kind, queue, sequence
SETTLED_OP: Final = struct.Struct(">BIQ")
# kind, queue, first, last
RANGE_OP: Final = struct.Struct(">BIQQ")
# kind, size
DEFINE_HEAD: Final = struct.Struct(">BI")

SEQUENCE_MAX: Final = 0xFFFF_FFFF_FFFF_FFFF


class OpsError(WarrenError):
    """A body is not a row of operations."""


class Message(NamedTuple):
    """A message was put into a queue, perhaps one more time at another place."""

    offset: int  # of the operation in the body
    queue: int
    sequence: int
    expires_ms: int  # since 1970; 0: never
    route: bytes
    header: bytes
    body: bytes


class Settled(NamedTuple):
    """All messages of a queue from `first` to `last` are gone."""

    queue: int
    first: int
    last: int


class Define(NamedTuple):
    """A definition was made, changed or removed."""

    cbor: bytes


Op = Message | Settled | Define


def scan_ops(body: bytes) -> Iterator[tuple[bytes, Op]]:
    """Yield every operation of a record with its own bytes, in order.

    The plain reader; `Replay` in replay.py does the same in one loop. A copy comes as
    the message it is, with its own offset. Raises `OpsError`.
    """
    offset = 0
    while offset < len(body):
        try:
            read = _READERS[body[offset]]
            op, end = read(body, offset)
        except (KeyError, struct.error) as error:
            raise OpsError(f"operation at {offset} cannot be read") from error
        if end > len(body):
            raise OpsError(f"operation at {offset} ends at {end} of {len(body)}")
        yield body[offset:end], op
        offset = end


def read_message(body: bytes, offset: int) -> tuple[Message, int]:
    """Return the message at `offset` and where it ends. Raises `struct.error`."""
    head = MESSAGE_HEAD.unpack_from(body, offset)
    _, queue, sequence, expires_ms, *sizes = head
    start = offset + MESSAGE_HEAD.size
    header = start + sizes[0]
    content = header + sizes[1]
    end = content + sizes[2]
    parts = body[start:header], body[header:content], body[content:end]
    return Message(offset, queue, sequence, expires_ms, *parts), end


def _read_copy(body: bytes, offset: int) -> tuple[Message, int]:
    _, queue, sequence, expires_ms, back = COPY_OP.unpack_from(body, offset)
    if back > offset or body[offset - back] != MESSAGE:
        raise OpsError(f"copy at {offset} has no message")
    message, _ = read_message(body, offset - back)
    place = {"offset": offset, "queue": queue, "sequence": sequence}
    return message._replace(expires_ms=expires_ms, **place), offset + COPY_OP.size


def _read_settled(body: bytes, offset: int) -> tuple[Settled, int]:
    _, queue, sequence = SETTLED_OP.unpack_from(body, offset)
    return Settled(queue, sequence, sequence), offset + SETTLED_OP.size


def _read_range(body: bytes, offset: int) -> tuple[Settled, int]:
    _, queue, first, last = RANGE_OP.unpack_from(body, offset)
    return Settled(queue, first, last), offset + RANGE_OP.size


def _read_define(body: bytes, offset: int) -> tuple[Define, int]:
    _, size = DEFINE_HEAD.unpack_from(body, offset)
    start = offset + DEFINE_HEAD.size
    return Define(body[start : start + size]), start + size


_READERS: Final[dict[int, Callable[[bytes, int], tuple[Op, int]]]] = {
    MESSAGE: read_message,
    COPY: _read_copy,
    SETTLED: _read_settled,
    RANGE: _read_range,
    DEFINE: _read_define,
}
