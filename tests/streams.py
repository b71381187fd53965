"""Streams without threads: what is to be done elsewhere is done when a test says so."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, final

from warren_broker.server.streams import Streams
from warren_broker.storage.stream.opening import open_streams

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from warren_broker.server.background import Done
    from warren_broker.storage.disk import Disk
    from warren_broker.storage.start import Start

RUNWAY = 4000


@final
class Inline:
    """A worker that works when it is told to."""

    def __init__(self) -> None:
        self.jobs: deque[Callable[[], Done]] = deque()

    def do(self, work: Callable[[], Done]) -> None:
        self.jobs.append(work)

    def close(self) -> None:
        self.jobs.clear()

    def run(self) -> bool:
        """Do one thing and tell; False if there is nothing."""
        if self.jobs:
            self.jobs.popleft()()()
            return True
        return False

    def run_all(self) -> None:
        """Do everything, and what comes of it."""
        while self.run():
            pass


def streams_on(
    disk: Disk,
    start: Start,
    wanted: Container[int] | None = None,
    runway_size: int = RUNWAY,
) -> tuple[Streams, Inline]:
    """Return all streams on `disk`, and who reads and compacts."""
    worker = Inline()
    opened = open_streams(disk, start.superblock.store_id, wanted)
    assert not opened.damage
    streams = Streams(
        start,
        opened.streams,
        disk,
        reading=worker,
        upkeep=worker,
        segment_bytes_min=1,
        runway_size=runway_size,
    )
    return streams, worker
