"""Tally: what the processes of `warren worker` report, added up."""

from __future__ import annotations

import json
from collections import deque
from typing import Final, TypeAlias, final

import attrs

from warren._worker.statistics import Counts

RATE_REPORTS: Final = 5
"""A rate is taken over the last so many looks."""

Report: TypeAlias = list[Counts]


def encode_report(report: Report) -> bytes:
    """Return a report as a line."""
    return json.dumps([attrs.asdict(counts) for counts in report]).encode() + b"\n"


def decode_report(line: bytes) -> Report:
    """Return the report of a line."""
    return [Counts(**fields) for fields in json.loads(line)]


@final
class Tally:
    """The last word of each process, and the sum of those that are gone."""

    def __init__(self) -> None:
        self.running: set[int] = set()
        """The processes that have reported, by their ids."""
        self.restarts = 0
        self._reports: dict[int, Report] = {}
        self._gone: dict[str, Counts] = {}
        self._looks: deque[tuple[float, dict[str, int]]] = deque(maxlen=RATE_REPORTS)

    def note(self, pid: int, report: Report) -> None:
        """A process has reported."""
        self.running.add(pid)
        self._reports[pid] = report

    def forget(self, pid: int) -> None:
        """A process has ended: what it did still counts."""
        self.running.discard(pid)
        for counts in self._reports.pop(pid, []):
            counts.running = 0
            _add(self._gone, counts)

    def queues(self) -> list[Counts]:
        """Return the sums, by queue."""
        sums = {queue: counts.copy() for queue, counts in self._gone.items()}
        for report in self._reports.values():
            for counts in report:
                _add(sums, counts)
        return [sums[queue] for queue in sorted(sums)]

    def rates(self, now: float) -> dict[str, float]:
        """Look: return how many were handled in a second lately, by queue."""
        handled = {counts.queue: counts.handled for counts in self.queues()}
        self._looks.append((now, handled))
        then, before = self._looks[0]
        seconds = now - then
        if seconds <= 0:
            return dict.fromkeys(handled, 0.0)
        return {
            queue: (count - before.get(queue, 0)) / seconds
            for queue, count in handled.items()
        }


def _add(sums: dict[str, Counts], counts: Counts) -> None:
    total = sums.setdefault(counts.queue, Counts(counts.queue))
    for field in attrs.fields(Counts):
        if field.name != "queue":
            value = getattr(total, field.name) + getattr(counts, field.name)
            setattr(total, field.name, value)
