"""warren.errors: codes, scopes, reply texts."""

from __future__ import annotations

import pickle

import pika.spec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren import errors
from warren.errors import (
    AMQPError,
    ChannelError,
    ConnectionError_,
    InternalError,
    NotFound,
    ReplyCode,
    WarrenError,
    error_for,
)

LEAVES = [
    leaf
    for scope in (ChannelError, ConnectionError_)
    for leaf in scope.__subclasses__()
]

SOFT = {311, 312, 313, 403, 404, 405, 406}
HARD = {320, 402, 501, 502, 503, 504, 505, 506, 530, 540, 541}


def test_scope_is_that_of_the_specification() -> None:
    assert {leaf.code for leaf in ChannelError.__subclasses__()} == SOFT
    assert {leaf.code for leaf in ConnectionError_.__subclasses__()} == HARD


def test_every_code_but_success_has_one_class() -> None:
    codes = [leaf.code for leaf in LEAVES]
    assert sorted(codes) == sorted(set(ReplyCode) - {ReplyCode.REPLY_SUCCESS})


@pytest.mark.parametrize("code", ReplyCode, ids=lambda code: code.name)
def test_codes_are_those_that_pika_knows(code: ReplyCode) -> None:
    assert getattr(pika.spec, code.name) == code


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_error_for_makes_the_class_of_the_code(leaf: type[AMQPError]) -> None:
    error = error_for(int(leaf.code), f"{leaf.code.name} - it is so")
    assert type(error) is leaf
    assert isinstance(error, WarrenError)
    assert error.text == "it is so"
    assert str(error) == error.reply_text == f"{leaf.code.name} - it is so"


def test_error_for_takes_a_text_without_a_name() -> None:
    assert error_for(404, "gone").reply_text == "NOT_FOUND - gone"


@pytest.mark.parametrize("code", [0, 200, 299, 999])
def test_error_for_tells_an_unknown_code(code: int) -> None:
    error = error_for(code, "what?")
    assert type(error) is InternalError
    assert error.text == f"reply code {code}: what?"


def test_channel_not_open_is_channel_error_on_the_wire() -> None:
    text = errors.ChannelNotOpen("expected 'channel.open'").reply_text
    assert text == "CHANNEL_ERROR - expected 'channel.open'"


@given(st.text(max_size=400) | st.text("é€𝄞", min_size=60, max_size=300))
def test_reply_text_fits_a_short_string(text: str) -> None:
    whole = f"NOT_FOUND - {text}"
    reply_text = NotFound(text).reply_text
    size = len(reply_text.encode())
    assert size <= 255
    assert whole.startswith(reply_text)
    # Nothing is cut that would have fitted.
    assert reply_text == whole or size + len(whole[len(reply_text)].encode()) > 255


def test_reply_text_can_always_be_encoded() -> None:
    assert NotFound("lone \ud800").reply_text == "NOT_FOUND - lone ?"


def test_errors_can_be_pickled() -> None:
    copy = pickle.loads(pickle.dumps(NotFound("no queue")))
    assert (type(copy), copy.text) == (NotFound, "no queue")
