"""Rows 29 to 40, 133 and 134: what is no frame, and frames that are wrong."""

from __future__ import annotations

from random import Random
from typing import Final

from tests.amqp.bad_input import (
    Case,
    accepted,
    frame,
    header,
    on,
    published,
    refused,
)
from tests.pairs import content
from warren.errors import (
    FrameError,
    NotImplemented_,
    SyntaxError_,
    UnexpectedFrame,
)
from warren.wire.constants import HEARTBEAT
from warren.wire.methods import (
    BasicAck,
    BasicPublish,
    ConfirmSelect,
    ExchangeDelete,
    QueueDeclare,
    QueueDeclareOk,
)
from warren.wire.properties import FLAG_HEADERS

NO_SUCH_QUEUE: Final = QueueDeclare(queue="nope", passive=True)
"""Closes channel 1."""

PUBLISH: Final = BasicPublish(routing_key="kept")
HEADER_EXPECTED: Final = (
    "expected content header for class 60, got non content header frame instead"
)
METHOD_EXPECTED: Final = "expected method frame, got non method frame instead"
CONTENT: Final = published("", "kept")
HEADER_AND_BODY: Final = b"".join(content(PUBLISH, b"x"))[len(on(1, PUBLISH)) :]
FRAME_MAX: Final = 131_072
MIB: Final = 1024 * 1024


def bits_set(method: QueueDeclare) -> bytes:
    """The frame of a method, with the three unused bits of its flags set."""
    payload = bytearray(method.encode())
    payload[-5] |= 0b1110_0000
    return frame(1, bytes(payload))


def headers(table: bytes) -> tuple[BasicPublish, bytes]:
    """A publish with a raw table of headers."""
    return PUBLISH, header(0, FLAG_HEADERS, table)


def bad_header(
    row: int, name: str, error: type[FrameError | SyntaxError_], sends: bytes
) -> Case:
    return refused(row, name, error, "", PUBLISH, sends, by=BasicPublish)


FRAMES: Final = (
    *(
        refused(
            29,
            f"frame end {end}",
            FrameError,
            f"{{invalid_frame_end_marker,{end}}}",
            HEARTBEAT[:-1] + bytes((end,)),
        )
        for end in (0, 0xCD, 0xFF)
    ),
    accepted(
        30,
        "8 bytes more than frame_max",
        (BasicAck(1),),
        PUBLISH,
        header(FRAME_MAX),
        frame(3, bytes(FRAME_MAX)),
        before=(ConfirmSelect(),),
    ),
    *(
        refused(
            31,
            f"payload of {size} bytes",
            FrameError,
            f"{{frame_too_large,{size},{FRAME_MAX - 8}}}",
            b"\x03\0\x01" + size.to_bytes(4, "big"),
        )
        for size in (FRAME_MAX + 1, 2**31, 2**32 - 1)
    ),
    *(
        refused(32, f"type {kind}", FrameError, "unknown_frame", frame(kind, b"abc"))
        for kind in (0, 4, 7, 9, 255)
    ),
    refused(
        33,
        "heartbeat with a payload",
        FrameError,
        'type 8, all octets = <<"boom">>: unknown_frame',
        frame(8, b"boom", channel=0),
    ),
    refused(34, "heartbeat on channel 5", UnexpectedFrame, "", frame(8, b"", 5)),
    refused(34, "heartbeat on channel 1", UnexpectedFrame, "", frame(8, b"", 1)),
    *(
        refused(
            35,
            f"method of {size} bytes on channel {channel}",
            FrameError,
            "unknown_frame",
            frame(1, bytes(size), channel),
        )
        for size in (0, 3)
        for channel in (0, 1, 9)
    ),
    refused(
        35,
        "short method for a header",
        FrameError,
        "unknown_frame",
        PUBLISH,
        frame(1, b"abc"),
        by=BasicPublish,
    ),
    refused(
        36,
        "class 77",
        NotImplemented_,
        "unknown method id {77,10}",
        frame(1, b"\0\x4d\0\x0a"),
        by=(77, 10),
    ),
    refused(
        36,
        "method 60,999",
        NotImplemented_,
        "unknown method id {60,999}",
        frame(1, b"\0\x3c\x03\xe7"),
        by=(60, 999),
    ),
    refused(
        37,
        "arguments cut",
        FrameError,
        "cannot decode",
        frame(1, ExchangeDelete(exchange="inner").encode()[:-1]),
        by=ExchangeDelete,
    ),
    refused(
        37,
        "publish cut",
        FrameError,
        "cannot decode",
        frame(1, PUBLISH.encode()[:-1]),
        by=BasicPublish,
    ),
    refused(
        38,
        "arguments too long",
        FrameError,
        "cannot decode",
        frame(1, QueueDeclare(queue="kept").encode() + b"!"),
        by=QueueDeclare,
    ),
    refused(
        38,
        "ack too long",
        FrameError,
        "cannot decode",
        frame(1, BasicAck(1).encode() + b"!"),
        by=BasicAck,
    ),
    refused(
        39,
        "queue name not UTF-8",
        FrameError,
        "Malformed UTF-8 in shortstr",
        frame(1, b"\0\x32\0\x0a\0\0\x01\xff\0\0\0\0\0"),
        by=QueueDeclare,
    ),
    refused(
        39,
        "routing key not UTF-8",
        FrameError,
        "Malformed UTF-8 in shortstr",
        frame(1, b"\0\x3c\0\x28\0\0\0\x01\xff\0"),
        by=BasicPublish,
    ),
    accepted(
        40,
        "unused bits",
        (QueueDeclareOk("kept", 3),),
        bits_set(QueueDeclare(queue="kept")),
    ),
)

FLOODS: Final = (
    refused(133, "1 MiB of zeros", FrameError, "type 0", bytes(MIB), is_dear=True),
    *(
        refused(134, f"noise {seed}", FrameError, "", b"\xfe" + noise, is_dear=True)
        for seed in range(5)
        for noise in [Random(seed).randbytes(10_000)]
    ),
)

CASES: Final = (*FRAMES, *FLOODS)
