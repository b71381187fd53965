"""Splicing a header gives what decoding, changing and encoding it gives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import properties
from warren.wire.properties import Properties, decode_header, encode_header
from warren.wire.table import LongInt
from warren_broker.amqp.splice import OFFSET, encode_fields, splice

MARKS = st.dictionaries(
    st.sampled_from(["x-stream-gap", "x-snapshot", "x-stream-partition"]),
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
    for name, value in {**marks, "x-stream-offset": offset}.items():
        headers.pop(name, None)  # the last of equal names counts, and comes last
        headers[name] = LongInt(value) if type(value) is int else value  # type: ignore[assignment]
    changed.headers = headers
    assert decode_header(spliced) == (size, changed)
    names = {"x-stream-offset", *marks}
    if names.isdisjoint(decode_header(payload)[1].headers or {}):
        assert len(spliced) == len(encode_header(changed, size))


def test_a_publisher_cannot_say_which_offset_it_is() -> None:
    payload = encode_header(Properties(headers={"x-stream-offset": 7}), 0)
    before, after = splice(payload, b"")
    _, read = decode_header(before + OFFSET.pack(1) + after)
    assert read.headers == {"x-stream-offset": 1}
