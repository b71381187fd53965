"""More than anybody needs: each flood meets a limit, and others notice nothing."""

from __future__ import annotations

import tracemalloc
from typing import Final

import pytest

from tests.amqp.bad_input import frame, header, on, published
from tests.amqp.scenery import Scenery
from tests.pairs import World
from warren.wire.constants import PROTOCOL_HEADER
from warren.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicGet,
    BasicPublish,
    BasicQos,
    ChannelClose,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConnectionClose,
    Method,
    QueueDeclare,
    TxSelect,
)
from warren_broker.core.limits import Limits

KIB: Final = 1024
MIB: Final = 1024 * KIB
BODY_FRAME_SIZE: Final = 64 * KIB
HANDSHAKE_SECONDS: Final = 10.0


def code_of(methods: list[Method]) -> int:
    """The reply code of the one close that came."""
    (close,) = methods
    assert isinstance(close, ConnectionClose | ChannelClose)
    return close.reply_code


def test_strangers_who_never_get_to_the_point() -> None:
    """500 connections, a byte a second each; meanwhile somebody logs in."""
    world = World()
    strangers = [world.connect() for _ in range(500)]
    for byte in PROTOCOL_HEADER:
        for stranger in strangers:
            stranger.send_raw(bytes((byte,)))
        world.advance(1.0)
    assert world.open().ask(QueueDeclare(queue="q"))
    world.advance(HANDSHAKE_SECONDS - len(PROTOCOL_HEADER))
    assert all(stranger.closed for stranger in strangers)


@pytest.mark.parametrize("size", [8193, 128 * KIB, 2**32 - 1])
def test_a_strangers_promise_costs_nothing(size: int) -> None:
    world = World()
    strangers = [world.connect() for _ in range(50)]
    for stranger in strangers:
        stranger.send_raw(PROTOCOL_HEADER)
        stranger.arrivals()
    tracemalloc.start()
    for stranger in strangers:
        stranger.send_raw(b"\x01\0\0" + size.to_bytes(4, "big"))
    assert tracemalloc.get_traced_memory()[0] < 64 * KIB * len(strangers)
    tracemalloc.stop()


class TestHalfSentBodies:
    """Bytes that are no message yet count against the connection."""

    LIMIT: Final = 4 * MIB

    def begin(self, world: World, channels: int) -> list[Method]:
        """Send a body in several frames on each channel, but for its last byte."""
        self.client = world.open(channels=tuple(range(1, channels + 1)))
        size = 2 * BODY_FRAME_SIZE
        for number in range(1, channels + 1):
            content_header = bytearray(header(size))
            content_header[1:3] = number.to_bytes(2, "big")
            piece = frame(3, bytes(BODY_FRAME_SIZE), number)
            rest = frame(3, bytes(BODY_FRAME_SIZE - 1), number)
            publish = on(number, BasicPublish(routing_key="q"))
            self.client.send_raw(publish + content_header + piece + rest)
        return self.client.methods()

    def test_up_to_the_limit_they_are_kept(self) -> None:
        world = World(Limits(inflight_max_bytes=self.LIMIT))
        assert self.begin(world, channels=32) == []
        assert self.client.connection.inflight_bytes == 32 * (2 * BODY_FRAME_SIZE - 1)
        self.client.send_raw(b"".join(frame(3, b"!", each) for each in range(1, 33)))
        assert self.client.connection.inflight_bytes == 0

    def test_over_it_the_connection_ends(self) -> None:
        scenery = Scenery(Limits(inflight_max_bytes=self.LIMIT))
        assert code_of(self.begin(scenery.world, channels=33)) == 506
        assert self.client.connection.inflight_bytes == 0
        scenery.check_witness()

    def test_a_closed_channel_keeps_none(self) -> None:
        world = World(Limits(inflight_max_bytes=self.LIMIT))
        self.begin(world, channels=1)
        self.client.call(ChannelClose())
        assert self.client.connection.inflight_bytes == 0

    def test_an_oversized_body_is_refused_by_its_header(self) -> None:
        client = World(Limits(message_size_max_bytes=100)).open()
        tracemalloc.start()
        client.send_raw(on(1, BasicPublish(routing_key="q")) + header(101))
        assert code_of(client.methods()) == 406
        client.send_raw(frame(3, bytes(100 * KIB)) * 20)  # it was on its way
        assert tracemalloc.get_traced_memory()[0] < 3 * MIB
        tracemalloc.stop()
        assert client.methods() == []


