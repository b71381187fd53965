"""Rows 1 to 28: what goes wrong before a connection is open."""

from __future__ import annotations

from typing import Final

from tests.amqp.bad_input import (
    Case,
    Level,
    Stage,
    accepted,
    frame,
    nested,
    on,
    published,
    refused,
    shortstr,
    silent,
    sized,
)
from tests.pairs import GUEST
from warren.errors import (
    AccessRefused,
    ChannelNotOpen,
    CommandInvalid,
    FrameError,
    NotAllowed,
    SyntaxError_,
    UnexpectedFrame,
)
from warren.wire.constants import PROTOCOL_HEADER
from warren.wire.methods import (
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
)
from warren_broker.core.limits import Limits

START_OK: Final = ConnectionStartOk(response=GUEST)
TUNE_OK: Final = ConnectionTuneOk(2047, 131_072, 0)
CAN_HEAR: Final = {"capabilities": {"authentication_failure_close": True}}
LOGIN_REFUSED: Final = (
    "Login was refused using authentication mechanism PLAIN."
    " For details see the broker logfile."
)
TLS_HELLO: Final = bytes.fromhex("16030100c8010000c40303") + bytes(200)


def start_ok(
    properties: bytes = bytes(4),
    mechanism: bytes = b"PLAIN",
    response: bytes = GUEST,
    locale: bytes = b"en_US",
) -> bytes:
    """connection.start-ok, field by field."""
    parts = (properties, shortstr(mechanism), sized(response), shortstr(locale))
    return frame(1, b"\0\x0a\0\x0b" + b"".join(parts), channel=0)


def login(response: bytes, *, can_hear: bool = False) -> bytes:
    """A start-ok with a response of PLAIN."""
    properties = CAN_HEAR if can_hear else {}
    return on(0, ConnectionStartOk(properties, response=response))


def not_amqp(row: int, name: str, sends: bytes) -> Case:
    level = Level.PROTOCOL_HEADER
    return Case(row=row, name=name, level=level, sends=sends, stage=Stage.NOTHING)


def bad_tune(row: int, name: str, text: str, tune_ok: ConnectionTuneOk) -> Case:
    return refused(
        row,
        name,
        NotAllowed,
        text,
        on(0, tune_ok),
        by=ConnectionTuneOk,
        stage=Stage.TUNING,
    )


def bad_open(row: int, name: str, text: str, vhost: str, **fields: object) -> Case:
    return refused(
        row,
        name,
        NotAllowed,
        text,
        on(0, ConnectionOpen(vhost)),
        by=ConnectionOpen,
        stage=Stage.OPENING,
        **fields,
    )


