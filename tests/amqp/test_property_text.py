"""Properties as routing sees them: text, read from bytes that nobody decoded."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.wire.properties import Properties, encode_header
from warren_broker.amqp.content_header import ContentHeader

texts = st.one_of(st.none(), st.text(max_size=40))


@given(
    message_id=texts,
    correlation_id=texts,
    seconds=st.one_of(st.none(), st.integers(0, 2**32)),
    content_type=texts,
    headers=st.one_of(st.none(), st.just({"message_id": "not this", "n": 1})),
)
def test_a_property_reads_as_it_was_written(
    message_id: str | None,
    correlation_id: str | None,
    seconds: int | None,
    content_type: str | None,
    headers: dict[str, object] | None,
) -> None:
    properties = Properties(
        content_type=content_type,
        headers=headers,  # type: ignore[arg-type]
        message_id=message_id,
        correlation_id=correlation_id,
        timestamp=None if seconds is None else datetime.fromtimestamp(seconds, UTC),
    )
    header = ContentHeader(encode_header(properties, 0))
    assert header.property_text("message_id") == message_id
    assert header.property_text("correlation_id") == correlation_id
    assert header.property_text("timestamp") == (
        None if seconds is None else str(seconds)
    )


def test_what_is_no_text_is_escaped() -> None:
    payload = encode_header(Properties(message_id="ab"), 0).replace(b"ab", b"a\xff")
    assert ContentHeader(payload).property_text("message_id") == "a\\xff"


def test_routing_asks_for_no_other_property() -> None:
    with pytest.raises(KeyError):
        ContentHeader(encode_header(Properties(), 0)).property_text("app_id")
