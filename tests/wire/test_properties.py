"""warren.wire.properties: round trips, other libraries' bytes, scan = decode."""

from __future__ import annotations

import struct
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pamqp.header
import pika.spec
import pytest
from amqp import basic_message, serialization
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import common_tables, properties, shortstr, typed
from warren.errors import FrameError, SyntaxError_, UnexpectedFrame
from warren.wire import properties as module
from warren.wire.properties import (
    FLAG_CONTENT_TYPE,
    FLAG_HEADERS,
    FLAG_TIMESTAMP,
    FLAGS_OFFSET,
    PROPERTIES_OFFSET,
    Properties,
    decode_header,
    encode_header,
    scan_header,
)
from warren.wire.table import decode_table

if TYPE_CHECKING:
    from collections.abc import Callable

body_sizes = st.integers(0, 2**64 - 1)
both_readers = pytest.mark.parametrize("read", [decode_header, scan_header])

EVERYTHING = Properties(
    content_type="application/json",
    content_encoding="utf-8",
    headers={"task": "add", "retries": 0, "nothing": None},
    delivery_mode=2,
    priority=9,
    correlation_id="c",
    reply_to="r",
    expiration="60000",
    message_id="m",
    timestamp=datetime(2024, 2, 29, 12, tzinfo=UTC),
    type="t",
    user_id="guest",
    app_id="a",
    cluster_id="k",
)


def raw_header(
    flags: int, raw: bytes = b"", *, class_id: int = 60, weight: int = 0
) -> bytes:
    return struct.pack(">HHQH", class_id, weight, 0, flags) + raw


def values_of(owner: Properties) -> dict[str, object]:
    return {name: getattr(owner, name) for name in Properties.__slots__}


# Round trips


@given(properties, body_sizes)
def test_round_trip(drawn: Properties, body_size: int) -> None:
    payload = encode_header(drawn, body_size)
    size, decoded = decode_header(payload)
    assert size == body_size
    assert typed(values_of(decoded)) == typed(values_of(drawn))


@given(properties, body_sizes)
def test_scan_finds_what_decode_finds(drawn: Properties, body_size: int) -> None:
    payload = encode_header(drawn, body_size)
    scan = scan_header(payload)
    assert scan.body_size == body_size
    assert scan.delivery_mode == (drawn.delivery_mode or 0)
    assert scan.priority == (drawn.priority or 0)
    assert scan.reply_to == drawn.reply_to
    assert scan.expiration == drawn.expiration
    assert scan.user_id == drawn.user_id
    if scan.headers is None:
        assert drawn.headers is None
    else:
        start, stop = scan.headers
        assert decode_table(payload, start) == (drawn.headers, stop)


@given(properties)
def test_flags_tell_what_is_there(drawn: Properties) -> None:
    flags = scan_header(encode_header(drawn, 0)).flags
    for name, value in values_of(drawn).items():
        flag = getattr(module, f"FLAG_{name.upper()}")
        assert bool(flags & flag) == (value is not None)


def test_flags_are_those_of_pika() -> None:
    for name in Properties.__slots__:
        flag = f"FLAG_{name.upper()}"
        assert getattr(module, flag) == getattr(pika.spec.BasicProperties, flag)


def test_offsets() -> None:
    payload = encode_header(Properties(priority=7), 0)
    assert payload[FLAGS_OFFSET:PROPERTIES_OFFSET] == b"\x08\x00"
    assert payload[PROPERTIES_OFFSET:] == b"\x07"


def test_nothing_is_fourteen_bytes() -> None:
    assert encode_header(Properties(), 5) == b"\0\x3c\0\0\0\0\0\0\0\0\0\5\0\0"


# Refusals


@both_readers
@given(drawn=properties)
def test_a_cut_is_refused(read: Callable[[bytes], object], drawn: Properties) -> None:
    payload = encode_header(drawn, 1)
    for size in range(len(payload)):
        with pytest.raises((FrameError, SyntaxError_)):
            read(payload[:size])


@both_readers
@given(drawn=properties, more=st.binary(min_size=1, max_size=4))
def test_trailing_bytes_are_refused(
    read: Callable[[bytes], object], drawn: Properties, more: bytes
) -> None:
    with pytest.raises(FrameError, match="cannot decode properties <<"):
        read(encode_header(drawn, 1) + more)


@both_readers
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        raw_header(0)[:-1],
        raw_header(0x0001),
        raw_header(0x0002),
        raw_header(0x0001, b"\0\0" * 1000),
        raw_header(FLAG_CONTENT_TYPE),
        raw_header(FLAG_CONTENT_TYPE, b"\2a"),
        raw_header(FLAG_TIMESTAMP, b"\0" * 7),
    ],
)
def test_properties_that_do_not_fit(
    read: Callable[[bytes], object], payload: bytes
) -> None:
    with pytest.raises(FrameError, match="cannot decode properties <<"):
        read(payload)


