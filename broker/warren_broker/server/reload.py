"""Reload: take what can be taken of a new configuration while the server runs.

That is what it says of vhosts, users and policies. All else needs a restart, and is
named in the log.
"""

from __future__ import annotations

import signal
from functools import partial
from typing import TYPE_CHECKING, Final, final

import attrs
import trio

from warren_broker.core.administration import describe
from warren_broker.server.configured import read_configured
from warren_broker.server.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from warren_broker.server.configured import Configured
    from warren_broker.server.event_log import EventLog
    from warren_broker.server.server import Server
    from warren_broker.server.settings import ServerSettings

    LoadSettings = Callable[[], ServerSettings]

_TAKEN: Final = frozenset({"auth", "policies", "operator_policies"})


@final
class Reload:
    """Reads the configuration again at each SIGHUP.

    `load` returns it, or raises SettingsError; it is called in a thread. `settings` are
    those that the server was started with.
    """

    def __init__(
        self,
        settings: ServerSettings,
        load: LoadSettings,
        server: Server,
        log: EventLog,
    ) -> None:
        self._settings = settings
        self._load = load
        self._server = server
        self._log = log

    async def run(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Wait for signals, for ever. Started means: the next one counts."""
        with trio.open_signal_receiver(signal.SIGHUP) as signals:
            task_status.started()
            async for _ in signals:
                try:
                    await self._reload()
                except SettingsError as error:
                    self._log.event("configuration refused", {"reason": str(error)})
                except Exception as error:  # noqa: BLE001 - a bug; all goes on as it was
                    self._log.failure("reload failed", error, {})

    async def _reload(self) -> None:
        settings, configured = await trio.to_thread.run_sync(
            self._read, abandon_on_cancel=True
        )
        changes = self._server.take_turn(partial(configured.apply, self._server.broker))
        told = {
            name: [describe(key) for key in keys]
            for name, keys in attrs.asdict(changes, recurse=False).items()
        }
        self._log.event(
            "configuration reloaded",
            {**told, "needs_restart": self._changed_sections(settings)},
        )

    def _read(self) -> tuple[ServerSettings, Configured]:
        settings = self._load()
        return settings, read_configured(settings)

    def _changed_sections(self, new: ServerSettings) -> list[str]:
        old = self._settings
        names = {each.name for each in attrs.fields(type(old))} - _TAKEN
        return sorted(
            name for name in names if getattr(old, name) != getattr(new, name)
        )
