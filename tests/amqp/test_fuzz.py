"""Any bytes at any time: a close, or silence; never a raise, never harm to others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hypothesis import given
from hypothesis import strategies as st

from tests.amqp.bad_input import frame, header, on, published
from tests.amqp.fingerprint import leftovers
from tests.amqp.scenery import Scenery
from tests.pairs import GUEST, World, random_cuts
from warren.wire.constants import HEARTBEAT, PROTOCOL_HEADER
from warren.wire.methods import (
    METHODS,
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicGet,
    BasicNack,
    BasicQos,
    BasicRecover,
    ChannelClose,
    ChannelOpen,
    ConfirmSelect,
    ConnectionClose,
    ConnectionOpen,
    ConnectionStartOk,
    ConnectionTuneOk,
    ExchangeDeclare,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueuePurge,
    TxCommit,
    TxSelect,
)
from warren_broker.amqp.handshake import State

if TYPE_CHECKING:
    from tests.pairs import RawClient

LONG_SECONDS: Final = 20.0

SESSION: Final = (
    PROTOCOL_HEADER,
    on(0, ConnectionStartOk(response=GUEST)),
    on(0, ConnectionTuneOk(2047, 131_072, 60)),
    on(0, ConnectionOpen()),
    on(1, ChannelOpen(), QueueDeclare(queue="q", arguments={"x-max-length": 9})),
    on(1, ExchangeDeclare(exchange="x", type="topic")),
    on(1, QueueBind(queue="q", exchange="x", routing_key="#.a")),
    on(1, ConfirmSelect(), BasicQos(0, 2), BasicConsume(queue="q", consumer_tag="c")),
    published("x", "b.a", b"body", headers={"k": ["v", 1]}, expiration="100"),
    published("", "q", b"more", delivery_mode=2, mandatory=True, reply_to="r"),
    published("", "nowhere", b"back", mandatory=True),
    on(1, BasicAck(1), BasicNack(2), BasicGet(queue="q"), BasicRecover(requeue=True)),
    HEARTBEAT,
    on(1, BasicCancel("c"), QueuePurge(queue="q")),
    on(2, ChannelOpen(), TxSelect()),
    on(2, TxCommit(), QueueDelete(queue="q"), ChannelClose()),
    on(0, ConnectionClose()),
)
"""A life with most of what there is in it."""

any_frame = st.builds(
    frame, st.integers(0, 9), st.binary(max_size=40), st.sampled_from((0, 1, 2, 9))
)
any_arguments = st.builds(
    lambda method, arguments, channel: frame(
        1, method.index.to_bytes(4, "big") + arguments, channel
    ),
    st.sampled_from(list(METHODS.values())),
    st.binary(max_size=30),
    st.sampled_from((0, 1, 2)),
)
any_default = st.builds(
    lambda method, channel: on(channel, method()),
    st.sampled_from(list(METHODS.values())),
    st.sampled_from((0, 1, 2)),
)
any_header = st.builds(
    header, st.integers(0, 9), st.integers(0, 2**16 - 1), st.binary(max_size=40)
)
inputs = st.lists(
    st.binary(max_size=40)
    | any_frame
    | any_arguments
    | any_default
    | any_header
    | st.sampled_from(SESSION),
    max_size=12,
).map(b"".join)


def check_peace(scenery: Scenery, client: RawClient) -> None:
    """Whatever was sent, the connection is in order, and so is everything else."""
    client.arrivals()  # the referee looks at them
    state = client.connection.state
    if state is State.CLOSING:
        scenery.world.advance(LONG_SECONDS)
        assert client.closed
    scenery.check_witness()
    scenery.world.close()
    assert leftovers(scenery.world.broker) == []


@given(data=inputs, seed=st.integers(0, 9))
def test_anything_to_an_open_connection(data: bytes, seed: int) -> None:
    scenery = Scenery()
    client = scenery.world.open(random_cuts(seed))
    client.send_raw(data)
    check_peace(scenery, client)


@given(data=inputs, seed=st.integers(0, 9), steps=st.integers(0, 3))
def test_anything_amid_the_handshake(data: bytes, seed: int, steps: int) -> None:
    scenery = Scenery()
    client = scenery.world.connect(random_cuts(seed))
    client.send_raw(b"".join(SESSION[:steps]) + data)
    if client.outbox.size and client.connection.state is not State.WAITING_HEADER:
        client.take()
    scenery.world.advance(LONG_SECONDS)
    assert client.closed or client.connection.state is State.OPEN
    scenery.check_witness()


class TestMutations:
    """A life like any other, but for one change."""

    WHOLE: Final = b"".join(SESSION)

    def live(self, data: bytes) -> None:
        scenery = Scenery()
        client = scenery.world.connect(random_cuts(len(data)))
        client.send_raw(data)
        scenery.world.advance(LONG_SECONDS)
        scenery.check_witness()
        scenery.world.close()
        assert leftovers(scenery.world.broker) == []

    def test_none(self) -> None:
        world = World()
        client = world.connect()
        client.send_raw(self.WHOLE)
        last = client.methods()[-1]
        assert last.name == "connection.close-ok"

    @given(st.integers(8, len(WHOLE) - 1), st.integers(0, 255))
    def test_another_byte(self, position: int, byte: int) -> None:
        whole = self.WHOLE
        self.live(whole[:position] + bytes((byte,)) + whole[position + 1 :])

    @given(st.integers(0, len(WHOLE) - 1), st.integers(1, 20))
    def test_bytes_missing(self, position: int, count: int) -> None:
        self.live(self.WHOLE[:position] + self.WHOLE[position + count :])

    @given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=20))
    def test_bytes_too_many(self, position: int, extra: bytes) -> None:
        self.live(self.WHOLE[:position] + extra + self.WHOLE[position:])

    @given(st.permutations(range(4, len(SESSION))))
    def test_another_order(self, order: list[int]) -> None:
        self.live(b"".join(SESSION[:4]) + b"".join(SESSION[each] for each in order))

    @given(st.lists(st.sampled_from(SESSION[4:]), max_size=20))
    def test_things_left_out_and_repeated(self, pieces: list[bytes]) -> None:
        self.live(b"".join(SESSION[:4]) + b"".join(pieces))
