"""warren.wire.table: round trips, other libraries' bytes, limits, hostile bytes."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

import pamqp.decode
import pamqp.encode
import pika.data
import pytest
from amqp import serialization
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import common_tables, tables, typed
from warren.errors import FrameError, SyntaxError_
from warren.wire.table import (
    DEPTH_MAX,
    FIELDS_MAX,
    ByteArray,
    Timestamp,
    decode_table,
    encode_table,
)

if TYPE_CHECKING:
    from warren.wire.table import FieldValue, Table

PEER_ERRORS = (FrameError, SyntaxError_)
NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)


def sized(raw: bytes) -> bytes:
    return struct.pack(">I", len(raw)) + raw


def table_of(tag: str, raw: bytes, key: bytes = b"k") -> bytes:
    """A table with one value of any type."""
    return sized(bytes((len(key),)) + key + tag.encode() + raw)


def decode_value(tag: str, raw: bytes) -> FieldValue:
    table, _ = decode_table(table_of(tag, raw))
    return table["k"]


def encode_value(value: FieldValue) -> bytes:
    """The tag and the value, without the table around them."""
    return encode_table({"": value})[5:]


# Round trips


@given(tables)
def test_round_trip(table: Table) -> None:
    raw = encode_table(table)
    assert decode_table(raw) == (table, len(raw))
    assert typed(decode_table(raw)[0]) == typed(table)


@given(tables, st.binary(max_size=9), st.binary(max_size=9))
def test_a_table_may_stand_anywhere(table: Table, before: bytes, after: bytes) -> None:
    raw = encode_table(table)
    whole = before + raw + after
    assert decode_table(whole, len(before)) == (table, len(before) + len(raw))


@st.composite
def raw_fields(draw: st.DrawFn) -> bytes:
    """Fields of likely types with any bytes after them."""
    field = st.tuples(
        st.sampled_from([b"\0", b"\1k"]),
        st.sampled_from([bytes((tag,)) for tag in b"tbBsuIilLfdDSAFTVx"]),
        st.sampled_from([0, 1, 2, 4, 8, 5]).flatmap(
            lambda size: st.binary(min_size=size, max_size=size)
        ),
    )
    return b"".join(map(b"".join, draw(st.lists(field, max_size=8))))


@given(raw_fields() | st.binary(max_size=100))
def test_any_fields_are_read_or_refused(fields: bytes) -> None:
    try:
        table, end = decode_table(sized(fields))
    except PEER_ERRORS:
        return
    assert end == len(fields) + 4
    # What can be decoded can be encoded; as text, since a nan does not equal itself.
    again, _ = decode_table(encode_table(table))
    assert repr(typed(again)) == repr(typed(table))


@given(tables)
def test_a_cut_is_a_frame_error(table: Table) -> None:
    raw = encode_table(table)
    for size in range(len(raw)):
        with pytest.raises(FrameError):
            decode_table(raw[:size])


# Values


@pytest.mark.parametrize(
    ("tag", "raw", "value"),
    [
        ("t", b"\0", False),
        ("t", b"\1", True),
        ("t", b"\7", True),
        ("b", b"\xff", -1),
        ("B", b"\xff", 255),
        ("s", b"\xff\xfe", -2),
        ("u", b"\xff\xfe", 65534),
        ("I", b"\xff\xff\xff\xff", -1),
        ("i", b"\xff\xff\xff\xff", 2**32 - 1),
        ("l", b"\xff" * 8, -1),
        ("L", b"\xff" * 8, -1),
        ("L", b"\x7f" + b"\xff" * 7, 2**63 - 1),
        ("f", struct.pack(">f", 1.5), 1.5),
        ("d", struct.pack(">d", 0.1), 0.1),
        ("D", b"\x02\0\0\x01\x3a", Decimal("3.14")),
        ("D", b"\x01\xff\xff\xff\xf1", Decimal("-1.5")),
        ("D", b"\xff\0\0\0\0", Decimal("0E-255")),
        ("S", b"\0\0\0\2\xc3\xa9", "é"),
        ("S", b"\0\0\0\2\xff\xfe", b"\xff\xfe"),
        ("x", b"\0\0\0\2ab", ByteArray(b"ab")),
        ("T", struct.pack(">Q", 1709208000), NOON),
        ("T", b"\xff" * 8, Timestamp(2**64 - 1)),
        ("V", b"", None),
        ("A", b"\0\0\0\0", []),
        ("A", b"\0\0\0\3VVV", [None, None, None]),
        ("F", b"\0\0\0\0", {}),
        ("F", b"\0\0\0\4\1at\1", {"a": True}),
    ],
)
def test_every_type_is_decoded(tag: str, raw: bytes, value: FieldValue) -> None:
    assert typed(decode_value(tag, raw)) == typed(value)


class Colour(IntEnum):
    RED = 3


class Word(StrEnum):
    YES = "yes"


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        (True, b"t\1"),
        (False, b"t\0"),
        (2**31 - 1, b"I\x7f\xff\xff\xff"),
        (-(2**31), b"I\x80\0\0\0"),
        (2**31, b"l\0\0\0\0\x80\0\0\0"),
        (-(2**31) - 1, b"l\xff\xff\xff\xff\x7f\xff\xff\xff"),
        (-(2**63), b"l\x80" + b"\0" * 7),
        (1.5, b"d" + struct.pack(">d", 1.5)),
        ("é", b"S\0\0\0\2\xc3\xa9"),
        (b"ab", b"S\0\0\0\2ab"),
        (ByteArray(b"ab"), b"x\0\0\0\2ab"),
        (Decimal("-1.50"), b"D\x02\xff\xff\xff\x6a"),
        (Decimal("12E+3"), b"D\0\0\0\x2e\xe0"),
        (Decimal(0).scaleb(400), b"D\0\0\0\0\0"),
        (NOON, b"T" + struct.pack(">Q", 1709208000)),
        (NOON.replace(tzinfo=None), b"T" + struct.pack(">Q", 1709208000)),
        (
            NOON.astimezone(timezone(timedelta(hours=5))) + timedelta(milliseconds=999),
            b"T" + struct.pack(">Q", 1709208000),
        ),
        (Timestamp(2**64 - 1), b"T" + b"\xff" * 8),
        (None, b"V"),
        ([1, None], b"A\0\0\0\6I\0\0\0\1V"),
        ({"a": True}, b"F\0\0\0\4\1at\1"),
        (Colour.RED, b"I\0\0\0\3"),
        (Word.YES, b"S\0\0\0\3yes"),
    ],
)
def test_every_type_is_encoded(value: FieldValue, raw: bytes) -> None:
    assert encode_value(value) == raw


@pytest.mark.parametrize(
    "value",
    [
        2**63,
        -(2**63) - 1,
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal(2**31),
        Decimal("0.1").scaleb(-255),
        Decimal("1E+1000000"),
        datetime(1969, 12, 31, tzinfo=UTC),
        Timestamp(-1),
        Timestamp(2**64),
        "lone \ud800",
        {"k" * 256: 1},
    ],
)
def test_what_does_not_fit_is_a_value_error(value: FieldValue) -> None:
    with pytest.raises(ValueError, match=r"."):
        encode_value(value)


@pytest.mark.parametrize("value", [object(), 1j, (1, 2), {1, 2}, bytearray(b"a")])
def test_what_has_no_type_is_a_type_error(value: FieldValue) -> None:
    with pytest.raises(TypeError, match=type(value).__name__):
        encode_value(value)


def test_a_key_may_have_255_bytes() -> None:
    table: Table = {"é" * 127 + "e": 1}
    assert decode_table(encode_table(table))[0] == table


def test_the_last_of_equal_keys_wins() -> None:
    assert decode_table(sized(b"\1at\0\1at\1")) == ({"a": True}, 12)


# Refusals


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "field table is truncated"),
        (b"\0\0\0", "field table is truncated"),
        (b"\0\0\0\1", "length in field table reaches past its end"),
        (b"\xff\xff\xff\xff\1at\1", "length in field table reaches past its end"),
        (sized(b"\5a"), "key in field table reaches past its end"),
        (sized(b"\1a"), "key in field table reaches past its end"),
        (sized(b"\2\xff\xfeV"), "Malformed UTF-8 in shortstr"),
        (table_of("I", b"\0\0\0"), "value in field table reaches past its end"),
        (table_of("T", b"\0" * 7), "value in field table reaches past its end"),
        (table_of("D", b"\0" * 4), "value in field table reaches past its end"),
        (table_of("S", b"\0\0"), "field table is truncated"),
        (table_of("S", b"\0\0\0\2a"), "length in field table reaches past its end"),
        (table_of("x", b"\0\0\0\2a"), "length in field table reaches past its end"),
        (table_of("A", b"\0\0\0\1"), "length in field table reaches past its end"),
        (table_of("F", b"\0\0\0\1"), "length in field table reaches past its end"),
        (
            table_of("A", sized(b"I\0\0")) + b"\0\0",
            "value in field table reaches past its end",
        ),
    ],
)
def test_a_length_past_the_end_is_a_frame_error(raw: bytes, text: str) -> None:
    with pytest.raises(FrameError) as caught:
        decode_table(raw)
    assert caught.value.text == text


def test_an_inner_table_may_not_reach_past_the_outer() -> None:
    inner = b"\1fF\0\0\0\6\1at\1"  # says 6, has 4
    raw = sized(inner) + b"\1b"  # the bytes are there, outside
    with pytest.raises(FrameError, match="past its end"):
        decode_table(raw)


@pytest.mark.parametrize("tag", ["Z", "U", "\0", "n"])
def test_an_unknown_type_is_a_syntax_error(tag: str) -> None:
    with pytest.raises(SyntaxError_, match="unknown type"):
        decode_value(tag, b"\0" * 16)


def test_the_text_of_an_unknown_type_is_ascii() -> None:
    with pytest.raises(SyntaxError_) as caught:
        decode_table(sized(b"\1k\xff"))
    assert caught.value.text == r"unknown type '\xff' in field table"


# Limits


def nested_arrays(depth: int) -> FieldValue:
    value: FieldValue = []
    for _ in range(depth - 1):
        value = [value]
    return value


def nested_tables(depth: int) -> Table:
    table: Table = {}
    for _ in range(depth - 1):
        table = {"t": table}
    return table


def raw_nest(depth: int) -> bytes:
    """Tables in tables, the innermost empty."""
    raw = sized(b"")
    for _ in range(depth - 1):
        raw = table_of("F", raw, b"")
    return raw


@pytest.mark.parametrize(
    "table", [nested_tables(DEPTH_MAX), {"a": nested_arrays(DEPTH_MAX - 1)}]
)
def test_depth_32_is_allowed(table: Table) -> None:
    assert decode_table(encode_table(table))[0] == table


@pytest.mark.parametrize(
    "table", [nested_tables(DEPTH_MAX + 1), {"a": nested_arrays(DEPTH_MAX)}]
)
def test_depth_33_is_not_encoded(table: Table) -> None:
    with pytest.raises(ValueError, match="nested deeper than 32"):
        encode_table(table)


def test_a_table_within_itself_is_a_value_error() -> None:
    table: Table = {}
    table["me"] = table
    with pytest.raises(ValueError, match="nested deeper than 32"):
        encode_table(table)


def test_depth_33_is_a_syntax_error() -> None:
    decode_table(raw_nest(DEPTH_MAX))
    with pytest.raises(SyntaxError_, match="nested deeper than 32"):
        decode_table(raw_nest(DEPTH_MAX + 1))


@pytest.mark.parametrize("depth", [8192 // 6, 20_000])
def test_a_deep_nest_is_a_syntax_error(depth: int) -> None:
    with pytest.raises(SyntaxError_, match="nested deeper than 32"):
        decode_table(raw_nest(depth))


def test_depth_is_of_nesting_not_of_neighbours() -> None:
    table: Table = {str(number): [{}] for number in range(100)}
    assert decode_table(encode_table(table))[0] == table


def test_4000_empty_keys_are_one_field() -> None:
    assert decode_table(sized(b"\0V" * 4000)) == ({"": None}, 8004)


@pytest.mark.parametrize("fields", [b"\0V", b"\1at\1"])
def test_more_than_8192_fields_are_a_syntax_error(fields: bytes) -> None:
    decode_table(sized(fields * FIELDS_MAX))
    with pytest.raises(SyntaxError_, match="more than 8192 fields"):
        decode_table(sized(fields * (FIELDS_MAX + 1)))


def test_values_of_arrays_are_counted() -> None:
    decode_table(table_of("A", sized(b"V" * (FIELDS_MAX - 1))))
    with pytest.raises(SyntaxError_, match="more than 8192 fields"):
        decode_table(table_of("A", sized(b"V" * FIELDS_MAX)))


def test_the_limit_of_fields_can_be_given() -> None:
    raw = encode_table({"a": 1, "b": [1, 2]})
    assert decode_table(raw, fields_max=4)
    with pytest.raises(SyntaxError_, match="more than 3 fields"):
        decode_table(raw, fields_max=3)


# Other libraries


@given(common_tables)
def test_pika_encodes_the_same(table: Table) -> None:
    pieces: list[bytes] = []
    pika.data.encode_table(pieces, table)
    assert encode_table(table) == b"".join(pieces)
    assert pika.data.decode_table(encode_table(table), 0)[0] == table


@given(common_tables)
def test_pamqp_understands_and_is_understood(table: Table) -> None:
    raw = encode_table(table)
    assert typed(pamqp.decode.field_table(raw)[1]) == typed(table)
    assert typed(decode_table(pamqp.encode.field_table(table))[0]) == typed(table)


@given(common_tables)
def test_py_amqp_understands_and_is_understood(table: Table) -> None:
    values, _ = serialization.loads("F", encode_table(table), 0)
    assert typed(values[0]) == typed(table)
    assert typed(decode_table(serialization.dumps("F", [table]))[0]) == typed(table)


SPECIAL: Table = {
    "when": NOON,
    "price": Decimal("3.14"),
    "debt": Decimal("-3.14"),
    "raw": ByteArray(b"\xff\0"),
}


def test_pika_reads_times_decimals_and_bytes() -> None:
    assert pika.data.decode_table(encode_table(SPECIAL), 0)[0] == SPECIAL


def test_py_amqp_reads_times_decimals_and_bytes() -> None:
    values, _ = serialization.loads("F", encode_table(SPECIAL), 0)
    assert values[0] == SPECIAL | {"when": NOON.replace(tzinfo=None)}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (2**31, 2**31),  # as L, which others read as unsigned
        (-(2**31), -(2**31)),  # as L too, though 32 bits would do
        (1.5, 1.5),
        (Decimal("3.14"), Decimal("3.14")),
        (NOON, NOON),
        ((1, "a"), [1, "a"]),
        (b"\xff", b"\xff"),
        (b"text", "text"),
    ],
)
def test_what_py_amqp_writes_is_read(theirs: object, ours: FieldValue) -> None:
    raw = serialization.dumps("F", [{"k": theirs}])
    assert typed(decode_table(raw)[0]["k"]) == typed(ours)


def test_a_l_of_py_amqp_leaves_as_l() -> None:
    raw = serialization.dumps("F", [{"k": 2**40}])
    assert raw[6:7] == b"L"
    assert encode_table(decode_table(raw)[0])[6:7] == b"l"
