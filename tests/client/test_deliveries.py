"""The two fast paths of a consumer, held to their plain twins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warren.errors import FrameError
from warren.protocol.deliveries import (
    KNOWN_MAX,
    AckRun,
    DeliverReader,
    ack_frame,
)
from warren.wire.frames import encode_method, parse_frames
from warren.wire.methods import BasicAck, BasicDeliver, decode_method

words = st.sampled_from(["", "a", "b", "ü"])
delivers = st.builds(
    BasicDeliver,
    consumer_tag=words,
    delivery_tag=st.integers(0, 2**64 - 1),
    redelivered=st.booleans(),
    exchange=words,
    routing_key=words,
)


@given(st.lists(delivers))
def test_deliveries_are_read_as_the_codec_reads_them(
    methods: list[BasicDeliver],
) -> None:
    reader = DeliverReader()
    for method in methods:
        assert reader.decode(method.encode()) == method


@given(st.lists(delivers, max_size=3), delivers, st.data())
def test_broken_deliveries_are_refused_as_the_codec_refuses_them(
    known: list[BasicDeliver], method: BasicDeliver, data: st.DataObject
) -> None:
    reader = DeliverReader()
    for each in (*known, method):
        reader.decode(each.encode())
    payload = bytearray(method.encode())
    del payload[data.draw(st.integers(4, len(payload))) :]
    payload += data.draw(st.binary(max_size=3))
    try:
        expected = decode_method(bytes(payload))
    except FrameError as error:
        with pytest.raises(FrameError) as caught:
            reader.decode(bytes(payload))
        assert caught.value.text == error.text  # noqa: PT017
    else:
        assert reader.decode(bytes(payload)) == expected


def test_what_a_peer_makes_us_remember_is_bounded() -> None:
    reader = DeliverReader()
    for number in range(KNOWN_MAX + 10):
        method = BasicDeliver(str(number), number, routing_key=str(number))
        assert reader.decode(method.encode()) == method
    assert len(reader._routes) <= KNOWN_MAX


@given(st.integers(1, 65_535), st.integers(0, 2**64 - 1), st.booleans())
def test_an_ack_is_encoded_as_the_codec_does_it(
    channel: int, tag: int, multiple: bool
) -> None:
    expected = encode_method(channel, BasicAck(tag, multiple))
    assert ack_frame(channel, tag, multiple=multiple) == expected


@given(st.data(), st.integers(1, 30))
def test_runs_settle_what_was_settled_and_nothing_else(
    data: st.DataObject, count: int
) -> None:
    """Tags come in any order, acked or settled otherwise, with any moments of sending.

    A server that takes the frames knows of each tag once, and of none too early.
    """
    run = AckRun(1)
    out = set(range(1, count + 1))
    acked: set[int] = set()

    def send(frame: bytes) -> None:
        for each in parse_frames(frame, 4096)[0]:
            ack = decode_method(each.payload)
            assert isinstance(ack, BasicAck)
            assert ack.delivery_tag in out, "settled twice"
            limit = ack.delivery_tag
            told = {tag for tag in out if tag <= limit} if ack.multiple else {limit}
            assert told <= acked, "settled what was not acked"
            out.difference_update(told)

    order = data.draw(st.permutations(range(1, count + 1)))
    near = data.draw(st.booleans())
    for tag in sorted(order, key=lambda tag: tag // 4) if near else order:
        if data.draw(st.booleans(), label=f"{tag} is acked"):
            acked.add(tag)
            send(run.add(tag))
        else:
            send(run.take())
            out.remove(tag)
            run.note(tag)
        if data.draw(st.booleans(), label="sent"):
            send(run.take())
    send(run.take())
    assert run.is_empty
    assert not out
    assert not run._unordered


def test_acks_in_order_are_one_frame() -> None:
    run = AckRun(3)
    assert [run.add(tag) for tag in range(1, 101)] == [b""] * 100
    assert run.take() == encode_method(3, BasicAck(100, multiple=True))
    assert run.take() == b""
    assert run.add(101) == b""
    assert run.take() == encode_method(3, BasicAck(101))
