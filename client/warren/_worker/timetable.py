"""Timetables: the moments at which a periodic job is due.

Moments are whole milliseconds since 1970, UTC.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Final, final
from zoneinfo import ZoneInfo

from warren._worker.rate import duration_seconds

if TYPE_CHECKING:
    from datetime import tzinfo

_MS: Final = 1000


class Timetable(ABC):
    """Equal ones give equal moments: so processes agree without a word."""

    @abstractmethod
    def next_after(self, moment_ms: int) -> int:
        """Return the first moment after this one."""


@final
class Every(Timetable):
    """Each multiple of a period."""

    def __init__(self, period: str | float) -> None:
        """Raises `ValueError` for less than a millisecond."""
        self._period_ms = round(duration_seconds(period) * _MS)
        if not self._period_ms:
            raise ValueError(f"{period!r} is too short a period")

    def next_after(self, moment_ms: int) -> int:
        """Return the next multiple."""
        return (moment_ms // self._period_ms + 1) * self._period_ms


@final
class Daily(Timetable):
    """Once a day, by the clock on the wall.

    A time that a day does not have, because summer begins, comes as much later; of one
    that it has twice the first counts.
    """

    def __init__(self, at: str, timezone: str = "UTC") -> None:
        """`at` is ``03:30`` or ``03:30:15``. Raises `ValueError`, also `KeyError`."""
        self._at = time.fromisoformat(at)
        self._zone: tzinfo = UTC if timezone == "UTC" else ZoneInfo(timezone)

    def next_after(self, moment_ms: int) -> int:
        """Return when it is that time next."""
        day = datetime.fromtimestamp(moment_ms / _MS, self._zone).date()
        while True:
            due = datetime.combine(day, self._at, self._zone).timestamp()
            if (due_ms := round(due * _MS)) > moment_ms:
                return due_ms
            day += timedelta(days=1)
