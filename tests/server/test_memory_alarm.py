"""MemoryAlarm: no look without traffic, one a second while it is on."""

from __future__ import annotations

from typing import final

import trio

from tests.server.harness import run_timeless
from warren_broker.server.memory_alarm import (
    CHECK_EVERY_BYTES,
    RECHECK_SECONDS,
    MemoryAlarm,
)

LIMIT_BYTES = 100


@final
class Gauge:
    """Memory in use as the test says; counts how often it is looked at."""

    def __init__(self) -> None:
        self.used: int | None = 0
        self.looks = 0
        self.trims = 0
        self.reports: list[bool] = []
        self.alarm = MemoryAlarm(
            LIMIT_BYTES, used=self._look, trim=self._trim, report=self.reports.append
        )

    def _look(self) -> int | None:
        self.looks += 1
        return self.used

    async def _trim(self) -> None:
        self.trims += 1
        await trio.lowlevel.checkpoint()


def test_looks_after_so_many_bytes_from_all_peers() -> None:
    gauge = Gauge()
    for _ in range(10):
        gauge.alarm.received(CHECK_EVERY_BYTES // 4)
    assert gauge.looks == 2


def test_tells_once_when_the_limit_is_passed_and_not_at_it() -> None:
    gauge = Gauge()
    gauge.used = LIMIT_BYTES
    gauge.alarm.received(CHECK_EVERY_BYTES)
    assert gauge.reports == []
    gauge.used = LIMIT_BYTES + 1
    gauge.alarm.received(CHECK_EVERY_BYTES)
    gauge.alarm.received(CHECK_EVERY_BYTES)
    assert gauge.reports == [True]


def test_unknown_memory_is_no_alarm() -> None:
    gauge = Gauge()
    gauge.used = None
    gauge.alarm.received(CHECK_EVERY_BYTES)
    assert gauge.reports == []


def test_looks_again_each_second_until_it_is_off_then_sleeps() -> None:
    async def main() -> None:
        gauge = Gauge()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gauge.alarm.run)
            await trio.sleep(1000)
            assert gauge.looks == 0
            gauge.used = LIMIT_BYTES + 1
            gauge.alarm.received(CHECK_EVERY_BYTES)
            await trio.sleep(3.5 * RECHECK_SECONDS)
            assert (gauge.looks, gauge.trims) == (4, 3)
            gauge.used = 0
            await trio.sleep(1000)
            assert gauge.reports == [True, False]
            assert gauge.looks == 5
            nursery.cancel_scope.cancel()

    run_timeless(main)
