"""WallClock: notices when the system's clock is set, or the machine has slept."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Never, final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from warren_broker.core.broker import Broker
    from warren_broker.server.event_log import EventLog

LOOK_SECONDS: Final = 60.0
NOTED_SECONDS: Final = 1.0
"""A step that is worth a line in the log; smaller ones keep a clock right."""


def system_seconds() -> float:
    """Return what time it is, in seconds since 1970."""
    return time.time_ns() / 1e9


@final
class WallClock:
    """Looks at the system's clock once a minute, and tells the broker.

    A broker is not sure of the first look: a machine without a battery begins in 1970,
    or wherever it was, until it hears the time from others.
    """

    __slots__ = ("_broker", "_log", "_look")

    def __init__(
        self,
        broker: Broker,
        log: EventLog,
        look: Callable[[], float] = system_seconds,
    ) -> None:
        self._broker = broker
        self._log = log
        self._look = look
        broker.doubt_wall()

    async def run(self) -> Never:
        """Look for ever."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            self._broker.begin_turn(trio.current_time())
            step = self._broker.set_wall(self._look())
            if abs(step) >= NOTED_SECONDS:
                self._log.event("wall clock was set", {"step_seconds": round(step, 3)})
