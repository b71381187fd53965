"""Rate: so many messages in so much time, and how long to wait for the next."""

from __future__ import annotations

import re
from typing import Final, final

import trio

UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
"""Unit -> seconds."""

SLACK_SECONDS: Final = 0.1
"""So much of the time that nobody came can be made up for."""

_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)/(\d*)(ms|s|m|h|d)")
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def duration_seconds(text: str | float) -> float:
    """Return ``10s``, ``1.5h`` or a number in seconds. Raises `ValueError`."""
    if isinstance(text, str):
        match = _DURATION.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no duration; one is 500ms, 10s, 5m, 2h, 1d")
        seconds = float(match[1]) * UNITS[match[2]]
    else:
        seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{text!r} is no duration that can be waited for")
    return seconds


def interval_seconds(text: str) -> float:
    """Return how far apart they are at ``100/s`` or ``10/5m``. Raises `ValueError`."""
    match = _RATE.fullmatch(text)
    if match is not None and (count := float(match[1])):
        interval = float(match[2] or 1) * UNITS[match[3]] / count
        if 0 < interval < float("inf"):
            return interval
    raise ValueError(f"{text!r} is no rate; one is 100/s or 10/5m")


@final
class Rate:
    """Lets so many pass, evenly. Shared by all tasks of a pool."""

    def __init__(self, text: str | None) -> None:
        """None lets all pass."""
        self._interval = interval_seconds(text) if text else 0.0
        self._next = 0.0

    async def take(self, count: int) -> None:
        """Wait until so many more may pass."""
        if not self._interval:
            return
        now = trio.current_time()
        when = max(self._next, now - SLACK_SECONDS)
        self._next = when + count * self._interval
        await trio.sleep_until(when)
