"""Once: the middleware of periodic jobs. What is due once runs once in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import trio

from warren._worker.headers import count_in
from warren._worker.ticker import MOMENT, SEEN_SECONDS

if TYPE_CHECKING:
    from warren._worker.handling import CallNext
    from warren._worker.job import Job


@final
class Once:
    """Passes over what was due before, or at the same moment.

    Unless that was a while ago: then the clock was set back.
    """

    def __init__(self) -> None:
        self._last = 0
        self._forgotten_at = 0.0

    async def __call__(self, job: Job, call_next: CallNext) -> object:
        """Call on if this is news."""
        moment = count_in(job.headers, MOMENT)
        now = trio.current_time()
        if moment and moment <= self._last and now < self._forgotten_at:
            return None
        self._last, self._forgotten_at = moment, now + SEEN_SECONDS
        result: object = await call_next(job)
        return result
