"""Connections to a broker in memory, whose wires can be cut after any byte.

The public client at one end, `ServerConnection` and the broker's core at the other;
between them memory streams, any fragmentation, and a `Witness` who reads along and
knows what no client may do. Time is trio's, and so a MockClock's.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import attrs
import trio
from trio.testing import MemoryReceiveStream, MemorySendStream, memory_stream_pair

from tests.pairs import EVERYTHING, World, whole
from warren._client.connect import connect_through
from warren.errors import PreconditionFailed
from warren.wire.constants import FRAME_METHOD, PROTOCOL_HEADER
from warren.wire.frames import parse_frames
from warren.wire.methods import (
    BasicAck,
    BasicDeliver,
    BasicGetOk,
    BasicNack,
    BasicReject,
    ChannelOpen,
    Method,
    decode_method,
)
from warren.wire.outbox import Outbox
from warren.wire.uri import parse_uri
from warren_broker.amqp.connection import ServerConnection
from warren_broker.amqp.peer_info import PeerInfo
from warren_broker.testing.survey import channels

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.pairs import Cut
    from warren._client.connection import Connection
    from warren._client.reconnect import Reconnect
    from warren.wire.uri import Address

    Stream = trio.StapledStream[MemorySendStream, MemoryReceiveStream]

FRAME_SIZE_MAX: Final = 131_072
PEER: Final = PeerInfo(address="192.0.2.1:1", is_loopback=True, certificate_name=None)


@attrs.frozen
class Fault:
    """When a wire is cut; whatever is under way is lost. Bytes, and seconds."""

    sent: int = EVERYTHING
    """From the client."""
    received: int = EVERYTHING
    """By the client."""
    after: float = float("inf")


class Witness:
    """Reads what both sides of one connection say; fails for a wrong settlement."""

    def __init__(self) -> None:
        self.settled: list[tuple[int, int]] = []
        self._out: dict[int, list[int]] = {}
        self._rest = {True: b"", False: b""}

    def see(self, data: bytes, *, by_client: bool) -> None:
        """Some more bytes have passed."""
        data = (self._rest[by_client] + data).removeprefix(PROTOCOL_HEADER)
        if by_client and PROTOCOL_HEADER.startswith(data[: len(PROTOCOL_HEADER)]):
            frames, self._rest[by_client] = [], data
        else:
            frames, self._rest[by_client] = parse_frames(data, FRAME_SIZE_MAX)
        for frame in frames:
            if frame.kind == FRAME_METHOD:
                method = decode_method(frame.payload)
                (self._on_client if by_client else self._on_server)(
                    frame.channel, method
                )

    def _on_server(self, channel: int, method: Method) -> None:
        if isinstance(method, BasicDeliver | BasicGetOk):
            self._out.setdefault(channel, []).append(method.delivery_tag)

    def _on_client(self, channel: int, method: Method) -> None:
        if isinstance(method, ChannelOpen):
            self._out[channel] = []
        if not isinstance(method, BasicAck | BasicNack | BasicReject):
            return
        tag, out = method.delivery_tag, self._out[channel]
        assert tag in out, f"{method.name} of {tag}, which is not out"
        is_multiple = getattr(method, "multiple", False)
        settled = [each for each in out if each <= tag] if is_multiple else [tag]
        for each in settled:
            out.remove(each)
            self.settled.append((channel, each))


class _ServerEnd:
    """The broker's side of one connection."""

    def __init__(
        self, site: MemoryBroker, host: str, stream: Stream, fault: Fault, cut: Cut
    ) -> None:
        self.host = host
        self.is_hushed = False
        self.witness = Witness()
        self._site = site
        self.stream = stream
        self.left = {True: fault.sent, False: fault.received}
        self._cut_at = trio.current_time() + fault.after
        self._cut = cut
        self._outbox = Outbox(site.world.dirty)
        site.world.broker.begin_turn(trio.current_time())
        self._connection = ServerConnection(site.world.broker, self._outbox, PEER)
        self._wake = trio.Event()

    @property
    def open_channel_count(self) -> int:
        return sum(1 for _ in channels(self._connection))

    def close_channels(self) -> None:
        """As an operator would."""
        error = PreconditionFailed("an operator's wish")
        for channel in channels(self._connection):
            self._connection.close_channel(channel, error, 0)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write_loop)
            nursery.start_soon(self._cut_later)
            await self._read_loop()
            nursery.cancel_scope.cancel()
        if not self._connection.closed:
            self._connection.receive(b"", trio.current_time())
        await trio.aclose_forcefully(self.stream)
        self._site.turn_over()

    def wake(self) -> None:
        """A turn is over: there may be something to send."""
        if self._outbox.size or self._outbox.closed:
            self._wake.set()

    async def _read_loop(self) -> None:
        while not self._connection.closed:
            try:
                data = await self.stream.receive_some(65_536)
            except trio.ClosedResourceError:
                return  # the writer has cut the wire
            for piece in self._cut(self._spend(bytes(data), by_client=True)):
                busy = self._connection.receive(piece, trio.current_time())
                while busy:
                    busy = self._connection.resume(trio.current_time())
                self._site.turn_over()
            if not data or not self.left[True]:
                return
        while self._outbox.size:  # the last words
            await trio.lowlevel.checkpoint()

    async def _write_loop(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            data = b"".join(self._outbox.take(EVERYTHING))
            if self.is_hushed:
                continue
            if not self._connection.closed:
                self._connection.on_drained(trio.current_time())
            try:
                for piece in self._cut(self._spend(data, by_client=False)):
                    await self.stream.send_all(piece)
            except trio.BrokenResourceError:
                pass  # the reader will see the end
            if not self.left[False]:
                await trio.aclose_forcefully(self.stream)

    async def _cut_later(self) -> None:
        await trio.sleep_until(self._cut_at)
        await trio.aclose_forcefully(self.stream)

    def _spend(self, data: bytes, *, by_client: bool) -> bytes:
        data = data[: self.left[by_client]]
        self.left[by_client] -= len(data)
        self.witness.see(data, by_client=by_client)
        return data


class MemoryBroker:
    """A broker, and all who are connected to it."""

    def __init__(self, nursery: trio.Nursery, cut: Cut = whole) -> None:
        self.world = World()
        self.faults: dict[str, list[Fault]] = {}
        """By host, one for each connection to come; those after have none."""
        self.refusals = 0
        """How many attempts to connect fail before the next succeeds."""
        self.ends: list[_ServerEnd] = []
        self._nursery = nursery
        self._cut = cut

    async def open_stream(self, address: Address) -> Stream:
        """What the client dials with."""
        await trio.lowlevel.checkpoint()
        if self.refusals:
            self.refusals -= 1
            raise ConnectionRefusedError(f"{address} is down")
        ours, theirs = memory_stream_pair()
        faults = self.faults.get(address.host)
        fault = faults.pop(0) if faults else Fault()
        end = _ServerEnd(self, address.host, theirs, fault, self._cut)
        self.ends.append(end)
        self._nursery.start_soon(end.run)
        return ours

    @asynccontextmanager
    async def connect(
        self, reconnect: Reconnect | None = None, url: str = "amqp://localhost/"
    ) -> AsyncIterator[Connection]:
        """Connect as `warren.connect` does."""
        addresses = [parse_uri(url)]
        async with connect_through(
            self.open_stream, addresses, reconnect=reconnect
        ) as connection:
            yield connection

    def turn_over(self) -> None:
        """Let all send what the turn has left for them."""
        self.world.dirty.clear()
        for end in self.ends:
            end.wake()

    async def lose_all(self) -> None:
        """Cut every wire."""
        for end in self.ends:
            await trio.aclose_forcefully(end.stream)

    def cut_now(self, lost: str) -> None:
        """Let the youngest wire end with what comes next: a publish or a confirm."""
        self.ends[-1].left[lost == "publish"] = 1

    def close_channels(self, host: str = "localhost") -> None:
        """Close all channels of a host's youngest end, with an error."""
        [*_, end] = (end for end in self.ends if end.host == host)
        self.take_turn(end.close_channels)

    def take_turn(self, act: Callable[[], None]) -> None:
        """Let the broker do something by itself."""
        self.world.broker.begin_turn(trio.current_time())
        act()
        self.turn_over()

    def hush(self) -> None:
        """Let nothing more come from the youngest end, and the wire be whole."""
        self.ends[-1].is_hushed = True

    async def run_clock(self) -> None:
        """Do what time asks for."""
        broker = self.world.broker
        while True:
            deadline = broker.next_deadline()
            now = trio.current_time()
            await trio.sleep_until(min(deadline or now + 1, now + 1))
            if deadline is not None and deadline <= trio.current_time():
                broker.on_deadline(trio.current_time())
                self.turn_over()


@asynccontextmanager
async def memory_broker(cut: Cut = whole) -> AsyncIterator[MemoryBroker]:
    """A broker for the block."""
    async with trio.open_nursery() as nursery:
        broker = MemoryBroker(nursery, cut)
        nursery.start_soon(broker.run_clock)
        yield broker
        nursery.cancel_scope.cancel()
