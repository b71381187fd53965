"""Heartbeats: when to send one, and when the other side counts as gone.

One is sent when nothing else was for half the interval; the connection is given up when
nothing was heard for two intervals (specification, section 4.2.7). Time is an argument.
"""

from __future__ import annotations

from math import inf
from typing import Final, final

SILENT_INTERVALS_MAX: Final = 2


@final
class Heartbeat:
    """When something was last heard and sent; seconds of one monotonic clock."""

    __slots__ = ("heard_at", "interval_seconds", "sent_at")

    def __init__(self) -> None:
        self.interval_seconds: float = 0  # none, as long as nothing is agreed
        self.heard_at: float = 0
        self.sent_at: float = 0

    def start(self, interval_seconds: float, now: float) -> None:
        """Begin to count. 0 seconds: no heartbeats."""
        self.interval_seconds = interval_seconds
        self.heard_at = self.sent_at = now

    def next_deadline(self) -> float:
        """Return when to look again; infinite without heartbeats."""
        if not self.interval_seconds:
            return inf
        return min(self._send_at, self._lost_at)

    def is_due(self, now: float) -> bool:
        """Something must be sent, or the other side will think us gone."""
        return bool(self.interval_seconds) and now >= self._send_at

    def is_lost(self, now: float) -> bool:
        """The other side has been silent for too long."""
        return bool(self.interval_seconds) and now >= self._lost_at

    @property
    def _send_at(self) -> float:
        return self.sent_at + self.interval_seconds / 2

    @property
    def _lost_at(self) -> float:
        return self.heard_at + self.interval_seconds * SILENT_INTERVALS_MAX
