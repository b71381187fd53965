"""Farewell: a connection that the server ends hears first what it was promised.

What it has published is on its way to the disk; the sync that runs is waited for, but
not long, and its confirms are sent before connection.close. It is not read
meanwhile, and gets no deliveries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from warren.errors import ConnectionForced
from warren_broker.core.deadlines import DeadlineOwner
from warren_broker.core.promises import PromiseHolder

if TYPE_CHECKING:
    from warren_broker.amqp.connection import ServerConnection

SYNC_WAIT_SECONDS: Final = 2.0
"""How long the store has to make safe what was promised."""

CLOSE_WAIT_SECONDS: Final = 1.0
"""How long a client has for close-ok: idle ones do not look at their sockets."""

_SHUTDOWN: Final = "broker forced connection closure with reason 'shutdown'"


def shut_down(connection: ServerConnection) -> None:
    """Tell an open connection that the server stops, when its promises are kept."""
    if connection.promises.are_open:
        connection.promises.hold()
        connection.congest()
        Farewell(connection)
    else:
        _close(connection)


def _close(connection: ServerConnection) -> None:
    connection.close(ConnectionForced(_SHUTDOWN), wait=CLOSE_WAIT_SECONDS)


@final
class Farewell(PromiseHolder, DeadlineOwner):
    """Waits for the store, or for its time to be over."""

    __slots__ = ("_broker", "_connection")

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        broker = self._broker = connection.broker
        if broker.store is not None:
            broker.promises.add(broker.store.said, self)
        broker.deadlines.set(self, broker.now + SYNC_WAIT_SECONDS)

    def on_committed(self, committed: int, recorded: int) -> None:
        """Everything is said: close the connection, in a turn of its own."""
        self._broker.deadlines.set(self, self._broker.now)

    def on_deadline(self, now: float) -> None:
        """Close the connection, if it still is one."""
        if self._connection.is_known:
            _close(self._connection)
