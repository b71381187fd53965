"""Safe: waits until the store has made safe what a turn has said."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import trio

from warren_broker.core.promises import PromiseHolder

if TYPE_CHECKING:
    from warren_broker.core.broker import Broker


@final
class Safe(PromiseHolder):
    """One promise, for a task to wait on."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def wait_for(self, broker: Broker) -> None:
        """Wait for what the present turn has said; call it at its end."""
        ticket = broker.ticket_due()
        if ticket:
            broker.promises.add(ticket, self)
        else:
            self._event.set()

    def on_committed(self, committed: int, recorded: int) -> None:
        """It is safe."""
        self._event.set()

    async def wait(self) -> None:
        """Return when it is safe."""
        await self._event.wait()
