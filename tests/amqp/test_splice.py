"""Splicing a header gives what decoding, changing and encoding it gives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import common_scalars, common_tables, properties
from warren.wire.properties import Properties, decode_header, encode_header
from warren.wire.table import LongInt, Table
from warren_broker.amqp.splice import OFFSET, encode_fields, splice

NAMES = ["x-stream-gap", "x-snapshot", "x-stream-partition", "x-delivery-count"]
OWN = {*NAMES, "x-stream-offset"}
MARKS = st.dictionaries(
    st.sampled_from(NAMES),
    st.integers(0, 2**63 - 1) | st.booleans() | st.text(max_size=20),
)


@given(
    properties,
    st.integers(0, 2**40),
    MARKS,
    st.integers(0, 2**63 - 1),
)
def test_splicing_is_decoding_changing_and_encoding(
    given_properties: Properties, body_size: int, marks: dict[str, object], offset: int
) -> None:
    payload = encode_header(given_properties, body_size)
    before, after = splice(payload, encode_fields(marks))
    spliced = before + OFFSET.pack(offset) + after
    size, changed = decode_header(payload)
    headers = dict(changed.headers or {})
    for name in OWN:
        headers.pop(name, None)
    for name, value in {**marks, "x-stream-offset": offset}.items():
        headers[name] = LongInt(value) if type(value) is int else value  # type: ignore[assignment]
    changed.headers = headers
    assert decode_header(spliced) == (size, changed)
    assert len(spliced) == len(encode_header(changed, size))


@given(st.dictionaries(st.sampled_from([*OWN, "x"]), common_scalars | common_tables))
def test_a_publisher_cannot_say_what_the_broker_says(headers: Table) -> None:
    payload = encode_header(Properties(headers=headers), 0)
    before, after = splice(payload, encode_fields({"x-stream-gap": 3}))
    _, read = decode_header(before + OFFSET.pack(1) + after)
    assert read.headers is not None
    own = {"x-stream-gap": 3, "x-stream-offset": 1}
    assert read.headers == {**({"x": headers["x"]} if "x" in headers else {}), **own}
    assert before.count(b"x-stream-offset") == 1  # some receivers believe the first


def test_a_table_that_cannot_be_read_is_left_as_it_is() -> None:
    table = b"\x0ax-snapshotZ"
    payload = bytes(12) + b"\x20\x00" + len(table).to_bytes(4, "big") + table
    before, _ = splice(payload, b"")
    assert table in before
