"""Stage: a server as tests need it, started as often as they like.

Everything here happens in the server's own trio loop. `in_thread` and `in_nursery` are
the two ways to it; `control` is what a test holds of it.

Each start makes everything anew: a broker, its server, and of the data directory, where
there is one, what it has kept. What belongs to the test stays: what was published, the
faults, and the port.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar, final
from urllib.parse import urlsplit

import attrs
import trio

from warren_broker.amqp.connection import ServerConnection
from warren_broker.amqp.handshake import State
from warren_broker.core.access import Access, AccountStore
from warren_broker.core.limits import Limits
from warren_broker.server.serve import broker_for, keeper_for
from warren_broker.server.server import Server
from warren_broker.server.settings import (
    Address,
    ListenerSettings,
    MemorySettings,
    ServerSettings,
)
from warren_broker.testing.events import Events
from warren_broker.testing.publishes import Publishes

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from warren.wire.outbox import Outbox
    from warren_broker.amqp.peer_info import PeerInfo
    from warren_broker.core.broker import Broker

T = TypeVar("T")

GOODBYE_SECONDS: Final = 0.05
"""What clients get to answer when the broker stops: those that listen need less."""

ENDLESS: Final = 2**62
"""Bytes: the memory is the test's own, and no reason to stop its publishers."""

FREE_PORT: Final = Address("127.0.0.1", 0)


class NotServing(Exception):
    """The broker is stopped, so nothing can be asked of it."""


def settings_for(
    settings: ServerSettings | None,
    *,
    listeners: ListenerSettings,
    data_dir: str | PathLike[str] | None,
) -> ServerSettings:
    """Return `settings`, or such for a test, with what the broker's place decides."""
    if settings is None:
        settings = ServerSettings(limits=Limits(login_failure_delay_seconds=0.0))
    path = None if data_dir is None else str(data_dir)
    return attrs.evolve(
        settings,
        listeners=listeners,
        memory=MemorySettings(limit_bytes=ENDLESS),
        storage=attrs.evolve(settings.storage, data_dir=path, free_bytes_min=0),
    )