CASES: Final = (
    not_amqp(1, "another minor version", b"AMQP\0\0\x09\0"),
    not_amqp(1, "AMQP 1.0", b"AMQP\0\x01\0\0"),
    not_amqp(1, "AMQP 1.0 over SASL", b"AMQP\x03\x01\0\0"),
    not_amqp(2, "HTTP", b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
    not_amqp(3, "TLS", TLS_HELLO),
    Case(
        row=4,
        name="seven bytes and the end",
        level=Level.GONE,
        sends=PROTOCOL_HEADER[:7],
        stage=Stage.NOTHING,
    ),
    silent(5, "no byte", None, stage=Stage.NOTHING, after=10.0),
    silent(5, "half a header", None, b"AMQP\0", stage=Stage.NOTHING, after=10.0),
    silent(5, "half a start-ok", None, login(GUEST)[:-1], after=10.0),
    silent(5, "no tune-ok", None, stage=Stage.TUNING, after=10.0),
    silent(5, "no open", None, stage=Stage.OPENING, after=10.0),
    silent(6, "start-ok on channel 1", UnexpectedFrame, on(1, START_OK)),
    silent(7, "tune-ok before start-ok", ChannelNotOpen, on(0, TUNE_OK)),
    silent(8, "start-ok twice", ChannelNotOpen, on(0, START_OK), stage=Stage.TUNING),
    *(
        silent(9, f"publish while {stage.name}", UnexpectedFrame, publish, stage=stage)
        for stage in (Stage.STARTING, Stage.TUNING, Stage.OPENING)
        for publish in [published("", "kept")]
    ),
    silent(10, "8193 bytes before tune", FrameError, b"\x01\0\0\0\0\x20\x01"),
    silent(10, "4 GiB before tune", FrameError, b"\x01\0\0\xff\xff\xff\xff"),
    accepted(
        11,
        "another locale",
        (ConnectionTune,),
        start_ok(locale=b"tlh"),
        stage=Stage.STARTING,
    ),
    *(
        silent(12, f"mechanism {name!r}", CommandInvalid, start_ok(mechanism=name))
        for name in (b"SCRAM-X", b"", b"plain", b"EXTERNAL", b"A" * 255)
    ),
    *(
        silent(13, f"response {response!r:.20}", SyntaxError_, login(response))
        for response in (
            b"",
            b"guest\0guest",
            b"\0guest",
            b"admin\0guest\0guest",
            b"\0guest\0guest\0",
            b"\0\xff\0guest",
            b"\0" * 8000,
        )
    ),
    silent(13, "AMQPLAIN is no table", SyntaxError_, start_ok(mechanism=b"AMQPLAIN")),
    silent(
        13,
        "AMQPLAIN without a password",
        SyntaxError_,
        start_ok(mechanism=b"AMQPLAIN", response=b"\x05LOGINS" + sized(b"guest")),
    ),
    refused(
        14,
        "wrong password",
        AccessRefused,
        LOGIN_REFUSED,
        login(b"\0mallory\0guess", can_hear=True),
        level=Level.CONNECTION,
        stage=Stage.STARTING,
    ),
    *(
        silent(15, f"{name}, told to nobody", AccessRefused, login(response))
        for name, response in {
            "wrong password": b"\0guest\0guess",
            "no such user": b"\0mallory\0guest",
            "no password": b"\0guest\0",
            "no user": b"\0\0guest",
            "a user of 256 bytes": b"\0" + b"u" * 256 + b"\0guest",
            "a password of 8000 bytes": b"\0guest\0" + b"p" * 8000,
        }.items()
    ),
    bad_tune(
        16,
        "frame_max 4095",
        "negotiated frame_max = 4095 is lower than the minimum allowed value (4096)",
        ConnectionTuneOk(2047, 4095, 0),
    ),
    bad_tune(
        17,
        "frame_max 131073",
        "negotiated frame_max = 131073 is higher than the maximum"
        " allowed value (131072)",
        ConnectionTuneOk(2047, 131_073, 0),
    ),
    # 18 and 19: no limit is more than the limit that was proposed.
    bad_tune(
        18,
        "frame_max 0",
        "negotiated frame_max = 0 is higher than the maximum allowed value (131072)",
        ConnectionTuneOk(2047, 0, 0),
    ),
    bad_tune(
        19,
        "channel_max 2048",
        "negotiated channel_max = 2048 is higher than the maximum allowed value (2047)",
        ConnectionTuneOk(2048, 131_072, 0),
    ),
    bad_tune(
        19,
        "channel_max 0",
        "negotiated channel_max = 0 (no limit) is higher than the maximum"
        " allowed value (2047)",
        ConnectionTuneOk(0, 131_072, 0),
    ),
    accepted(
        20,
        "heartbeat 65535",
        (ConnectionOpenOk,),
        on(0, ConnectionTuneOk(2047, 131_072, 65_535), ConnectionOpen()),
        stage=Stage.TUNING,
    ),
    bad_open(21, "unknown virtual host", "vhost nope not found", "nope"),
    bad_open(
        22,
        "no permission in the virtual host",
        "access to vhost '/' refused for user 'outsider'",
        "/",
        login=b"\0outsider\0outsider",
    ),
    bad_open(
        23,
        "one connection too many",
        "access to vhost '/' refused for user 'guest': connection limit (1) is reached",
        "/",
        limits=Limits(connections_max=1),
    ),
    refused(
        24,
        "virtual host not UTF-8",
        FrameError,
        "Malformed UTF-8 in shortstr",
        frame(1, b"\0\x0a\0\x28\x01\xff\0\0", channel=0),
        by=ConnectionOpen,
        stage=Stage.OPENING,
    ),
    refused(
        25,
        "second connection.open",
        ChannelNotOpen,
        "unexpected method in connection state running",
        on(0, ConnectionOpen()),
        by=ConnectionOpen,
        stage=Stage.OPEN,
    ),
    refused(
        26,
        "guest from afar",
        AccessRefused,
        LOGIN_REFUSED,
        login(GUEST, can_hear=True),
        level=Level.CONNECTION,
        stage=Stage.STARTING,
        is_loopback=False,
    ),
    silent(26, "guest from afar, deaf", AccessRefused, login(GUEST), is_loopback=False),
    silent(27, "a table 33 deep", SyntaxError_, start_ok(nested(33))),
    silent(27, "a table 1300 deep", SyntaxError_, start_ok(nested(1300))),
    # Wide is harmless: the largest frame of a stranger holds no more than this.
    *(
        accepted(27, name, (ConnectionTune,), sends, stage=Stage.STARTING, is_dear=True)
        for name, sends in {
            "4000 fields": start_ok(sized(b"\0V" * 4000)),
            "an array of 8000 voids": start_ok(sized(b"\0A" + sized(b"V" * 8000))),
        }.items()
    ),
    silent(28, "a table longer than its frame", FrameError, start_ok(b"\0\0\x10\0")),
    silent(28, "a table of 4 GiB", FrameError, start_ok(b"\xff" * 4)),
    silent(
        28,
        "a field longer than its table",
        FrameError,
        start_ok(sized(b"\x01kS\0\0\0\x09")),
    ),
)
