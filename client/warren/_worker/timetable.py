"""Timetables: the moments at which a periodic job is due. Seconds since 1970, UTC."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime, time, timedelta
from math import floor
from typing import TYPE_CHECKING, final
from zoneinfo import ZoneInfo

from warren._worker.rate import duration_seconds

if TYPE_CHECKING:
    from datetime import tzinfo


class Timetable(ABC):
    """Equal ones give equal moments: so processes agree without a word."""

    @abstractmethod
    def next_after(self, moment: float) -> float:
        """Return the first moment after this one."""


@final
class Every(Timetable):
    """Each multiple of a period."""

    def __init__(self, period: str | float) -> None:
        self._seconds = duration_seconds(period)

    def next_after(self, moment: float) -> float:
        """Return the next multiple."""
        return (floor(moment / self._seconds) + 1) * self._seconds


@final
class Daily(Timetable):
    """Once a day, by the clock on the wall.

    A time that a day does not have, as it is summer now, comes as much later; one that
    it has twice comes the first time.
    """

    def __init__(self, at: str, timezone: str = "UTC") -> None:
        """`at` is ``03:30`` or ``03:30:15``. Raises `ValueError`, also `KeyError`."""
        self._at = time.fromisoformat(at)
        self._zone: tzinfo = UTC if timezone == "UTC" else ZoneInfo(timezone)

    def next_after(self, moment: float) -> float:
        """Return when it is that time next."""
        day = datetime.fromtimestamp(moment, self._zone).date()
        while True:
            due = datetime.combine(day, self._at, self._zone).timestamp()
            if due > moment:
                return due
            day += timedelta(days=1)
