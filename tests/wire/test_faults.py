"""warren.wire.faults: texts that people and libraries search for."""

from __future__ import annotations

import pytest

from warren.errors import AMQPError, FrameError, NotImplemented_, UnexpectedFrame
from warren.wire import faults


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (
            faults.unknown_frame(7, b"\xff"),
            FrameError,
            "type 7, all octets = <<255>>: unknown_frame",
        ),
        (
            faults.unknown_frame(7, b"a" * 16),
            FrameError,
            'type 7, all octets = <<"aaaaaaaaaaaaaaaa">>: unknown_frame',
        ),
        (
            faults.unknown_frame(7, b"a" * 17),
            FrameError,
            'type 7, first 16 octets = <<"aaaaaaaaaaaaaaaa">>: unknown_frame',
        ),
        (
            faults.frame_too_large(2, 200_000, 131_072),
            FrameError,
            "type 2, all octets = <<>>: {frame_too_large,200000,131064}",
        ),
        (
            faults.wrong_frame_end(1, b"", 0),
            FrameError,
            "type 1, all octets = <<>>: {invalid_frame_end_marker,0}",
        ),
        (
            faults.unexpected_frame(8, b""),
            UnexpectedFrame,
            "type 8, all octets = <<>>",
        ),
        (
            faults.method_expected(),
            UnexpectedFrame,
            "expected method frame, got non method frame instead",
        ),
        (
            faults.header_expected(),
            UnexpectedFrame,
            "expected content header for class 60,"
            " got non content header frame instead",
        ),
        (
            faults.header_of_other_class(50),
            UnexpectedFrame,
            "expected content header for class 60, got one for class 50 instead",
        ),
        (
            faults.body_expected(),
            UnexpectedFrame,
            "expected content body, got non content body frame instead",
        ),
        (
            faults.body_too_long(),
            FrameError,
            "content body frame exceeds remaining content size",
        ),
        (
            faults.unknown_method(60, 999),
            NotImplemented_,
            "unknown method id {60,999}",
        ),
        (
            faults.malformed_method(b"\0\x3c\0\x50\1\2"),
            FrameError,
            "cannot decode <<1,2>>",
        ),
        (faults.malformed_string(), FrameError, "Malformed UTF-8 in shortstr"),
        (
            faults.malformed_header(b"\0\x3c"),
            FrameError,
            "cannot decode properties <<0,60>>",
        ),
    ],
)
def test_texts(error: AMQPError, kind: type[AMQPError], text: str) -> None:
    assert (type(error), error.text) == (kind, text)


@pytest.mark.parametrize(
    "error",
    [
        faults.unknown_frame(1, bytes(1024 * 1024)),
        faults.malformed_method(bytes(1024 * 1024)),
        faults.malformed_header(bytes(1024 * 1024)),
    ],
)
def test_a_text_shows_the_beginning_only(error: AMQPError) -> None:
    assert len(error.text) < 256
