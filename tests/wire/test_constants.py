"""warren.wire.constants: against another library's copy of the specification."""

from __future__ import annotations

import pika.frame
import pika.spec
import pytest

from warren.wire import constants


@pytest.mark.parametrize(
    "name",
    [
        "FRAME_METHOD",
        "FRAME_HEADER",
        "FRAME_BODY",
        "FRAME_HEARTBEAT",
        "FRAME_END",
        "FRAME_HEADER_SIZE",
    ],
)
def test_numbers_are_those_of_pika(name: str) -> None:
    assert getattr(constants, name) == getattr(pika.spec, name)


def test_sizes() -> None:
    assert constants.FRAME_OVERHEAD == constants.FRAME_HEADER_SIZE + 1
    assert constants.FRAME_SIZE_MIN == pika.spec.FRAME_MIN_SIZE


def test_protocol_header_and_heartbeat_are_those_of_pika() -> None:
    assert pika.frame.ProtocolHeader().marshal() == constants.PROTOCOL_HEADER
    assert pika.frame.Heartbeat().marshal() == constants.HEARTBEAT


def test_basic_class() -> None:
    assert pika.spec.BasicProperties.INDEX == constants.BASIC_CLASS