@both_readers
@pytest.mark.parametrize("size", [b"\0\0\0", b"\0\0\0\1", b"\xff\xff\xff\xff"])
def test_headers_that_reach_past_the_end(
    read: Callable[[bytes], object], size: bytes
) -> None:
    with pytest.raises(FrameError):
        read(raw_header(FLAG_HEADERS, size))


@both_readers
def test_another_class(read: Callable[[bytes], object]) -> None:
    with pytest.raises(UnexpectedFrame) as caught:
        read(raw_header(0, class_id=50))
    assert caught.value.text == (
        "expected content header for class 60, got one for class 50 instead"
    )


@both_readers
def test_a_weight(read: Callable[[bytes], object]) -> None:
    with pytest.raises(UnexpectedFrame, match="type 2, all octets = <<0,60,0,1,"):
        read(raw_header(0, weight=1))


@both_readers
@pytest.mark.parametrize("name", ["reply_to", "expiration", "user_id"])
def test_strings_that_matter_are_utf8(
    read: Callable[[bytes], object], name: str
) -> None:
    payload = encode_header(Properties(**{name: "??"}), 0)
    with pytest.raises(FrameError, match="Malformed UTF-8 in shortstr"):
        read(payload.replace(b"??", b"\xff\xfe"))


def test_scan_does_not_look_into_other_strings() -> None:
    payload = raw_header(FLAG_CONTENT_TYPE, b"\1\xff")
    assert scan_header(payload).flags == FLAG_CONTENT_TYPE
    with pytest.raises(FrameError, match="Malformed UTF-8 in shortstr"):
        decode_header(payload)


@given(st.integers(0, 2**16 - 1), st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(flags: int, raw: bytes) -> None:
    payload = raw_header(flags, raw)
    scanned: int | None = None
    with suppress(FrameError):
        scanned = scan_header(payload).flags
    with suppress(FrameError, SyntaxError_):
        decode_header(payload)
        assert scanned == flags  # what decodes, scans


@pytest.mark.parametrize(
    "wrong",
    [
        Properties(priority=256),
        Properties(delivery_mode=-1),
        Properties(message_id="x" * 256),
        Properties(timestamp=-1),
        Properties(timestamp=datetime(1960, 1, 1, tzinfo=UTC)),
        Properties(headers={"n": 2**63}),
    ],
)
def test_what_does_not_fit_is_a_value_error(wrong: Properties) -> None:
    with pytest.raises(ValueError, match=r"."):
        encode_header(wrong, 0)


# Other libraries

common_properties = st.builds(
    Properties,
    **dict.fromkeys(set(Properties.__slots__) - {"timestamp"}, st.none() | shortstr)
    | dict.fromkeys(["delivery_mode", "priority"], st.none() | st.integers(0, 255))
    | {"headers": st.none() | common_tables},
)


@given(common_properties, st.integers(0, 2**63))
def test_pika_encodes_and_decodes_the_same(drawn: Properties, body_size: int) -> None:
    theirs = pika.spec.BasicProperties(**values_of(drawn))
    frame = pika.frame.Header(1, body_size, theirs).marshal()
    payload = encode_header(drawn, body_size)
    assert payload == frame[7:-1]
    decoded = pika.spec.BasicProperties()
    decoded.decode(payload, FLAGS_OFFSET)
    assert vars(decoded) == values_of(drawn)


def test_pika_reads_the_timestamp() -> None:
    theirs = pika.spec.BasicProperties()
    theirs.decode(encode_header(EVERYTHING, 0), FLAGS_OFFSET)
    assert EVERYTHING.timestamp is not None
    assert vars(theirs) == values_of(EVERYTHING) | {"timestamp": 1709208000}


def test_pamqp_encodes_and_decodes_the_same() -> None:
    known = values_of(EVERYTHING) | {"headers": {"task": "add"}}
    renamed = {
        {"type": "message_type"}.get(name, name): value
        for name, value in known.items()
        if name != "cluster_id"
    }
    theirs = pamqp.header.ContentHeader(
        0, 77, pamqp.commands.Basic.Properties(**renamed)
    )
    ours = Properties(**known | {"cluster_id": None})
    payload = encode_header(ours, 77)
    assert payload == theirs.marshal()
    again = pamqp.header.ContentHeader()
    again.unmarshal(payload)
    assert again.body_size == 77
    assert all(
        getattr(again.properties, name) == value for name, value in renamed.items()
    )


def test_py_amqp_encodes_and_decodes_the_same() -> None:
    known = values_of(EVERYTHING)
    named = {
        {"headers": "application_headers"}.get(name, name): value
        for name, value in known.items()
    } | {"timestamp": 1709208000}
    message = basic_message.Message("", **named)
    payload = encode_header(EVERYTHING, 0)
    assert message._serialize_properties() == payload[FLAGS_OFFSET:]
    decoded, end = serialization.decode_properties_basic(payload, FLAGS_OFFSET)
    assert (decoded, end) == (named, len(payload))
