"""Claims: what a publisher says of a record by the headers of its message.

A plain record does not pay for it: nothing is decoded before the name of a header is
seen among the bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warren_broker.core.message import Header

PRODUCER_ID: Final = "x-producer-id"
PRODUCER_SEQUENCE: Final = "x-producer-seq"
EXPECTED_OFFSET: Final = "x-expected-offset"
FILTER_VALUE: Final = "x-stream-filter-value"

TEXT_MAX_BYTES: Final = 255
_RAW_NAMES: Final = tuple(
    name.encode() for name in ("x-producer-", EXPECTED_OFFSET, FILTER_VALUE)
)
_PRODUCER: Final = frozenset({PRODUCER_ID, PRODUCER_SEQUENCE})
_INTEGER_END: Final = 2**63


class Claims(NamedTuple):
    """What one message claims; None: nothing.

    Attributes:
        producer: who made it, and which of its messages it is.
        expected_offset: the only offset it may get.
        filter_value: what readers may choose by.
        is_valid: every header has a value that can be.
    """

    producer: tuple[str, int] | None
    expected_offset: int | None
    filter_value: str | None
    is_valid: bool


def read_claims(header: Header) -> Claims | None:
    """Return what `header` claims; None for nearly all, which claim nothing."""
    payload = header.payload
    if not any(name in payload for name in _RAW_NAMES):
        return None
    headers = header.headers()
    producer_id, sequence = _text(headers, PRODUCER_ID), None
    if PRODUCER_SEQUENCE in headers:
        sequence = _integer(headers, PRODUCER_SEQUENCE)
    producer = None
    if producer_id is not None and sequence is not None:
        producer = producer_id, sequence
    expected = _integer(headers, EXPECTED_OFFSET)
    filter_value = _text(headers, FILTER_VALUE)
    is_valid = (
        (producer is not None or headers.keys().isdisjoint(_PRODUCER))
        and (EXPECTED_OFFSET not in headers or expected is not None)
        and (FILTER_VALUE not in headers or filter_value is not None)
    )
    return Claims(producer, expected, filter_value, is_valid)


def _text(headers: Mapping[str, object], name: str) -> str | None:
    value = headers.get(name)
    if isinstance(value, str) and len(value.encode()) <= TEXT_MAX_BYTES:
        return value
    return None


def _integer(headers: Mapping[str, object], name: str) -> int | None:
    value = headers.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < _INTEGER_END else None
