"""warren.wire.content: three states and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import cuts, properties
from warren.errors import FrameError, UnexpectedFrame
from warren.wire.content import Content, ContentAssembler, ContentState
from warren.wire.methods import BasicDeliver
from warren.wire.properties import Properties, encode_header

METHOD = BasicDeliver("tag", 1)


def header(body_size: int) -> bytes:
    return encode_header(Properties(priority=3), body_size)


def assembler_in(state: ContentState) -> ContentAssembler:
    assembler = ContentAssembler()
    if state is not ContentState.METHOD:
        assembler.begin(METHOD)
    if state is ContentState.BODY:
        assembler.header(header(5))
    assert assembler.state is state
    return assembler


@given(st.lists(st.tuples(properties, st.binary(max_size=50)), max_size=3), st.data())
def test_what_was_cut_is_whole_again(
    contents: list[tuple[Properties, bytes]], data: st.DataObject
) -> None:
    assembler = ContentAssembler()
    for drawn, body in contents:
        assembler.begin(METHOD)
        found = assembler.header(encode_header(drawn, len(body)))
        for piece in data.draw(cuts(body)):
            assert found is None
            found = assembler.body(piece)
        assert found == Content(METHOD, encode_header(drawn, len(body)), body)
        assembler.check_idle()


def test_one_piece_is_not_copied() -> None:
    assembler = assembler_in(ContentState.BODY)
    body = b"12345"
    found = assembler.body(body)
    assert found is not None
    assert found.body is body


def test_empty_pieces_are_legal() -> None:
    assembler = assembler_in(ContentState.BODY)
    assert assembler.body(b"") is None
    assert assembler.body(b"1234") is None
    assert assembler.body(b"") is None
    assert assembler.body(b"5") == Content(METHOD, header(5), b"12345")


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (
            ContentState.HEADER,
            "expected content header for class 60,"
            " got non content header frame instead",
        ),
        (
            ContentState.BODY,
            "expected content body, got non content body frame instead",
        ),
    ],
)
def test_a_method_has_no_place_within_a_content(state: ContentState, text: str) -> None:
    assembler = assembler_in(state)
    with pytest.raises(UnexpectedFrame) as caught:
        assembler.begin(METHOD)
    assert caught.value.text == text
    with pytest.raises(UnexpectedFrame):
        assembler.check_idle()
    assert assembler.state is state


@pytest.mark.parametrize("state", [ContentState.METHOD, ContentState.BODY])
def test_a_header_out_of_place(state: ContentState) -> None:
    assembler = assembler_in(state)
    with pytest.raises(UnexpectedFrame):
        assembler.header(header(5))
    assert assembler.state is state


@pytest.mark.parametrize("state", [ContentState.METHOD, ContentState.HEADER])
def test_a_body_out_of_place(state: ContentState) -> None:
    assembler = assembler_in(state)
    with pytest.raises(UnexpectedFrame):
        assembler.body(b"x")
    assert assembler.state is state


def test_a_body_after_an_empty_body() -> None:
    assembler = assembler_in(ContentState.HEADER)
    whole = Content(METHOD, header(0), b"")
    assert assembler.header(header(0)) == whole
    with pytest.raises(UnexpectedFrame, match="expected method frame"):
        assembler.body(b"")


def test_a_body_that_is_too_long() -> None:
    assembler = assembler_in(ContentState.BODY)
    with pytest.raises(FrameError, match="exceeds remaining content size"):
        assembler.body(b"123456")


def test_a_header_that_cannot_be_read() -> None:
    assembler = assembler_in(ContentState.HEADER)
    with pytest.raises(FrameError):
        assembler.header(b"short")
