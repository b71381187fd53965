"""A server at the other end of a memory stream, that does what a test tells it to."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial, wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import trio
from trio.testing import MockClock, memory_stream_pair

from tests.client.server_side import FRAME_SIZE_MAX, content, handshake, method
from warren._client.link import connect_over
from warren.wire.constants import FRAME_METHOD, PROTOCOL_HEADER
from warren.wire.frames import parse_frames
from warren.wire.methods import (
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicQos,
    BasicQosOk,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    ConfirmSelect,
    ConfirmSelectOk,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionStartOk,
    ConnectionTuneOk,
    Method,
    decode_method,
)
from warren.wire.properties import Properties
from warren.wire.uri import parse_uri

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from warren._client.channel import Channel
    from warren._client.consumer import Consumer
    from warren._client.link import Link
    from warren.wire.table import Table

Kind = TypeVar("Kind", bound=Method)
Arguments = ParamSpec("Arguments")

# What a polite server answers, when a test does not care.
POLITE = {
    ChannelOpen: ChannelOpenOk(),
    ConfirmSelect: ConfirmSelectOk(),
    ChannelClose: ChannelCloseOk(),
    ConnectionClose: ConnectionCloseOk(),
}


class ScriptedServer:
    """Reads methods one by one; answers those of `POLITE` by itself, if `is_polite`."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.is_polite = True
        self.mechanism = self.vhost = ""  # what the client has asked for
        self.client_properties: Table = {}
        self.stream = stream
        self.received: list[Method] = []
        self.consumed: list[BasicConsume] = []  # those that were accepted
        self._rest = b""
        self._sending = trio.Lock()
        self._new = trio.lowlevel.ParkingLot()

    async def run(self) -> None:
        """Read until the stream ends."""
        assert await self.stream.receive_some(len(PROTOCOL_HEADER)) == PROTOCOL_HEADER
        while data := await self.stream.receive_some():
            frames, self._rest = parse_frames(self._rest + data, FRAME_SIZE_MAX)
            for frame in frames:
                if frame.kind == FRAME_METHOD:
                    await self._on_method(frame.channel, decode_method(frame.payload))

    async def send(self, data: bytes) -> None:
        """Send any bytes."""
        async with self._sending:  # a test's tasks, and the polite one
            await self.stream.send_all(data)

    async def wait_for(self, kind: type[Kind]) -> Kind:
        """Wait for the next method of this kind, and forget those before it."""
        while True:
            for number, each in enumerate(self.received):
                if isinstance(each, kind):
                    del self.received[: number + 1]
                    return each
            await self._new.park()

    async def shake_hands(self, *, heartbeat: int = 0) -> None:
        """Play the server's part until the connection is open."""
        start, tune, open_ok = handshake(heartbeat=heartbeat)
        await self.send(start)
        start_ok = await self.wait_for(ConnectionStartOk)
        self.mechanism = start_ok.mechanism
        self.client_properties = start_ok.client_properties
        await self.send(tune)
        await self.wait_for(ConnectionTuneOk)
        self.vhost = (await self.wait_for(ConnectionOpen)).virtual_host
        await self.send(open_ok)

    async def _on_method(self, channel: int, method_: Method) -> None:
        self.received.append(method_)
        self._new.unpark_all()
        answer = POLITE.get(type(method_)) if self.is_polite else None
        if answer is not None:
            await self.send(method(channel, answer))


@asynccontextmanager
async def connected(
    *, heartbeat: int = 0
) -> AsyncIterator[tuple[Link, ScriptedServer]]:
    """A connection to a scripted server, open."""
    ours, theirs = memory_stream_pair()
    server = ScriptedServer(theirs)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        nursery.start_soon(partial(server.shake_hands, heartbeat=heartbeat))
        async with connect_over(ours, parse_uri("amqp://h/v")) as connection:
            yield connection, server


def delivery(tag: int, body: bytes = b"") -> bytes:
    """A delivery to the first consumer of the first channel."""
    deliver = BasicDeliver(consumer_tag="warren-1-1", delivery_tag=tag)
    return content(1, deliver, Properties(), body)


async def accept_consumer(server: ScriptedServer, channel: int = 1) -> None:
    await server.wait_for(BasicQos)
    await server.send(method(channel, BasicQosOk()))
    server.consumed.append(await server.wait_for(BasicConsume))
    ok = BasicConsumeOk(consumer_tag=f"warren-{channel}-1")
    await server.send(method(channel, ok))


async def accept_cancel(server: ScriptedServer) -> None:
    await server.wait_for(BasicCancel)
    await server.send(method(1, BasicCancelOk(consumer_tag="warren-1-1")))


@asynccontextmanager
async def on_a_channel() -> AsyncIterator[tuple[ScriptedServer, Channel, trio.Nursery]]:
    """A channel, the server behind it, and a nursery for what the server does."""
    async with (
        connected() as (connection, server),
        connection.channel() as channel,
        trio.open_nursery() as nursery,
    ):
        yield server, channel, nursery


@asynccontextmanager
async def consuming() -> AsyncIterator[tuple[ScriptedServer, Consumer, trio.Nursery]]:
    """A consumer of the queue "q", the server behind it, and a nursery as above."""
    async with on_a_channel() as (server, channel, nursery):
        nursery.start_soon(accept_consumer, server)
        async with channel.consume("q") as consumer:
            yield server, consumer, nursery


def in_trio(test: Callable[Arguments, Awaitable[None]]) -> Callable[Arguments, None]:
    """Make a test of a coroutine. Time is virtual: it passes when nobody can go on."""

    @wraps(test)
    def run(*arguments: Arguments.args, **named: Arguments.kwargs) -> None:
        clock = MockClock(autojump_threshold=0)
        trio.run(partial(test, *arguments, **named), clock=clock)

    return run