@final
class Stage:
    """One server after the other, and what a test wants to know of it.

    Attributes:
        urls: where the server listens, or has listened last.
        events: what the servers had to say.
        publishes: what was published, by all servers since the last `reset`.
    """

    def __init__(self, settings: ServerSettings, nursery: trio.Nursery) -> None:
        """Serve as `settings` say, in tasks of `nursery`. `start` it."""
        self.urls: tuple[str, ...] = ()
        self.events = Events()
        self.publishes = Publishes()
        self._settings = settings
        self._nursery = nursery
        self._server: Server | None = None
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self._connections: list[ServerConnection] = []
        self._is_blocking = False
        self._is_refusing = False
        self._access: Access | None = None  # that of the settings, while refusing
        self._wall_offset: float | None = None  # from the loop's clock to the wall's

    # One server after the other

    @property
    def server(self) -> Server:
        """The server that runs. Raises NotServing."""
        if self._server is None:
            raise NotServing("the broker is stopped")
        return self._server

    @property
    def is_serving(self) -> bool:
        """Whether a server runs."""
        return self._server is not None

    async def start(self) -> None:
        """Start a server; return when clients can connect.

        Raises SettingsError and ListenError.
        """
        self._server = await self._nursery.start(self._serve)
        self.urls = self._server.urls
        if self._settings.listeners.tcp:  # from now on it is this port
            where = urlsplit(self.urls[0])
            address = Address(str(where.hostname), int(where.port or 0))
            listeners = attrs.evolve(self._settings.listeners, tcp=(address,))
            self._settings = attrs.evolve(self._settings, listeners=listeners)

    async def stop(self) -> None:
        """Stop the server as an operator would: clients are told, all is written."""
        self.server.stop(GOODBYE_SECONDS)
        await self._ended.wait()

    async def end(self) -> None:
        """Stop the server for good, at once if nothing is to be written."""
        if self._server is None:
            return
        if self._settings.storage.data_dir is None:
            self._scope.cancel()
            await self._ended.wait()
        else:
            await self.stop()

    async def reset(self) -> None:
        """Forget everything but what is in a data directory, and start anew."""
        await self.end()
        self.events = Events()
        self.publishes = Publishes()
        self._is_blocking = self._is_refusing = False
        self._wall_offset = None
        await self.start()

    async def _serve(self, *, task_status: trio.TaskStatus[Server]) -> None:
        broker = broker_for(self._settings, self._wall_seconds())
        self._wall_offset = broker.wall_seconds - broker.now
        keeper = await keeper_for(broker, self._settings, self.events)
        broker.tap = self.publishes
        self._access = None
        self._connections.clear()
        self._make_faulty(broker)
        server = Server(self._settings, broker, self._connect, self.events, keeper)
        self._ended = trio.Event()
        try:
            with trio.CancelScope() as self._scope:
                await server.run(task_status=task_status)
        finally:
            self._server = None
            self._ended.set()

    def _wall_seconds(self) -> float | None:
        """Return what time it is for a broker that follows another."""
        if self._wall_offset is None:
            return None
        return trio.current_time() + self._wall_offset

    def _connect(
        self, broker: Broker, outbox: Outbox, peer: PeerInfo
    ) -> ServerConnection:
        """The server's front end, which remembers its connections."""
        connection = ServerConnection(broker, outbox, peer)
        self._connections = [each for each in self._connections if not each.closed]
        self._connections.append(connection)
        return connection

    # What there is

    @property
    def broker(self) -> Broker:
        """The state of the server that runs. Raises NotServing."""
        return self.server.broker

    @property
    def connections(self) -> list[ServerConnection]:
        """The clients that have logged in."""
        return [each for each in self._connections if each.is_known]

    def take_turn(self, act: Callable[[], T]) -> T:
        """Let `act` change the broker. Raises NotServing."""
        return self.server.take_turn(act)

    def take_turn_if_any(self, act: Callable[[], None]) -> None:
        """Let `act` change the broker; if none runs, only what the test remembers."""
        if self._server is None:
            act()
        else:
            self.take_turn(act)

    async def let_pass(
        self, seconds: float, move_to: Callable[[float], None], *, heartbeats: bool
    ) -> None:
        """Let time pass, stopping at each moment that the broker waits for.

        Clients are heard all the while or, without `heartbeats`, not at all.
        """
        until = trio.current_time() + seconds
        if heartbeats:
            self.take_turn(partial(self._put_off_heartbeats, until))
        while (when := self.broker.next_deadline()) is not None and when <= until:
            move_to(when)
            self.take_turn(partial(self._come_to, heartbeats=heartbeats))
            await trio.lowlevel.checkpoint()  # what is due is sent
        move_to(until)

    def _put_off_heartbeats(self, until: float) -> None:
        """Let the broker expect no heartbeat before: two a minute make a long year."""
        self.broker.on_deadline(trio.current_time())  # nothing else is put off with it
        for connection in self.connections:
            if connection.state is State.OPEN:
                self.broker.deadlines.set(connection, until)

    def _come_to(self, *, heartbeats: bool) -> None:
        now = trio.current_time()
        if heartbeats:
            for connection in self._connections:
                connection.heard_at = now
        self.broker.on_deadline(now)

    # Faults that last

    def set_blocking(self, is_blocking: bool) -> None:
        """Block publishers, or no longer."""
        self._is_blocking = is_blocking
        self.take_turn_if_any(self._apply_faults)

    def set_refusing(self, is_refusing: bool) -> None:
        """Refuse all logins, or no longer."""
        self._is_refusing = is_refusing
        self.take_turn_if_any(self._apply_faults)

    def _apply_faults(self) -> None:
        if self._server is not None:
            self._make_faulty(self.broker)

    def _make_faulty(self, broker: Broker) -> None:
        broker.alarms.set("memory", active=self._is_blocking)
        if self._is_refusing and self._access is None:
            self._access, broker.access = broker.access, Access(AccountStore())
        elif not self._is_refusing and self._access is not None:
            broker.access, self._access = self._access, None
