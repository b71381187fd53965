"""Server: one broker, its listeners and its peers, in one nursery.

start   everything is opened, or nothing is; then `task_status.started(server)`
run     a task a listening socket, two a peer, one timer, one an alarm
stop    listeners close, every connection is told (320), outboxes are emptied
        with a deadline, what is left is reset
"""

from __future__ import annotations

from contextlib import ExitStack, asynccontextmanager, closing
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, final

import trio

from warren.wire.outbox import Outbox
from warren_broker.server import memory
from warren_broker.server.acceptor import SpareDescriptor, accept_forever, refuse
from warren_broker.server.doorway import Doorway
from warren_broker.server.endpoint import open_endpoints
from warren_broker.server.memory_alarm import MemoryAlarm
from warren_broker.server.peer import End, Peer
from warren_broker.server.process import connections_by_descriptors
from warren_broker.server.relay import Relay
from warren_broker.server.safe import Safe
from warren_broker.server.timer import Timer
from warren_broker.server.transport import StreamTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from socket import socket

    from warren_broker.amqp.peer_info import PeerInfo
    from warren_broker.core.broker import Broker
    from warren_broker.server.doorway import Newcomer
    from warren_broker.server.endpoint import Endpoint
    from warren_broker.server.event_log import EventLog
    from warren_broker.server.keeper import Keeper
    from warren_broker.server.peer import Connection
    from warren_broker.server.settings import MemorySettings, ServerSettings
    from warren_broker.server.transport import Transport

T = TypeVar("T")

DRAIN_SECONDS: Final = 5.0
"""What peers get to take their last bytes and say goodbye."""


class FrontEnd(Protocol):
    """A protocol, as far as the server has to know one."""

    def __call__(self, broker: Broker, outbox: Outbox, peer: PeerInfo) -> Connection:
        """Make the connection for a new peer, in a turn."""


