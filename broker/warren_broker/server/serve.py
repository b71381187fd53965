"""The whole of `warren serve`: a server that has the process to itself."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import trio

from warren_broker.amqp.connection import ServerConnection
from warren_broker.core.arguments import RedeclareMode
from warren_broker.core.broker import Broker
from warren_broker.server.beginning import Beginning, read_beginning
from warren_broker.server.process import (
    raise_descriptor_limit,
    tune_allocator,
    tune_collector,
)
from warren_broker.server.reload import Reload
from warren_broker.server.server import Server, memory_limit_bytes
from warren_broker.server.wall_clock import WallClock, system_seconds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from warren_broker.server.event_log import EventLog
    from warren_broker.server.keeper import Keeper
    from warren_broker.server.reload import LoadSettings
    from warren_broker.server.settings import ServerSettings


def make_server(settings: ServerSettings, log: EventLog) -> Server:
    """Make a broker as `settings` want it, and its server over AMQP 0-9-1.

    It keeps everything in memory. Call it inside `trio.run`. Raises SettingsError.
    """
    broker = broker_for(settings)
    _begin(broker, read_beginning(settings))
    return Server(settings, broker, ServerConnection, log)


def broker_for(settings: ServerSettings, wall_seconds: float | None = None) -> Broker:
    """Make a broker as `settings` want it, empty.

    It is now `wall_seconds` since 1970, by default as the system's clock has it. Call
    it inside `trio.run`. Raises SettingsError.
    """
    broker = Broker(
        settings.limits,
        identity=settings.compat,
        redeclare_mode=RedeclareMode(settings.compat.redeclare_mode),
        now=trio.current_time(),
        wall_seconds=system_seconds() if wall_seconds is None else wall_seconds,
    )
    in_memory_bytes = settings.storage.in_memory_bytes
    if in_memory_bytes is None:
        in_memory_bytes = memory_limit_bytes(settings.memory) // 2
    broker.parking.limit_bytes = in_memory_bytes
    return broker


def _begin(broker: Broker, beginning: Beginning) -> None:
    """Begin with nothing but what the operator's files say."""
    beginning.load(broker)
    beginning.configure(broker)


async def serve(
    settings: ServerSettings,
    log: EventLog,
    load: LoadSettings | None = None,
    *,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until SIGTERM or SIGINT; a second one ends it at once.

    SIGHUP makes it `load` its settings again, see `Reload`; without `load` it is not
    listened to. Started means: connections are accepted. Raises SettingsError.
    """
    raise_descriptor_limit()
    tune_allocator()
    broker = broker_for(settings)
    wall_clock = WallClock(broker, log)
    keeper = await keeper_for(broker, settings, log)
    server = Server(settings, broker, ServerConnection, log, keeper)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_obey, signals, server, nursery.cancel_scope)
            if load is not None:
                await nursery.start(Reload(settings, load, server, log).run)
            nursery.start_soon(wall_clock.run)
            async with trio.open_nursery() as serving:
                await serving.start(server.run)
                task_status.started(server)
                # Clients are served meanwhile; what it loads is then frozen too.
                await trio.to_thread.run_sync(log.load)
                tune_collector()
            nursery.cancel_scope.cancel()


async def keeper_for(
    broker: Broker, settings: ServerSettings, log: EventLog
) -> Keeper | None:
    """Restore `broker` from its data directory, if it is to have one.

    Return what keeps it there. Raises SettingsError.
    """
    beginning = read_beginning(settings)
    storage = settings.storage
    if storage.data_dir is None:
        _begin(broker, beginning)
        return None
    # Who keeps everything in memory need not wait for this to load.
    from warren_broker.server.awakening import awaken

    return await awaken(broker, storage.data_dir, storage, log, beginning)


async def _obey(
    signals: AsyncIterator[int],
    server: Server,
    everything: trio.CancelScope,
) -> None:
    await anext(signals)
    server.stop()
    await anext(signals)
    everything.cancel()
