"""A header that was rewritten is what reading it anew would make of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import properties
from warren.errors import AMQPError
from warren.wire.properties import Properties, decode_header, encode_header
from warren_broker.amqp.content_header import ContentHeader

EMPTY = ContentHeader(encode_header(Properties(), 0))
keys = st.lists(st.text(max_size=5), max_size=3)
asked = st.fixed_dictionaries(
    {},
    optional={
        "x-delay": st.integers(-5, 5),
        "x-deliver-at": st.integers(0, 9),
        "x-schedule-id": st.text(max_size=3),
        "x-retry-delay": st.integers(0, 5),
        "CC": keys,
        "BCC": keys,
        "k": st.integers(0, 9),
    },
)


lives = st.none() | st.integers(0, 9).map(str)


def header_of(drawn: Properties, life: str | None, size: int) -> ContentHeader | None:
    """The header, if a client may send it."""
    drawn.expiration = life
    try:
        return ContentHeader(encode_header(drawn, size))
    except AMQPError:  # its CC is no list, say
        return None


def facts(header: ContentHeader) -> object:
    return (
        header.body_size,
        header.persistent,
        header.priority,
        header.expiration_ms,
        header.headers(),
        header.user_id,
        header.reply_to,
    )


@given(properties, lives, st.integers(0, 2**64 - 1), asked, st.booleans())
def test_rewritten(
    drawn: Properties,
    life: str | None,
    body_size: int,
    headers: dict[str, object],
    keeps: bool,
) -> None:
    header = header_of(drawn, life, body_size)
    if header is None:
        return
    before = decode_header(header.payload)
    headers["k"] = 1
    rewritten = header.rewritten(headers, keep_expiration=keeps)
    read = ContentHeader(rewritten.payload)
    assert facts(rewritten) == facts(read)
    assert rewritten.extra_keys == read.extra_keys
    assert rewritten.headers() == headers
    assert rewritten.is_plain == (not rewritten.extra_keys)
    assert decode_header(header.payload) == before
    size, after = decode_header(rewritten.payload)
    assert size == body_size
    for name in ("content_type", "correlation_id", "message_id", "timestamp", "app_id"):
        assert getattr(after, name) == getattr(before[1], name)
    assert after.expiration == (before[1].expiration if keeps else None)


@given(properties, lives, st.text(max_size=20))
def test_with_another_reply_to(drawn: Properties, life: str | None, name: str) -> None:
    header = header_of(drawn, life, 7)
    if header is None:
        return
    other = header.with_reply_to(name)
    read = ContentHeader(other.payload)
    assert facts(other) == facts(read)
    assert other.reply_to == name
    assert (other.extra_keys, other.is_plain) == (read.extra_keys, read.is_plain)


@given(asked)
def test_blind_copies_leave_the_table_only(headers: dict[str, object]) -> None:
    header = ContentHeader(encode_header(Properties(headers=headers), 7))  # type: ignore[arg-type]
    seen = header.without_bcc()
    assert facts(seen) == facts(ContentHeader(seen.payload))
    assert "BCC" not in seen.headers()
    assert seen.extra_keys == header.extra_keys
    assert seen.is_plain == header.is_plain
    assert seen.directives is header.directives


@given(asked)
def test_what_a_header_asks_for(headers: dict[str, object]) -> None:
    header = ContentHeader(encode_header(Properties(headers=headers), 7))  # type: ignore[arg-type]
    assert not header.repeats  # it is nobody else's: `instruct` may change it
    found = header.directives
    delay = headers.get("x-delay", 0)
    assert isinstance(delay, int)
    is_asking = delay > 0 or any(
        key in headers for key in ("x-deliver-at", "x-schedule-id")
    )
    assert header.is_plain == (not header.extra_keys and not is_asking)
    assert (found is None) == (not is_asking and "x-retry-delay" not in headers)
    if found is not None:
        assert found.concerns_publishing == is_asking
        assert found.retry_delay_ms == headers.get("x-retry-delay")
        rewritten = header.rewritten(headers, keep_expiration=True)
        lasting = rewritten.directives
        assert (lasting is None) == ("x-retry-delay" not in headers)
        assert lasting is None or not lasting.concerns_publishing


@pytest.mark.parametrize("name", ["user_id", "reply_to"])
def test_a_header_without_properties(name: str) -> None:
    assert getattr(EMPTY, name) is None
    assert (EMPTY.is_plain, EMPTY.directives, EMPTY.extra_keys) == (True, None, ())
