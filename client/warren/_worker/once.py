"""Once: the middleware of periodic jobs. What is due once runs once in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from warren._worker.headers import count_in
from warren._worker.ticker import MOMENT

if TYPE_CHECKING:
    from warren._worker.handling import CallNext
    from warren._worker.job import Job


@final
class Once:
    """Passes over what was due before, or at the same moment."""

    def __init__(self) -> None:
        self._last = 0

    async def __call__(self, job: Job, call_next: CallNext) -> object:
        """Call on if this is news."""
        moment = count_in(job.headers, MOMENT)
        if moment and moment <= self._last:
            return None
        self._last = moment
        result: object = await call_next(job)
        return result
