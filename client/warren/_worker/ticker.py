"""Ticker: has a message come to a queue whenever a periodic job is due.

Every process runs one for each job, and they need not know of each other. The message
for a moment has a name, so that Warren keeps one for all of them until it is due
(`x-schedule-id`), and takes none for a moment that was (`x-deduplication-header`). It
also comes if no process runs just then, and waits for the next that does.

Other brokers have neither: there each process publishes when the moment has come. The
queue has one active consumer and room for one message that waits, and the consumer
passes over moments that it has seen. So a job runs once as long as that process lives.

A clock on the wall may have been wrong, and be set back: then moments come once more.
So what was seen is remembered for a while only.
"""

from __future__ import annotations

import logging
from time import time_ns
from typing import TYPE_CHECKING, Final, final

import trio

from warren._worker.headers import clean
from warren.errors import WarrenError

if TYPE_CHECKING:
    from warren._client.publishing import Publishing
    from warren._worker.timetable import Timetable
    from warren.wire.table import Table

LOG: Final = logging.getLogger("warren.worker")

QUEUE_PREFIX: Final = "warren.every."
QUEUE_ARGUMENTS: Final[Table] = {
    "x-single-active-consumer": True,
    "x-max-length": 1,
    "x-message-deduplication": True,
    "x-cache-size": 1000,
}
MOMENT: Final = "x-moment"
"""Header: when this was due, milliseconds since 1970."""

SEEN_SECONDS: Final = 300.0
"""So long after a moment nobody has it come again, by mistake or by a late clock."""

PAUSE_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 60.0
"""So often to look at the clock on the wall."""

_MS: Final = 1000
_NS_PER_MS: Final = 1_000_000


def wall_ms() -> int:
    """Return the time of day: milliseconds since 1970."""
    return time_ns() // _NS_PER_MS


@final
class Ticker:
    """The ticks of one job."""

    def __init__(
        self,
        queue: str,
        timetable: Timetable,
        publishing: Publishing,
        *,
        is_scheduled: bool,
    ) -> None:
        """`is_scheduled`: the broker keeps messages until they are due."""
        self._queue = queue
        self._timetable = timetable
        self._publishing = publishing
        self._is_scheduled = is_scheduled

    async def run(self) -> None:
        """Tick for ever."""
        while True:
            moment = self._timetable.next_after(wall_ms())
            if self._is_scheduled:
                await self._publish(moment)
            if await self._wait_until(moment) and not self._is_scheduled:
                await self._publish(moment)

    async def _wait_until(self, moment: int) -> bool:
        """Wait; return whether it has come, or the clock was set to before another."""
        while (now := wall_ms()) < moment:
            if self._timetable.next_after(now) < moment:
                return False
            await trio.sleep(min((moment - now) / _MS, LOOK_SECONDS))
        return True

    async def _publish(self, moment_ms: int) -> None:
        """Publish until it is taken: what comes twice does no harm."""
        headers: Table = {MOMENT: moment_ms}
        if self._is_scheduled:
            name = f"{self._queue}@{moment_ms}"
            headers["x-deliver-at"] = moment_ms
            headers["x-schedule-id"] = headers["x-deduplication-header"] = name
            left = max(moment_ms - wall_ms(), 0)
            headers["x-cache-ttl"] = left + round(SEEN_SECONDS * _MS)
        while True:
            try:
                await self._publishing.publish(
                    b"", routing_key=self._queue, headers=headers
                )
            except WarrenError as error:
                LOG.warning("%s: no tick: %s", self._queue, clean(str(error)))
                await trio.sleep(PAUSE_SECONDS)
            else:
                return
