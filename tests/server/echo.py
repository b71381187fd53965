"""A server of echo connections, and what its clients ask of it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, final

import trio
from trio.testing import memory_stream_pair

from tests.server.harness import EchoConnection, RememberingLog
from warren_broker.amqp.peer_info import PeerInfo
from warren_broker.core.broker import Broker
from warren_broker.core.limits import Limits
from warren_broker.server.server import Server
from warren_broker.server.settings import (
    Address,
    ListenerSettings,
    MemorySettings,
    ServerSettings,
    TlsSettings,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from warren.wire.outbox import Outbox

ANY_PORT = Address("127.0.0.1", 0)
NOWHERE = ListenerSettings(tcp=())


@final
class EchoServer:
    """A server of echo connections, which it remembers."""

    def __init__(self, settings: ServerSettings) -> None:
        self.log = RememberingLog()
        self.connections: list[EchoConnection] = []
        self.broker = Broker(settings.limits, now=trio.current_time())
        self.server = Server(settings, self.broker, self._front_end, self.log)

    def _front_end(
        self, broker: Broker, outbox: Outbox, peer: PeerInfo
    ) -> EchoConnection:
        connection = EchoConnection(broker, outbox, peer)
        self.connections.append(connection)
        return connection

    @property
    def address(self) -> tuple[str, int]:
        """Where the first TCP listener is."""
        host, port = self.server.urls[0].split("/")[2].split(":")
        return host, int(port)

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream(*self.address)

    async def connect_in_memory(self, nursery: trio.Nursery) -> trio.abc.Stream:
        client, server = memory_stream_pair()
        info = PeerInfo(address="memory", is_loopback=True)
        nursery.start_soon(self.server.serve_stream, server, info)
        return client


@asynccontextmanager
async def serving(
    listeners: ListenerSettings | None = None,
    *,
    tls: TlsSettings | None = None,
    limits: Limits | None = None,
    memory: MemorySettings | None = None,
) -> AsyncIterator[EchoServer]:
    """A running server; stopped, and waited for, when the block is left."""
    settings = ServerSettings(
        listeners=listeners or ListenerSettings(tcp=(ANY_PORT,)),
        tls=tls or TlsSettings(),
        limits=limits or Limits(),
        memory=memory or MemorySettings(),
    )
    echo = EchoServer(settings)
    async with trio.open_nursery() as nursery:
        await nursery.start(echo.server.run)
        yield echo
        echo.server.stop()


async def ask(stream: trio.abc.Stream, question: bytes, answer: bytes) -> None:
    """Send, and require the answer."""
    await stream.send_all(question)
    received = b""
    while len(received) < len(answer):
        more = await stream.receive_some(len(answer) - len(received))
        assert more, f"the stream ended after {received!r}"
        received += more
    assert received == answer


async def is_turned_away(stream: trio.abc.Stream) -> bool:
    """Tell whether the stream ends, with or without an RST, before anything comes."""
    try:
        return not await stream.receive_some(1)
    except trio.BrokenResourceError:
        return True


async def is_refused(echo: EchoServer) -> bool:
    """Tell whether a new client is turned away, at once or a moment later."""
    try:
        async with await echo.connect() as stream:
            return await is_turned_away(stream)
    except OSError:
        return True