def test_a_transaction_is_bounded() -> None:
    client = World(Limits(inflight_max_bytes=10 * KIB)).open()
    client.call(QueueDeclare(queue="q"), TxSelect())
    client.publish("q", *[bytes(KIB)] * 7)
    assert client.methods() == []
    client.publish("q", bytes(KIB))
    assert code_of(client.methods()) == 506


def test_a_body_in_single_bytes() -> None:
    client = World().open()
    client.call(QueueDeclare(queue="q"), ConfirmSelect())
    size = 100 * KIB
    client.send_raw(on(1, BasicPublish(routing_key="q")) + header(size))
    client.send_raw(frame(3, b"x") * size)
    assert client.methods() == [BasicAck(1)]
    client.send(BasicGet(queue="q", no_ack=True))
    assert client.bodies() == [b"x" * size]


def test_empty_body_frames_end_somewhere() -> None:
    client = World().open()
    client.send_raw(on(1, BasicPublish(routing_key="q")) + header(1))
    client.send_raw(frame(3, b"") * 1000)
    assert client.methods() == []
    client.send_raw(frame(3, b""))
    assert code_of(client.methods()) == 501


def test_as_many_channels_as_were_agreed() -> None:
    client = World().open(channel_max=2047)
    for number in range(2, 2048):
        assert client.ask(ChannelOpen(), channel=number) == ChannelOpenOk()
    assert code_of(client.call(ChannelOpen(), channel=3000)) == 530


def test_a_channel_that_is_closed_makes_room() -> None:
    client = World(Limits(channel_max=1)).open(channel_max=1)
    client.call(ChannelClose())
    assert client.ask(ChannelOpen(), channel=5) == ChannelOpenOk()


def test_consumers_of_a_channel_are_bounded() -> None:
    client = World(Limits(consumers_per_channel_max=100)).open()
    client.call(QueueDeclare(queue="q"))
    client.call(*[BasicConsume(queue="q") for _ in range(100)])
    assert code_of(client.call(BasicConsume(queue="q"))) == 530


@pytest.mark.parametrize("prefetch", [0, 65_535])
def test_what_is_unacked_on_a_channel_is_bounded(prefetch: int) -> None:
    """Deliveries stop at the limit, whatever prefetch says, and go on after acks."""
    world = World(Limits(unacked_per_channel_max=10))
    client = world.open()
    client.call(QueueDeclare(queue="q"), BasicQos(0, prefetch, global_=True))
    client.call(BasicConsume(queue="q", consumer_tag="a"))
    client.call(BasicConsume(queue="q", consumer_tag="b"))
    client.publish("q", *[b"%d" % number for number in range(25)])
    assert client.bodies() == [b"%d" % number for number in range(10)]
    client.send(BasicAck(3, multiple=True))
    assert client.bodies() == [b"10", b"11", b"12"]
    client.send(BasicAck(0, multiple=True))
    assert len(client.bodies()) == 10


def test_the_limit_is_a_channels_own() -> None:
    world = World(Limits(unacked_per_channel_max=3))
    client = world.open(channels=(1, 2))
    client.call(QueueDeclare(queue="q"), BasicConsume(queue="q"))
    client.publish("q", *[b"x"] * 5)
    assert len(client.bodies()) == 3
    client.send(BasicConsume(queue="q"), channel=2)
    assert len(client.bodies()) == 2


def test_one_batch_does_not_take_the_whole_turn() -> None:
    """A publisher of very much is interrupted, and resumed where it was."""
    client = World().open()
    client.call(QueueDeclare(queue="q"), ConfirmSelect())
    data = b"".join(published("", "q", b"%d" % number) for number in range(5000))
    connection, now = client.connection, client.world.now
    turns = 1
    is_busy = connection.receive(data, now)
    while is_busy:
        turns += 1
        is_busy = connection.resume(now)
    assert turns == 3
    acks = client.methods()
    assert acks[-1] == BasicAck(5000, multiple=True)
    assert len(acks) == turns
    client.send(*[BasicGet(queue="q", no_ack=True)] * 5000)
    assert client.bodies() == [b"%d" % number for number in range(5000)]
