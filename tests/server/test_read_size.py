"""ReadSize: large while it is filled, small for the idle."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from warren_broker.server.read_size import (
    SIZE_MAX,
    SIZE_MIN,
    SIZE_RESTING,
    SMALL_READS_MAX,
    ReadSize,
)


def test_doubles_while_filled() -> None:
    size = ReadSize()
    seen = []
    for _ in range(6):
        seen.append(size.bytes)
        size.observe(size.bytes)
    assert seen == [2**14, 2**15, 2**16, 2**17, SIZE_MAX, SIZE_MAX]


def test_rests_as_soon_as_a_large_read_is_not_filled() -> None:
    size = ReadSize()
    while size.bytes < SIZE_MAX:
        size.observe(size.bytes)
    size.observe(SIZE_MAX - 1)
    assert size.bytes == SIZE_RESTING


def test_shrinks_after_small_reads_in_a_row_only() -> None:
    size = ReadSize()
    while size.bytes < SIZE_RESTING:
        size.observe(size.bytes)
    for _ in range(SMALL_READS_MAX - 1):
        size.observe(1)
    size.observe(SIZE_RESTING - 1)
    for _ in range(SMALL_READS_MAX - 1):
        size.observe(1)
    assert size.bytes == SIZE_RESTING
    size.observe(1)
    assert size.bytes == SIZE_RESTING // 2


@given(st.lists(st.floats(0, 1)))
def test_stays_within_bounds(shares: list[float]) -> None:
    size = ReadSize()
    for share in shares:
        size.observe(int(size.bytes * share))
        assert SIZE_MIN <= size.bytes <= SIZE_MAX
    for _ in range(4 * SMALL_READS_MAX):
        size.observe(1)
    assert size.bytes == SIZE_MIN
