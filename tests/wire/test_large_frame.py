"""A large frame in any cuts is the frame itself, and takes no byte more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.wire.frames import encode_frame
from warren.wire.large_frame import LARGE_SIZE, LargeFrame, is_large


@given(
    size=st.integers(0, 60),
    first=st.integers(7, 67),
    cuts=st.lists(st.integers(1, 20)),
    before=st.binary(max_size=5),
    after=st.binary(max_size=5),
)
def test_any_cuts(
    size: int, first: int, cuts: list[int], before: bytes, after: bytes
) -> None:
    payload = bytes(range(100, 100 + size))
    whole = encode_frame(3, 7, payload)
    first = min(first, len(whole) - 1)
    frame = LargeFrame(before + whole[:first], len(before))
    rest = whole[first:] + after
    used = taken = 0
    for cut in [*cuts, len(rest)]:
        piece = rest[taken : taken + cut]
        used = frame.add(piece)
        if used:
            break
        taken += len(piece)
    assert taken + used == len(whole) - first
    assert (frame.kind, frame.channel, frame.payload) == (3, 7, payload)
    assert frame.end == 0xCE


@pytest.mark.parametrize(
    ("size", "length", "expected"),
    [
        (LARGE_SIZE, 7, True),
        (LARGE_SIZE, 6, False),
        (LARGE_SIZE - 1, 7, False),
        (LARGE_SIZE, 0, False),
    ],
)
def test_what_is_large(size: int, length: int, expected: bool) -> None:
    data = encode_frame(3, 1, bytes(size))[:length]
    assert is_large(b"xx" + data, 2) is expected
