"""Messages measure all of themselves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.core.exchange_support import PlainHeader
from warren_broker.core.message import Message, Route


@given(st.binary(), st.binary(), st.binary())
def test_the_size_counts_body_header_and_route(
    body: bytes, payload: bytes, encoded: bytes
) -> None:
    header = PlainHeader()
    header.payload = payload
    message = Message(Route("x", "k", encoded), header, body)
    assert message.size_bytes == len(body) + len(payload) + len(encoded)


def test_a_message_without_a_body_still_has_a_size() -> None:
    header = PlainHeader()
    header.payload = bytes(4096)
    assert Message(Route("", "q", b"\0\1q"), header, b"").size_bytes == 4099
