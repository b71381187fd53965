"""Frames: kind u8, channel u16, payload size u32, payload, end 0xCE.

Encoders, and the parser that is obviously right. The broker reads with a faster loop of
its own, which must find the same frames and raise the same errors as `read_frame` here
(specification, section 4.2.3; reactions and texts as RabbitMQ).
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from warren.wire.constants import (
    FRAME_BODY,
    FRAME_END,
    FRAME_HEADER,
    FRAME_HEADER_SIZE,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
    FRAME_OVERHEAD,
)
from warren.wire.faults import (
    frame_too_large,
    unexpected_frame,
    unknown_frame,
    wrong_frame_end,
)

if TYPE_CHECKING:
    from warren.wire.methods import Method

FRAME_PREFIX: Final = Struct(">BHI")
"""What stands before a payload: kind, channel, payload size."""

METHOD_INDEX_SIZE: Final = 4
"""Bytes: a method's payload begins with its class id and its method id."""

BODY_COPIED_MAX: Final = 16 * 1024
"""Bytes: a body below this is joined with its frames; a larger one is passed on."""

_END: Final = bytes((FRAME_END,))


class Frame(NamedTuple):
    """One frame, as received."""

    kind: int
    channel: int
    payload: bytes


def encode_frame(kind: int, channel: int, payload: bytes) -> bytes:
    """Return a whole frame."""
    return FRAME_PREFIX.pack(kind, channel, len(payload)) + payload + _END


def encode_method(channel: int, method: Method) -> bytes:
    """Return the whole frame of a method."""
    return encode_frame(FRAME_METHOD, channel, method.encode())


def encode_content(
    channel: int,
    method: Method,
    header_payload: bytes,
    body: bytes,
    frame_size_max: int,
) -> list[bytes]:
    """Return a method and its content as chunks of whole frames, in order.

    The body is cut so that no frame is larger than `frame_size_max`; an empty body has
    no frame. A small message is one chunk; a large body that fits one frame is a chunk
    of its own, not copied.
    """
    head = encode_method(channel, method) + encode_frame(
        FRAME_HEADER, channel, header_payload
    )
    if not body:
        return [head]
    size_max = frame_size_max - FRAME_OVERHEAD
    if len(body) <= size_max:
        prefix = head + FRAME_PREFIX.pack(FRAME_BODY, channel, len(body))
        if len(body) < BODY_COPIED_MAX:
            return [prefix + body + _END]
        return [prefix, body, _END]
    pieces = (body[at : at + size_max] for at in range(0, len(body), size_max))
    return [head, *(encode_frame(FRAME_BODY, channel, piece) for piece in pieces)]


def read_frame(
    data: bytes, offset: int, frame_size_max: int
) -> tuple[Frame, int] | None:
    """Return the frame at `offset` and the offset after it; None if it is not whole.

    Raises `FrameError` for a frame that is too large (as soon as its header is there),
    that does not end in 0xCE, of an unknown kind, or a method of less than four bytes,
    and `UnexpectedFrame` for a heartbeat on another channel than 0.
    """
    start = offset + FRAME_HEADER_SIZE
    if len(data) < start:
        return None
    kind, channel, size = FRAME_PREFIX.unpack_from(data, offset)
    if size > frame_size_max:
        raise frame_too_large(kind, size, frame_size_max)
    stop = start + size
    if len(data) <= stop:
        return None
    payload = data[start:stop]
    if data[stop] != FRAME_END:
        raise wrong_frame_end(kind, payload, data[stop])
    check_frame(kind, channel, payload)
    return Frame(kind, channel, payload), stop + 1


def parse_frames(data: bytes, frame_size_max: int) -> tuple[list[Frame], bytes]:
    """Return all whole frames and the bytes after them. Raises as `read_frame` does."""
    frames: list[Frame] = []
    offset = 0
    while found := read_frame(data, offset, frame_size_max):
        frame, offset = found
        frames.append(frame)
    return frames, data[offset:]


def check_frame(kind: int, channel: int, payload: bytes) -> None:
    """Raise what is wrong with a whole frame, if anything is; see `read_frame`."""
    if kind == FRAME_METHOD:
        if len(payload) < METHOD_INDEX_SIZE:
            raise unknown_frame(kind, payload)
    elif kind not in (FRAME_HEADER, FRAME_BODY):
        if kind != FRAME_HEARTBEAT or payload:
            raise unknown_frame(kind, payload)
        if channel:
            raise unexpected_frame(kind, payload)
