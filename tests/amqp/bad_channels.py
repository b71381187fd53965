"""Rows 57 to 70: frames on the wrong channel, or at the wrong time."""

from __future__ import annotations

from typing import Final

from tests.amqp.bad_input import (
    Case,
    Stage,
    accepted,
    frame,
    header,
    on,
    published,
    refused,
)
from tests.pairs import content
from warren.errors import (
    ChannelNotOpen,
    CommandInvalid,
    FrameError,
    NotAllowed,
    SyntaxError_,
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
from warren.wire.properties import FLAG_HEADERS
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


CLOSED: Final = (NO_SUCH_QUEUE, ChannelCloseOk())
"""Channel 1 was closed by the server, and the client knows."""

CASES: Final = (
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
    # As in RabbitMQ the limit is on how many there are, not on their numbers.
    *(
        accepted(61, f"channel {number}", (ChannelOpenOk,), on(number, ChannelOpen()))
        for number in (2048, 65_535)
    ),
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
