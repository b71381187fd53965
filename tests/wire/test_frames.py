"""warren.wire.frames: encoders, and the reference parser."""

from __future__ import annotations

import pika.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.errors import AMQPError, FrameError, UnexpectedFrame
from warren.wire.constants import (
    FRAME_BODY,
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
    FRAME_OVERHEAD,
    FRAME_SIZE_MIN,
    HEARTBEAT,
)
from warren.wire.frames import (
    BODY_COPIED_MAX,
    Frame,
    encode_content,
    encode_frame,
    encode_method,
    parse_frames,
    read_frame,
)
from warren.wire.methods import BasicAck, BasicPublish
from warren.wire.properties import Properties, encode_header

channels = st.integers(0, 2**16 - 1)
frames = st.one_of(
    st.builds(
        Frame, st.just(FRAME_METHOD), channels, st.binary(min_size=4, max_size=40)
    ),
    st.builds(
        Frame,
        st.sampled_from([FRAME_HEADER, FRAME_BODY]),
        channels,
        st.binary(max_size=40),
    ),
    st.just(Frame(FRAME_HEARTBEAT, 0, b"")),
)


@given(st.lists(frames), frames, st.integers(0))
def test_round_trip(whole: list[Frame], last: Frame, cut: int) -> None:
    tail = encode_frame(*last)
    rest = tail[: cut % len(tail)]
    data = b"".join(encode_frame(*frame) for frame in whole) + rest
    assert parse_frames(data, FRAME_SIZE_MIN) == (whole, rest)


def test_a_frame_by_hand() -> None:
    assert encode_frame(3, 258, b"abc") == b"\3\1\2\0\0\0\3abc\xce"
    assert encode_frame(FRAME_HEARTBEAT, 0, b"") == HEARTBEAT


@given(channels, st.binary(max_size=50))
def test_pika_reads_and_writes_the_same(channel: int, body: bytes) -> None:
    raw = encode_frame(FRAME_BODY, channel, body)
    assert raw == pika.frame.Body(channel, body).marshal()
    size, frame = pika.frame.decode_frame(raw)
    assert (size, frame.channel_number, frame.fragment) == (len(raw), channel, body)


def test_a_method_is_a_frame() -> None:
    method = BasicAck(5)
    ((frame,), rest) = parse_frames(encode_method(9, method), FRAME_SIZE_MIN)
    assert frame == Frame(FRAME_METHOD, 9, method.encode())
    assert rest == b""


# Content


@given(
    st.sampled_from([FRAME_OVERHEAD + 1, 20, FRAME_SIZE_MIN]),
    st.binary(max_size=60)
    | st.sampled_from(
        [bytes(FRAME_SIZE_MIN - FRAME_OVERHEAD), bytes(FRAME_SIZE_MIN - 7)]
    ),
)
def test_content_is_cut_into_frames(frame_size_max: int, body: bytes) -> None:
    method = BasicPublish(exchange="e", routing_key="k")
    header = encode_header(Properties(priority=1), len(body))
    chunks = encode_content(3, method, header, body, frame_size_max)
    (first, second, *bodies), rest = parse_frames(b"".join(chunks), FRAME_SIZE_MIN)
    assert rest == b""
    assert first == Frame(FRAME_METHOD, 3, method.encode())
    assert second == Frame(FRAME_HEADER, 3, header)
    assert b"".join(frame.payload for frame in bodies) == body
    assert all((frame.kind, frame.channel) == (FRAME_BODY, 3) for frame in bodies)
    assert all(
        0 < len(frame.payload) <= frame_size_max - FRAME_OVERHEAD for frame in bodies
    )
    # No more frames than needed: all but the last are full.
    assert len(bodies) == -(-len(body) // (frame_size_max - FRAME_OVERHEAD))


def content(body: bytes) -> list[bytes]:
    header = encode_header(Properties(), len(body))
    return encode_content(1, BasicPublish(), header, body, 131072)


def test_a_small_message_is_one_chunk() -> None:
    assert len(content(b"")) == len(content(bytes(BODY_COPIED_MAX - 1))) == 1


def test_a_large_body_is_not_copied() -> None:
    body = bytes(BODY_COPIED_MAX)
    _, middle, end = content(body)
    assert middle is body
    assert end == b"\xce"


# Refusals

LIMIT = 4096


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (
            b"\3\0\1\0\0\0\3abc\xcf",
            FrameError(
                'type 3, all octets = <<"abc">>: {invalid_frame_end_marker,207}'
            ),
        ),
        (
            b"\3\0\1\0\0\x10\x01",  # the payload need not have come
            FrameError("type 3, all octets = <<>>: {frame_too_large,4097,4088}"),
        ),
        (
            encode_frame(0, 1, b""),
            FrameError("type 0, all octets = <<>>: unknown_frame"),
        ),
        (
            encode_frame(4, 1, bytes(20)),
            FrameError(
                "type 4, first 16 octets = "
                "<<0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0>>: unknown_frame"
            ),
        ),
        (
            encode_frame(9, 0, b"\1"),
            FrameError("type 9, all octets = <<1>>: unknown_frame"),
        ),
        (
            encode_frame(255, 0, b"hi\n"),
            FrameError("type 255, all octets = <<104,105,10>>: unknown_frame"),
        ),
        (
            encode_frame(FRAME_HEARTBEAT, 0, b"x"),
            FrameError('type 8, all octets = <<"x">>: unknown_frame'),
        ),
        (
            encode_frame(FRAME_HEARTBEAT, 5, b"x"),
            FrameError('type 8, all octets = <<"x">>: unknown_frame'),
        ),
        (
            encode_frame(FRAME_HEARTBEAT, 5, b""),
            UnexpectedFrame("type 8, all octets = <<>>"),
        ),
        (
            encode_frame(FRAME_METHOD, 1, b"\0\x0a\0"),
            FrameError("type 1, all octets = <<0,10,0>>: unknown_frame"),
        ),
    ],
)
def test_refusals(data: bytes, error: AMQPError) -> None:
    with pytest.raises(type(error)) as caught:
        parse_frames(HEARTBEAT + data, LIMIT)
    assert caught.value.text == error.text


def test_eight_bytes_too_many_are_forgiven() -> None:
    data = encode_frame(FRAME_BODY, 1, bytes(LIMIT))
    assert parse_frames(data, LIMIT) == ([Frame(FRAME_BODY, 1, bytes(LIMIT))], b"")


@given(st.binary(max_size=60), st.integers(0, 60))
def test_any_bytes_are_frames_or_refused(data: bytes, offset: int) -> None:
    try:
        found = read_frame(data, offset, LIMIT)
    except (FrameError, UnexpectedFrame):
        return
    if found is not None:
        frame, stop = found
        assert data[offset:stop] == encode_frame(*frame)


def test_a_megabyte_of_zeros_is_refused_at_once() -> None:
    with pytest.raises(FrameError, match="invalid_frame_end_marker,0"):
        parse_frames(bytes(1024 * 1024), LIMIT)
