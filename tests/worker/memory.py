"""Warren's own broker and client in one loop, joined by memory, in virtual time."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, final

import trio
from trio.testing import MockClock, memory_stream_pair

from tests.server.harness import RememberingLog, quiet_alarm
from warren._client.connect import connect_through
from warren._client.reconnect import Reconnect
from warren._worker import delays, ticker
from warren.wire.outbox import Outbox
from warren.wire.uri import parse_uri
from warren_broker.amqp.connection import ServerConnection
from warren_broker.amqp.peer_info import PeerInfo
from warren_broker.core.broker import Broker
from warren_broker.server.peer import Peer
from warren_broker.server.relay import Relay
from warren_broker.server.timer import Timer
from warren_broker.server.transport import StreamTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    import pytest

    from warren._client.connection import Connection
    from warren.wire.uri import Address
    from warren_broker.core.queue.queue import Queue

MIDNIGHT = 1_767_312_000.0  # 2026-01-02, UTC
ADDRESS = parse_uri("amqp://localhost/")
TEST_SECONDS = 40 * 86_400


@final
class MemoryBroker:
    """A broker, and the connections to it."""

    def __init__(self, nursery: trio.Nursery) -> None:
        now = trio.current_time()
        self.broker = Broker(now=now, wall_seconds=MIDNIGHT + now)
        self.broker.raises_bugs = True
        self.streams: list[trio.abc.Stream] = []
        self.is_down = False
        """Whether nobody can connect."""
        self._nursery = nursery
        self._timer = Timer()
        self._relay = Relay(self.broker, self._timer, RememberingLog(), None)
        nursery.start_soon(self._timer.run, self._relay.on_deadline)

    def connect(
        self, reconnect: Reconnect | None = None
    ) -> AbstractAsyncContextManager[Connection]:
        """Connect as a client does; without a policy it reconnects at once."""
        at_once = Reconnect(first_seconds=0)
        return connect_through(
            self._stream_to, [ADDRESS], reconnect=reconnect or at_once
        )

    async def cut(self) -> None:
        """Cut all connections."""
        streams, self.streams = self.streams, []
        for stream in streams:
            await trio.aclose_forcefully(stream)

    def depth(self, queue: str) -> int:
        """How many messages are in a queue, ready or not."""
        found = self.queues[queue]
        return found.backlog.count + found.unacked_count

    @property
    def queues(self) -> dict[str, Queue]:
        """The queues by name."""
        return self.broker.vhosts["/"].queues

    async def _stream_to(self, _: Address) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        if self.is_down:
            await trio.sleep(0.1)
            raise ConnectionRefusedError
        ours, theirs = memory_stream_pair()
        outbox = Outbox(self._relay.dirty)
        self.broker.begin_turn(trio.current_time())
        info = PeerInfo(address="192.0.2.1:1", is_loopback=True)
        connection = ServerConnection(self.broker, outbox, info)
        self._relay.run()
        peer = Peer(
            connection,
            outbox,
            StreamTransport(theirs),
            self._relay,
            quiet_alarm(),
            None,
        )
        self.streams.append(ours)
        self._nursery.start_soon(peer.run)
        return ours


@asynccontextmanager
async def memory_broker() -> AsyncIterator[MemoryBroker]:
    """A broker for the block."""
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield MemoryBroker(nursery)
        except BaseException as error:  # noqa: BLE001 - raised below
            failure = error  # there, it is not wrapped into a group
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


def with_broker(
    test: Callable[[MemoryBroker, Connection], Awaitable[None]],
) -> Callable[[pytest.MonkeyPatch], None]:
    """Make a test of a coroutine that takes a broker and a connection to it.

    The clock jumps to the next deadline when all tasks sleep, and the clock on the wall
    goes with it.
    """

    @wraps(test)
    def run(monkeypatch: pytest.MonkeyPatch) -> None:
        def wall_ms() -> int:
            return int((MIDNIGHT + trio.current_time()) * 1000)

        monkeypatch.setattr(ticker, "wall_ms", wall_ms)

        async def main() -> None:
            with trio.fail_after(TEST_SECONDS):
                async with memory_broker() as broker, broker.connect() as connection:
                    await test(broker, connection)

        trio.run(main, clock=MockClock(autojump_threshold=0))

    del run.__wrapped__  # type: ignore[attr-defined] # pytest reads its parameters
    return run


def make_plain(connection: Connection) -> None:
    """Have the broker not say that it can do what only Warren can."""
    capabilities = connection.server_properties["capabilities"]
    assert isinstance(capabilities, dict)
    del capabilities[delays.CAPABILITY]


async def letters(connection: Connection, queue: str, count: int) -> list[Any]:
    """Take so many messages from a queue, when they are there."""
    found = []
    while len(found) < count:
        delivery = await connection.get(queue, no_ack=True)
        if delivery is None:
            await trio.sleep(0.05)
        else:
            found.append(delivery)
    return found
