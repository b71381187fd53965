"""A raw client and a ServerConnection, joined by bytes, in time that a test owns.

`World` is one broker and its clock. `RawClient` says anything, in any cuts; what it
hears goes past a `Referee`, which knows what no server may ever send. Nothing here
waits, and nothing here is forgiving: a broken rule fails the test that runs.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.referee import Referee
from warren.wire.constants import (
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
    FRAME_OVERHEAD,
    HEARTBEAT,
    PROTOCOL_HEADER,
)
from warren.wire.frames import encode_content, encode_method, parse_frames
from warren.wire.methods import (
    BasicPublish,
    ChannelOpen,
    ConnectionOpen,
    ConnectionStartOk,
    ConnectionTuneOk,
    Method,
    decode_method,
)
from warren.wire.outbox import LOW_WATER, Outbox
from warren.wire.properties import Properties, decode_header, encode_header
from warren_broker.amqp.connection import ServerConnection
from warren_broker.amqp.peer_info import PeerInfo
from warren_broker.core.broker import Broker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from warren.wire.table import Table
    from warren_broker.core.access import Access
    from warren_broker.core.limits import Limits

    Cut = Callable[[bytes], Iterator[bytes]]

CAPABILITIES: Final = {
    "basic.nack": True,
    "connection.blocked": True,
    "consumer_cancel_notify": True,
    "authentication_failure_close": True,
}
GUEST: Final = b"\0guest\0guest"
EVERYTHING: Final = 1 << 40

# Fragmentations


def whole(data: bytes) -> Iterator[bytes]:
    """As it was sent."""
    if data:
        yield data


def byte_by_byte(data: bytes) -> Iterator[bytes]:
    """As the slowest network has it."""
    return (data[at : at + 1] for at in range(len(data)))


def random_cuts(seed: int) -> Cut:
    """Return a fragmentation into pieces of 1 to 20 bytes, or of up to 4000."""

    def cut(data: bytes) -> Iterator[bytes]:
        random, start = Random(seed + len(data)), 0
        while start < len(data):
            stop = start + random.randint(1, random.choice((20, 4000)))
            yield data[start:stop]
            start = stop

    return cut


class Arrival(NamedTuple):
    """A method that came, with its content if it has one."""

    channel: int
    method: Method
    properties: Properties | None = None
    body: bytes = b""


class World:
    """A broker, its clock and its clients. Bugs are raised, not contained."""

    def __init__(
        self, limits: Limits | None = None, access: Access | None = None
    ) -> None:
        self.now = 0.0
        self.broker = Broker(limits, access=access, now=self.now)
        self.broker.raises_bugs = True
        self.clients: list[RawClient] = []
        self.dirty: list[Outbox] = []

    def connect(
        self, cut: Cut = whole, *, is_loopback: bool = True, certificate: str = ""
    ) -> RawClient:
        """A client that has said nothing yet."""
        self.dirty.clear()
        self.broker.begin_turn(self.now)
        peer = PeerInfo(
            address="192.0.2.1:5672",
            is_loopback=is_loopback,
            certificate_name=certificate or None,
        )
        client = RawClient(self, peer, cut)
        self.clients.append(client)
        return client

    def open(
        self,
        cut: Cut = whole,
        *,
        channels: tuple[int, ...] = (1,),
        login: bytes = GUEST,
        capabilities: Mapping[str, bool] = CAPABILITIES,
        channel_max: int = 2047,
        frame_max: int = 131_072,
        heartbeat: int = 0,
    ) -> RawClient:
        """A client whose connection and channels are open."""
        client = self.connect(cut)
        client.send_raw(PROTOCOL_HEADER)
        properties: Table = {"capabilities": dict(capabilities)}
        client.send(ConnectionStartOk(properties, response=login), channel=0)
        tune = ConnectionTuneOk(channel_max, frame_max, heartbeat)
        client.frame_max = frame_max
        client.send(tune, ConnectionOpen(), channel=0)
        for number in channels:
            client.send(ChannelOpen(), channel=number)
        client.arrivals()
        return client

    def advance(self, seconds: float) -> None:
        """Let time pass, stopping at each moment that the broker waits for."""
        until = self.now + seconds
        while (when := self.broker.next_deadline()) is not None and when <= until:
            self.now = max(when, self.now)
            self.broker.on_deadline(self.now)
            self.after_turn()
        self.now = until

    def after_turn(self) -> None:
        """A turn is over."""

    def close(self) -> None:
        """End every connection as a cut cable does, and forget the clients."""
        for client in self.clients:
            client.hang_up()
        self.clients.clear()
        self.dirty.clear()


class RawClient:
    """One side of a connection, driven by a test; the other is a ServerConnection."""

    def __init__(self, world: World, peer: PeerInfo, cut: Cut) -> None:
        self.world = world
        self.outbox = Outbox(world.dirty)
        self.connection = ServerConnection(world.broker, self.outbox, peer)
        self.frame_max = 131_072
        self.heartbeats = 0
        self.raw = b""  # what came and is no whole frame
        self._cut = cut
        self._referee = Referee()
        self._content: Arrival | None = None
        self._body_size = 0

    # Speaking

    def send_raw(self, data: bytes) -> None:
        """Send bytes, in the client's cuts; as a shell does it, work is resumed."""
        for piece in self._cut(data):
            is_busy = self.connection.receive(piece, self.world.now)
            self.world.after_turn()
            while is_busy:
                is_busy = self.connection.resume(self.world.now)
                self.world.after_turn()

    def send(self, *methods: Method, channel: int = 1) -> None:
        """Send methods in one go."""
        for method in methods:
            self._referee.sent(channel, method)
        self.send_raw(b"".join(encode_method(channel, each) for each in methods))

    def publish(
        self,
        routing_key: str,
        *bodies: bytes,
        exchange: str = "",
        mandatory: bool = False,
        channel: int = 1,
        **properties: object,
    ) -> None:
        """Publish a message for each of `bodies`, in one go."""
        method = BasicPublish(0, exchange, routing_key, mandatory)
        data = [
            chunk
            for body in bodies
            for chunk in content(method, body, channel, self.frame_max, **properties)
        ]
        self.send_raw(b"".join(data))

    def heartbeat(self) -> None:
        """Send a heartbeat."""
        self.send_raw(HEARTBEAT)

    def hang_up(self) -> None:
        """End the connection without a word."""
        if not self.connection.closed:
            self.connection.receive(b"", self.world.now)
            self.world.after_turn()

    # Hearing

    def take(self, limit: int = EVERYTHING) -> list[Arrival]:
        """Read about `limit` bytes, as a slow client does."""
        was_above = self.outbox.size > LOW_WATER
        self.raw += b"".join(self.outbox.take(limit))
        if was_above and self.outbox.size <= LOW_WATER:
            self.connection.on_drained(self.world.now)
            self.world.after_turn()
        if self.raw.startswith(b"AMQP"):
            return []
        frames, self.raw = parse_frames(self.raw, self.frame_max)
        found = []
        for kind, channel, payload in frames:
            assert len(payload) <= self.frame_max - FRAME_OVERHEAD
            arrival = self._assemble(kind, channel, payload)
            if arrival is not None:
                self._referee.heard(arrival.channel, arrival.method)
                found.append(arrival)
        return found

    def arrivals(self) -> list[Arrival]:
        """Read all there is."""
        found: list[Arrival] = []
        while self.outbox.size:
            found += self.take()
        return found

    def methods(self) -> list[Method]:
        """Read all there is; contents and channel numbers are of no interest."""
        return [arrival.method for arrival in self.arrivals()]

    def bodies(self) -> list[bytes]:
        """Read all there is, and return the contents only."""
        found = self.arrivals()
        return [each.body for each in found if each.method.has_content]

    def call(self, *methods: Method, channel: int = 1) -> list[Method]:
        """Send methods; return those that come."""
        self.send(*methods, channel=channel)
        return self.methods()

    def ask(self, method: Method, channel: int = 1) -> Method:
        """Send a method that has one answer."""
        (answer,) = self.call(method, channel=channel)
        return answer

    @property
    def closed(self) -> bool:
        """Whether the server will send nothing more and read nothing more."""
        return self.connection.closed and self.outbox.closed

    def _assemble(self, kind: int, channel: int, payload: bytes) -> Arrival | None:
        if kind == FRAME_HEARTBEAT:
            self.heartbeats += 1
            return None
        if kind == FRAME_METHOD:
            assert self._content is None, "a method within a content"
            arrival = Arrival(channel, decode_method(payload))
            if not arrival.method.has_content:
                return arrival
            self._content = arrival
            return None
        assert self._content is not None, "a content without a method"
        assert self._content.channel == channel, "contents of channels mixed"
        if kind == FRAME_HEADER:
            self._body_size, properties = decode_header(payload)
            self._content = self._content._replace(properties=properties)
        else:
            assert payload, "an empty body frame"
            body = self._content.body + payload
            self._content = self._content._replace(body=body)
        if len(self._content.body) < self._body_size:
            return None
        arrival, self._content = self._content, None
        return arrival


def content(
    method: Method,
    body: bytes,
    channel: int = 1,
    frame_max: int = 131_072,
    **properties: object,
) -> list[bytes]:
    """Return the frames of a method with a content."""
    header = encode_header(Properties(**properties), len(body))  # type: ignore[arg-type]
    return encode_content(channel, method, header, body, frame_max)
