"""Rows 41 to 56: contents that are wrong or out of place."""

from __future__ import annotations

from typing import Final

from tests.amqp.bad_input import (
    Case,
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
    FrameError,
    PreconditionFailed,
    SyntaxError_,
    UnexpectedFrame,
)
from warren.wire.methods import (
    BasicAck,
    BasicPublish,
    ConfirmSelect,
    QueueDeclare,
    QueueDeclareOk,
)
from warren.wire.properties import FLAG_CONTENT_TYPE, FLAG_HEADERS
from warren_broker.core.limits import Limits

PUBLISH: Final = BasicPublish(routing_key="kept")
HEADER_EXPECTED: Final = (
    "expected content header for class 60, got non content header frame instead"
)
METHOD_EXPECTED: Final = "expected method frame, got non method frame instead"
CONTENT: Final = published("", "kept")
HEADER_AND_BODY: Final = b"".join(content(PUBLISH, b"x"))[len(on(1, PUBLISH)) :]
FRAME_MAX: Final = 131_072
SIZE_MAX: Final = Limits().message_size_max_bytes


def bits_set(method: QueueDeclare) -> bytes:
    """The frame of a method, with the three unused bits of its flags set."""
    payload = bytearray(method.encode())
    payload[-5] |= 0b1110_0000
    return frame(1, bytes(payload))


def headers(table: bytes) -> tuple[BasicPublish, bytes]:
    """A publish with a raw table of headers."""
    return PUBLISH, header(0, FLAG_HEADERS, table)


def bad_header(
    row: int,
    name: str,
    error: type[FrameError | SyntaxError_],
    sends: bytes,
    *,
    is_dear: bool = False,
) -> Case:
    by = BasicPublish
    return refused(row, name, error, "", PUBLISH, sends, by=by, is_dear=is_dear)


CASES: Final = (
    refused(
        41,
        "header out of the blue",
        UnexpectedFrame,
        METHOD_EXPECTED,
        header(1),
    ),
    refused(41, "header on channel 0", UnexpectedFrame, "", frame(2, b"x", 0)),
    refused(
        42, "body out of the blue", UnexpectedFrame, METHOD_EXPECTED, frame(3, b"")
    ),
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
            f"message size {size} is larger than configured max size {SIZE_MAX}",
            PUBLISH,
            header(size),
            frame(3, b"x"),
            by=BasicPublish,
        )
        for size in (SIZE_MAX + 1, 2**63 - 1, 2**64 - 1)
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
        (BasicAck(2),),
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
        *(BasicPublish(routing_key="nowhere"), header(0), frame(3, b"")),
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
        55,
        "8193 fields",
        SyntaxError_,
        header(0, FLAG_HEADERS, sized(b"\0V" * 8193)),
        is_dear=True,
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
