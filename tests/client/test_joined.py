"""Both ends of the protocol joined by bytes, in any cuts: Warren's client and broker.

Whatever is published, consumed, settled and closed in whatever order: each publish gets
one answer, the right one; a queue's messages come in order and none is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.pairs import EVERYTHING, World
from warren.protocol.connection import ClientConnection
from warren.protocol.events import (
    ChannelEnded,
    ConnectionEnded,
    Delivered,
    Replied,
    Returned,
    Settled,
)
from warren.protocol.failures import Unroutable
from warren.wire.methods import (
    BasicConsume,
    BasicDeliver,
    BasicPublish,
    BasicReject,
    ConfirmSelect,
    QueueDeclare,
    QueueDelete,
)
from warren.wire.outbox import Outbox
from warren.wire.properties import Properties
from warren.wire.uri import parse_uri
from warren_broker.amqp.connection import ServerConnection
from warren_broker.amqp.peer_info import PeerInfo

if TYPE_CHECKING:
    from warren.protocol.channel import ClientChannel
    from warren.protocol.events import Event

QUEUE = "q"
BODIES = st.binary(max_size=40) | st.integers(4000, 9000).map(bytes)


class Joined(RuleBasedStateMachine):
    """One connection: a channel that publishes, and consumers that come and go."""

    @initialize()
    def join(self) -> None:
        self.world = World()
        self.outbox = Outbox(self.world.dirty)
        peer = PeerInfo(address="192.0.2.1:1", is_loopback=True, certificate_name=None)
        self.server = ServerConnection(self.world.broker, self.outbox, peer)
        address = parse_uri("amqp://localhost/%2F?frame_max=4096")
        self.client = ClientConnection(address, nonce="n", now=0.0)
        self.fates: dict[int, bool] = {}  # sequence -> whether it is routable
        self.answers: dict[int, bool] = {}
        self.bodies: dict[int, bytes] = {}  # those in the queue, by their number
        self.held: dict[int, list[tuple[int, int]]] = {}  # channel -> tag, number
        self.consumer: ClientChannel | None = None
        self.newest = 0  # of those that were delivered
        self.exchange_bytes([])
        self.publisher = self.client.open_channel()
        self.publisher.send(QueueDeclare(queue=QUEUE))
        self.publisher.send(ConfirmSelect())
        self.exchange_bytes([])

    @rule(body=BODIES, routable=st.booleans())
    def publish(self, body: bytes, routable: bool) -> None:
        key = QUEUE if routable else "nowhere"
        number = len(self.fates) + 1
        properties = Properties(correlation_id=str(number))
        method = BasicPublish(routing_key=key, mandatory=True)
        assert self.publisher.publish(method, properties, body) == number
        self.fates[number] = routable
        if routable:
            self.bodies[number] = body

    @rule()
    def start_consumer(self) -> None:
        if self.consumer is None:
            self.consumer = self.client.open_channel()
            self.consumer.send(BasicConsume(queue=QUEUE, consumer_tag="c"))
            self.held[self.consumer.number] = []

    @rule()
    def close_consumer(self) -> None:
        """What it held goes back; the broker may hold up the number for a while."""
        if self.consumer is not None:
            self.exchange_bytes([])
            self.consumer.close()
            self.held[self.consumer.number] = []
            self.consumer = None
            self.exchange_bytes([])

    @rule(data=st.data(), requeue=st.booleans(), reject=st.booleans())
    def settle(self, data: st.DataObject, requeue: bool, reject: bool) -> None:
        if self.consumer is None or not self.held[self.consumer.number]:
            return
        held = self.held[self.consumer.number]
        tag, number = held.pop(data.draw(st.integers(0, len(held) - 1)))
        if reject:
            self.consumer.send(BasicReject(delivery_tag=tag, requeue=requeue))
        else:
            self.consumer.ack(tag)
        if not (reject and requeue):
            del self.bodies[number]

    @rule(cuts=st.lists(st.integers(1, 200), max_size=10))
    def exchange_bytes(self, cuts: list[int]) -> None:
        """Carry everything both ways, in pieces of these sizes."""
        while self.client.has_data_to_send or self.outbox.size:
            for piece in pieces(b"".join(self.client.data_to_send(0.0)), cuts):
                busy = self.server.receive(piece, 0.0)
                while busy:
                    busy = self.server.resume(0.0)
            for piece in pieces(b"".join(self.outbox.take(EVERYTHING)), cuts):
                for event in self.client.receive(piece, 0.0):
                    self.on_event(event)

    def on_event(self, event: Event) -> None:
        match event:
            case Settled(_, settlements):
                for each in settlements:
                    assert each.sequence not in self.answers
                    self.answers[each.sequence] = each.error is None
                    assert each.error is None or isinstance(each.error, Unroutable)
            case Returned():
                assert event.sequence is not None
                assert event.properties.correlation_id == str(event.sequence)
            case Delivered(channel, content):
                method = content.method
                assert isinstance(method, BasicDeliver)
                number = int(content.properties.correlation_id or "")
                assert self.bodies[number] == content.body
                assert method.redelivered == (number <= self.newest)
                self.newest = max(self.newest, number)
                self.held[channel].append((method.delivery_tag, number))
            case ChannelEnded() | ConnectionEnded():
                assert event.error is None
            case Replied() | _:
                pass

    @rule()
    def look(self) -> None:
        """All that was said has been answered, all that is there was delivered."""
        self.exchange_bytes([])
        assert self.answers == self.fates
        assert self.publisher.unsettled_count == 0
        if self.consumer is not None:
            held = [number for _, number in self.held[self.consumer.number]]
            assert sorted(held) == sorted(self.bodies)

    @invariant()
    def nobody_hung_up(self) -> None:
        assert not self.client.is_over
        assert not self.server.closed

    def teardown(self) -> None:
        """Say goodbye; both sides agree that it is over."""
        if not hasattr(self, "client"):
            return
        self.publisher.send(QueueDelete(queue=QUEUE))
        self.client.close()
        self.exchange_bytes([7])
        assert self.client.is_over
        assert self.client.error is None
        assert self.server.closed


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut data into pieces of these sizes, and a last one of what is left."""
    found = []
    for size in cuts:
        found.append(data[:size])
        data = data[size:]
    return [piece for piece in [*found, data] if piece]


TestJoined = Joined.TestCase