@final
class Server:
    """Serves a broker through a front end. Make it inside `trio.run`; `run` it once.

    Attributes:
        broker: the state behind all connections.
        urls: where it listens, filled when `run` has started; plain TCP first.
    """

    def __init__(
        self,
        settings: ServerSettings,
        broker: Broker,
        front_end: FrontEnd,
        log: EventLog,
        keeper: Keeper | None = None,
    ) -> None:
        """`keeper` writes down what must survive, if anything must."""
        self.urls: tuple[str, ...] = ()
        self.broker = broker
        self._settings = settings
        self._front_end = front_end
        self._log = log
        self._timer = Timer()
        self._keeper = keeper
        self._relay = Relay(broker, self._timer, log, keeper)
        self._alarm = MemoryAlarm(
            memory_limit_bytes(settings.memory),
            used=memory.resident_bytes,
            trim=memory.trim,
            report=self._set_memory_alarm,
        )
        self._doorway = Doorway(settings.limits)
        self._clients = 0
        self._refused = 0
        self._drain_seconds = DRAIN_SECONDS
        self._peers: set[Peer] = set()
        self._stopping = trio.Event()
        self._emptied = trio.Event()

    async def run(
        self,
        *,
        task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until `stop` is called and done.

        Raises SettingsError and ListenError, at the start.
        """
        with ExitStack() as stack:
            endpoints = open_endpoints(self._settings, stack)
            self.urls = tuple(endpoint.url for endpoint in endpoints)
            async with self._keeping(), trio.open_nursery() as nursery:
                nursery.start_soon(self._timer.run, self._relay.on_deadline)
                nursery.start_soon(self._alarm.run)
                if self._keeper is not None:
                    nursery.start_soon(self._keeper.alarm.run)
                accepting = trio.CancelScope()
                nursery.start_soon(self._accept, endpoints, accepting, stack.pop_all())
                self._relay.run()
                task_status.started(self)
                await self._stopping.wait()
                accepting.cancel()
                await self._say_goodbye()
                nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def _keeping(self) -> AsyncIterator[None]:
        """Let the keeper write as long as there are turns, and then to its end."""
        async with trio.open_nursery() as nursery:
            if self._keeper is not None:
                self._keeper.after_turns(self._relay.run)
                nursery.start_soon(self._keeper.run)
            yield
            if self._keeper is not None:
                self._keeper.stop()

    def stop(self, drain_seconds: float = DRAIN_SECONDS) -> None:
        """Begin to stop: `run` returns when every peer is gone, or after that time."""
        self._drain_seconds = drain_seconds
        self._stopping.set()

    def take_turn(self, act: Callable[[], T]) -> T:
        """Take a turn in which `act` changes the broker; return what it returns."""
        self.broker.begin_turn(trio.current_time())
        try:
            return act()
        finally:
            self._relay.run()

    async def command(self, act: Callable[[], T]) -> T:
        """Take a turn as `take_turn`, and return when what it has changed is safe.

        For what operators change: who hears that it is done can rely on it.
        """
        safe = Safe()

        def take() -> T:
            result = act()
            safe.wait_for(self.broker)
            return result

        result = self.take_turn(take)
        await safe.wait()
        return result

    async def serve_stream(self, stream: trio.abc.Stream, info: PeerInfo) -> None:
        """Serve one client over a stream of any kind, while `run` is running."""
        await self._serve_peer(StreamTransport(stream), info, None)

    # -- clients

    async def _accept(
        self, endpoints: list[Endpoint], accepting: trio.CancelScope, stack: ExitStack
    ) -> None:
        """Take clients until `accepting` is cancelled; serve them to their end.

        `stack` holds the listening sockets, closed when nobody waits on them.
        """
        async with trio.open_nursery() as clients:
            with stack, accepting, closing(SpareDescriptor()) as spare:
                async with trio.open_nursery() as nursery:
                    for endpoint in endpoints:
                        accepted = partial(self._admit, clients, endpoint)
                        nursery.start_soon(
                            accept_forever, endpoint.listening, spare, accepted
                        )

    def _admit(self, clients: trio.Nursery, endpoint: Endpoint, client: socket) -> None:
        """Start to serve a client, or refuse it when there are too many."""
        try:
            newcomer = self._arrive(endpoint.host_of(client))
        except OSError as error:  # it is gone already
            client.close()
            self._log.event("connection not made", {"reason": repr(error)})
            return
        if newcomer is not None:
            self._clients += 1
            clients.start_soon(self._serve_client, endpoint, client, newcomer)
            return
        refuse(client)
        self._refused += 1
        if self._refused.bit_count() == 1:  # 1, 2, 4, 8 ...: seen, never a flood
            self._log.event("connections refused", {"count": self._refused})

    def _arrive(self, host: str) -> Newcomer | None:
        """Let a client come from `host`, unless too many are here, or come from it."""
        connections_max = self._settings.limits.connections_max
        if self._clients >= connections_by_descriptors(connections_max):
            return None
        return self._doorway.arrive(host)

    async def _serve_client(
        self, endpoint: Endpoint, client: socket, newcomer: Newcomer
    ) -> None:
        """From accept to close; nothing that one client does gets out of here."""
        try:
            limits = self._settings.limits
            with trio.fail_after(limits.handshake_seconds):
                await newcomer.enter()
            with trio.fail_after(limits.tls_handshake_seconds):
                transport, info = await endpoint.welcome(client)
        except (OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
            self._log.event("connection not made", {"reason": repr(error)})
        else:
            await self._serve_peer(transport, info, newcomer)
        finally:
            newcomer.leave()
            client.close()
            self._clients -= 1

    async def _serve_peer(
        self, transport: Transport, info: PeerInfo, newcomer: Newcomer | None
    ) -> None:
        if self._stopping.is_set():  # all peers have been told: no more of them
            await transport.aclose(reset=True)
            return
        outbox = Outbox(self._relay.dirty)
        try:
            self.broker.begin_turn(trio.current_time())
            connection = self._front_end(self.broker, outbox, info)
            self._relay.run()
            peer = Peer(
                connection, outbox, transport, self._relay, self._alarm, newcomer
            )
            self._peers.add(peer)
            try:
                end = await peer.run()
            finally:
                self._peers.discard(peer)
                if self._stopping.is_set() and not self._peers:
                    self._emptied.set()
        except Exception as error:  # noqa: BLE001 - a bug; every other peer lives on
            self._log.failure("connection failed", error, {"peer": info.address})
        else:
            if end is End.STALLED:
                self._log.event("connection stalled", {"peer": info.address})

    # -- the end

    async def _say_goodbye(self) -> None:
        """Tell every connection, and wait until their peers are gone, but not long."""
        if not self._peers:
            return
        for peer in list(self._peers):
            try:
                peer.shutdown()
            except Exception as error:  # noqa: BLE001 - a bug; the others get theirs
                self._log.failure("shutdown failed", error, {})
        with trio.move_on_after(self._drain_seconds):
            await self._emptied.wait()

    # -- memory

    def _set_memory_alarm(self, active: bool) -> None:
        """Take the turn in which publishers are blocked, or free again."""
        self.broker.begin_turn(trio.current_time())
        self.broker.alarms.set("memory", active=active)
        self._log.event("memory alarm on" if active else "memory alarm off", {})
        self._relay.run()


def memory_limit_bytes(settings: MemorySettings) -> int:
    """Return how much memory may be in use before the alarm goes on."""
    if settings.limit_bytes is not None:
        return settings.limit_bytes
    return int(memory.available_bytes() * settings.limit_ratio)
