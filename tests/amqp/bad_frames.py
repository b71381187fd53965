"""Rows 29 to 70, and 133 and 134: frames that are wrong, or in the wrong place."""

from __future__ import annotations

from random import Random
from typing import Final

from tests.amqp.bad_input import (
    Case,
    Stage,
    accepted,
    frame,
    header,
    nested,
    on,
    published,
    refused,
    sized,
)
from tests.pairs import content
from warren.errors import (
    ChannelNotOpen,
    CommandInvalid,
    FrameError,
    NotAllowed,
    NotImplemented_,
    PreconditionFailed,
    SyntaxError_,
    UnexpectedFrame,
)
from warren.wire.constants import HEARTBEAT
from warren.wire.frames import encode_method
from warren.wire.methods import (
    BasicAck,
    BasicDeliver,
    BasicNack,
    BasicPublish,
    BasicReject,
    BasicReturn,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionStart,
    ConnectionTune,
    QueueDeclare,
    QueueDeclareOk,
)
from warren.wire.properties import FLAG_CONTENT_TYPE, FLAG_HEADERS
from warren_broker.core.limits import Limits

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
        35, "short method for a header", FrameError, "", PUBLISH, frame(1, b"abc")
    ),
    refused(36, "class 77", NotImplemented_, "", frame(1, b"\0\x4d\0\x0a")),
    refused(36, "method 60,999", NotImplemented_, "", frame(1, b"\0\x3c\x03\xe7")),
    refused(
        37,
        "arguments cut",
        FrameError,
        "cannot decode",
        frame(1, QueueDeclare(queue="kept").encode()[:-1]),
        by=QueueDeclare,
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

CONTENTS: Final = (
    refused(
        41,
        "header out of the blue",
        UnexpectedFrame,
        METHOD_EXPECTED,
        header(1),
        by=BasicPublish,
    ),
    refused(41, "header on channel 0", UnexpectedFrame, "", frame(2, b"x", 0)),
    refused(42, "body out of the blue", UnexpectedFrame, METHOD_EXPECTED, frame(3, b"")),
    refused(42, "body on channel 0", UnexpectedFrame, "", frame(3, b"x", 0)),
    *(
        refused(
            43,
            f"{name} instead of a header",
            UnexpectedFrame,
            HEADER_EXPECTED,
            PUBLISH,
            sends,
            by=BasicPublish,
        )
        for name, sends in {
            "publish": CONTENT,
            "declare": on(1, QueueDeclare(queue="late")),
            "body": frame(3, b"x"),
        }.items()
    ),
    refused(
        43,
        "ack instead of a body",
        UnexpectedFrame,
        "",
        PUBLISH,
        header(5),
        on(1, BasicAck(1)),
        by=BasicPublish,
    ),
    refused(
        44,
        "header of class queue",
        UnexpectedFrame,
        "expected content header for class 60, got one for class 50 instead",
        PUBLISH,
        header(1, class_id=50),
        by=BasicPublish,
    ),
    refused(
        45, "weight", UnexpectedFrame, "", PUBLISH, header(1, weight=1), by=BasicPublish
    ),
    *(
        refused(
            46,
            f"body of {size} bytes",
            PreconditionFailed,
            f"message size {size} is larger than configured max size {16 * MIB}",
            PUBLISH,
            header(size),
            frame(3, b"x"),
            by=BasicPublish,
        )
        for size in (16 * MIB + 1, 2**63 - 1, 2**64 - 1)
    ),
    refused(
        47,
        "body too long",
        FrameError,
        "content body frame exceeds remaining content size",
        PUBLISH,
        header(5),
        frame(3, b"123456"),
        by=BasicPublish,
    ),
    refused(
        47,
        "second body frame too long",
        FrameError,
        "content body frame exceeds remaining content size",
        PUBLISH,
        header(5),
        frame(3, b"1234") + frame(3, b"56"),
        by=BasicPublish,
    ),
    accepted(
        48,
        "1000 empty body frames, thrice",
        (BasicAck,),
        *(PUBLISH, header(2), frame(3, b"") * 1000, frame(3, b"a")),
        *(frame(3, b"") * 1000, frame(3, b"b")),
        *(PUBLISH, header(1), frame(3, b"") * 1000, frame(3, b"a")),
        before=(ConfirmSelect(),),
        is_dear=True,
    ),
    refused(
        48,
        "1001 empty body frames",
        FrameError,
        "",
        PUBLISH,
        header(1),
        frame(3, b"") * 1001,
        by=BasicPublish,
        is_dear=True,
    ),
    refused(
        49,
        "body of an empty content",
        UnexpectedFrame,
        METHOD_EXPECTED,
        *(ConfirmSelect(), PUBLISH, header(0), frame(3, b"")),
        by=BasicPublish,
        before=(QueueDeclare(queue="mine"),),
    ),
    *(
        bad_header(50, name, FrameError, sends)
        for name, sends in {
            "no properties though announced": header(1, FLAG_CONTENT_TYPE),
            "string cut": header(1, FLAG_CONTENT_TYPE, b"\x09text"),
            "more than announced": header(1, FLAG_CONTENT_TYPE, b"\x04text!"),
            "thirteen bytes": frame(2, b"\0\x3c\0\0" + bytes(9)),
            "nothing": frame(2, b""),
        }.items()
    ),
    bad_header(51, "continuation", FrameError, header(1, 1, b"\0\0")),
    bad_header(51, "continuation for ever", FrameError, header(1, 1, b"\0\x01" * 99)),
    *(
        bad_header(52, name, FrameError, header(0, FLAG_HEADERS, table))
        for name, table in {
            "key past the end": sized(b"\x09key"),
            "no value": sized(b"\x03key"),
            "string past the end": sized(b"\x03keyS\0\0\0\xff"),
            "table past the end": b"\0\0\0\xff\x03key",
            "table of 4 GiB": b"\xff\xff\xff\xff",
            "key not UTF-8": sized(b"\x01\xffV"),
        }.items()
    ),
    bad_header(53, "type Z", SyntaxError_, header(0, FLAG_HEADERS, sized(b"\x01kZ"))),
    accepted(
        54,
        "a key twice",
        (BasicAck(1),),
        *headers(sized(b"\x01kI\0\0\0\x01\x01kI\0\0\0\x02")),
        before=(ConfirmSelect(),),
    ),
    bad_header(55, "33 deep", SyntaxError_, header(0, FLAG_HEADERS, nested(33))),
    bad_header(
        55, "8193 fields", SyntaxError_, header(0, FLAG_HEADERS, sized(b"\0V" * 8193))
    ),
    accepted(
        55,
        "32 deep and 8192 fields",
        (BasicAck(2, multiple=True),),
        *(*headers(nested(32)), *headers(sized(b"\0V" * 8192))),
        before=(ConfirmSelect(),),
        is_dear=True,
    ),
    accepted(
        56,
        "s is a number of 16 bits",
        (QueueDeclareOk("mine"), QueueDeclareOk("mine")),
        frame(1, b"\0\x32\0\x0a\0\0\x04mine\0" + sized(b"\x0cx-max-lengths\0\x05")),
        QueueDeclare(queue="mine", arguments={"x-max-length": 5}),
    ),
)

CLOSED: Final = (NO_SUCH_QUEUE, ChannelCloseOk())
"""Channel 1 was closed by the server, and the client knows."""

CHANNELS: Final = (
    *(
        refused(
            57,
            f"{method.name} on channel 0",
            ChannelNotOpen,
            "unexpected method in connection state running",
            on(0, method),
            by=type(method),
        )
        for method in (QueueDeclare(queue="late"), ChannelOpen(), BasicAck(1))
    ),
    refused(
        58,
        "connection.close on channel 3",
        CommandInvalid,
        "unimplemented method",
        on(3, ConnectionClose()),
        by=ConnectionClose,
        before=(on(3, ChannelOpen()),),
    ),
    *(
        refused(
            59,
            f"{name} on a channel never opened",
            ChannelNotOpen,
            "expected 'channel.open'",
            sends,
        )
        for name, sends in {
            "declare": on(9, QueueDeclare(queue="late")),
            "close": on(9, ChannelClose()),
            "close-ok": on(9, ChannelCloseOk()),
            "ack": on(9, BasicAck(1)),
            "header": frame(2, b"", 9),
            "body": frame(3, b"", 9),
        }.items()
    ),
    refused(60, "open twice", ChannelNotOpen, "second 'channel.open'", ChannelOpen()),
    refused(61, "channel 2048", ChannelNotOpen, "", on(2048, ChannelOpen())),
    refused(61, "channel 65535", ChannelNotOpen, "", on(65_535, ChannelOpen())),
    refused(
        62,
        "one channel too many",
        NotAllowed,
        "number of channels opened (2) has reached the negotiated channel_max (2)",
        on(3, ChannelOpen()),
        before=(on(2, ChannelOpen()),),
        limits=Limits(channel_max=2),
    ),
    accepted(
        63,
        "a closing channel is deaf",
        (ChannelCloseOk, ChannelOpenOk, QueueDeclareOk("kept", 3)),
        *(QueueDeclare(queue="late"), CONTENT, ChannelOpen(), BasicAck(9)),
        *(frame(2, b""), frame(3, b""), frame(1, b"\0\x4d\0\x0a")),
        *(ChannelClose(), ChannelCloseOk(), ChannelOpen()),
        QueueDeclare(queue="kept", passive=True),
        before=(NO_SUCH_QUEUE,),
    ),
    accepted(
        64,
        "settling on a closed channel",
        (ChannelOpenOk,),
        *(BasicAck(1), BasicNack(1), BasicReject(1), BasicAck(0, multiple=True)),
        ChannelOpen(),
        before=CLOSED,
    ),
    refused(
        65,
        "publish on a closed channel",
        ChannelNotOpen,
        "expected 'channel.open'",
        CONTENT,
        before=CLOSED,
    ),
    refused(
        66, "close-ok unasked", CommandInvalid, "unimplemented method", ChannelCloseOk()
    ),
    *(
        refused(67, f"{method.name}", CommandInvalid, "unimplemented method", method)
        for method in (QueueDeclareOk(), BasicDeliver(), BasicReturn(), ChannelOpenOk())
    ),
    *(
        refused(
            67,
            f"{method.name} on channel 0",
            ChannelNotOpen,
            "unexpected method in connection state running",
            on(0, method),
            by=type(method),
            stage=Stage.OPEN,
        )
        for method in (ConnectionStart(), ConnectionTune(), ConnectionCloseOk())
    ),
    accepted(
        68,
        "close amid a body",
        (ConnectionCloseOk,),
        *(PUBLISH, header(5), frame(3, b"12"), on(0, ConnectionClose())),
    ),
    accepted(
        69,
        "words after the end",
        (ConnectionCloseOk,),
        *(on(0, ConnectionClose()), CONTENT, b"\0" * 100),
    ),
    accepted(
        70,
        "contents of two channels",
        (BasicAck(1), BasicAck(1)),
        *(PUBLISH, encode_method(2, PUBLISH), HEADERS_OF_TWO := header(4)),
        HEADERS_OF_TWO[:2] + b"\x02" + HEADERS_OF_TWO[3:],
        *(frame(3, b"ab"), frame(3, b"AB", 2), HEARTBEAT),
        *(frame(3, b"CD", 2), frame(3, b"cd")),
        before=(ConfirmSelect(), on(2, ChannelOpen(), ConfirmSelect())),
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

CASES: Final = (*FRAMES, *CONTENTS, *CHANNELS, *FLOODS)

