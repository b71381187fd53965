"""warren.wire.splitter: any cuts of the input give the same frames and errors."""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import cuts
from warren.errors import AMQPError
from warren.wire.constants import FRAME_BODY, HEARTBEAT
from warren.wire.frames import Frame, encode_frame, read_frame
from warren.wire.splitter import Splitter

if TYPE_CHECKING:
    from collections.abc import Iterable

LIMIT = 4096
Outcome = tuple[list[Frame], str, int]


def read_all(data: bytes, position: int, frames: list[Frame]) -> int:
    """The reader's loop. Returns where it stopped."""
    while found := read_frame(data, position, LIMIT):
        frame, position = found
        frames.append(frame)
    return position


def read_whole(data: bytes) -> Outcome:
    """Frames, the error after them, how much was left: all data in one piece."""
    frames: list[Frame] = []
    try:
        position = read_all(data, 0, frames)
    except AMQPError as error:
        return frames, error.reply_text, 0
    return frames, "", len(data) - position


def read_chunks(chunks: Iterable[bytes]) -> Outcome:
    """The same, read by read."""
    splitter = Splitter()
    frames: list[Frame] = []
    for chunk in chunks:
        data = splitter.join(chunk)
        try:
            position = read_all(data, 0, frames)
        except AMQPError as error:
            return frames, error.reply_text, 0
        splitter.keep(data, position)
    return frames, "", splitter.size


likely = st.lists(
    st.builds(
        encode_frame,
        st.sampled_from([1, 2, 3, 8, 0]),
        st.sampled_from([0, 1]),
        st.sampled_from([b"", bytes(4), bytes(100)]),
    )
    | st.just(HEARTBEAT)
    | st.just(b"\3\0\1\0\0\x10\x01")  # too large
    | st.just(b"\3\0\1\0\0\0\0\xcf"),  # a wrong end
    max_size=8,
).map(b"".join)


@given(likely | st.binary(max_size=200), st.data())
def test_any_cuts_give_the_same(data: bytes, draw: st.DataObject) -> None:
    assert read_chunks(draw.draw(cuts(data))) == read_whole(data)


@given(likely)
def test_byte_by_byte_gives_the_same(data: bytes) -> None:
    assert read_chunks(data[at : at + 1] for at in range(len(data))) == read_whole(data)


def test_data_passes_untouched_when_nothing_is_kept() -> None:
    splitter = Splitter()
    data = HEARTBEAT * 2
    assert splitter.join(data) is data
    splitter.keep(data, len(data))
    assert splitter.size == 0
    assert splitter.join(data) is data


def test_nothing_is_returned_until_the_frame_is_whole() -> None:
    frame = encode_frame(FRAME_BODY, 1, bytes(1000))
    splitter = Splitter()
    splitter.keep(frame[:7], 0)
    for start, stop in pairwise(range(7, len(frame), 7)):
        assert splitter.join(frame[start:stop]) == b""
        splitter.keep(b"", 0)
    assert splitter.join(frame[splitter.size :] + b"more") == frame + b"more"
    assert splitter.size == 0


def test_chunks_of_a_large_frame_are_collected_not_copied() -> None:
    frame = encode_frame(FRAME_BODY, 1, bytes(100_000))
    splitter = Splitter()
    splitter.keep(frame[:7], 0)
    chunk = bytes(50_000)
    before = sys.getrefcount(chunk)
    splitter.join(chunk)
    assert sys.getrefcount(chunk) == before + 1


def test_a_cut_header_is_looked_at_once_it_is_whole() -> None:
    splitter = Splitter()
    splitter.keep(b"\3\0\1", 0)
    assert splitter.join(b"\xff\xff\xff") == b""
    # Seven bytes: the reader sees that the frame is too large, and need not wait.
    assert splitter.join(b"\xff") == b"\3\0\1\xff\xff\xff\xff"


def test_whole_frames_that_were_not_acted_on_are_kept_too() -> None:
    splitter = Splitter()
    splitter.keep(HEARTBEAT * 3, len(HEARTBEAT))
    assert splitter.size == 2 * len(HEARTBEAT)
    assert splitter.join(b"") == HEARTBEAT * 2
